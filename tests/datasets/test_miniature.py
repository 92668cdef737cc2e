import hashlib
import time

import pytest

from inspect_fer.datasets import samples
from inspect_fer.datasets.miniature import LAYOUTS, write_miniature
from inspect_fer.errors import DataError, UnknownNameError


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_seed_writes_the_same_files_and_quickly(layout, tmp_path):
    write_miniature("folder", tmp_path / "warm", per_class=2)  # draws the faces
    start = time.process_time()
    write_miniature(layout, tmp_path / "one", per_class=2)
    assert time.process_time() - start < 1
    write_miniature(layout, tmp_path / "two", per_class=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_per_class_and_seed(tmp_path):
    spec = write_miniature("fer2013", tmp_path / "a", per_class=4)
    assert set(samples(spec, "train").counts().values()) == {4}
    other = write_miniature("fer2013", tmp_path / "b", per_class=4, seed=1)
    assert not (samples(spec, "train").pixels == samples(other, "train").pixels).flatten(1).all(1).any()


def test_faces_differ_from_split_to_split(tmp_path):
    pixels = samples(write_miniature("folder", tmp_path), "all").pixels[:]
    assert len(pixels.flatten(1).unique(dim=0)) == len(pixels)


def test_mistakes(tmp_path):
    with pytest.raises(UnknownNameError, match="No miniature layout is called 'rafd'. Did you mean 'rafdb'"):
        write_miniature("rafd", tmp_path)
    with pytest.raises(DataError, match="2 faces a class or more"):
        write_miniature("rafdb", tmp_path, per_class=1)
    write_miniature("rafdb", tmp_path / "a", per_class=2)
    with pytest.raises(DataError, match="a is there already. A miniature is written into a folder of its own"):
        write_miniature("tfeid", tmp_path / "a")
