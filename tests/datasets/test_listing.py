from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from inspect_fer.datasets.lazy import LazyRows
from inspect_fer.datasets.listing import Face, below, counts_of, gather, pictures, split_by_person
from inspect_fer.errors import DataError

NAMES = ("anger", "fear")
READ = partial(LazyRows, read=lambda entries: torch.zeros(len(entries), 1, 2, 2, dtype=torch.uint8))


def test_rows_are_kept_or_counted_by_split():
    faces = [
        Face(1, "a", 0, "train", "x"),
        Face(2, "b", 1, "test", "y"),
        Face(3, "c", 1, "train", "x", dropped="blank"),
        Face(4, "d", -1, "test", "y", dropped="blank"),
    ]
    found = gather("mine", faces, ("train",), READ, NAMES)
    assert found.ids == ("mine/train/a",)
    assert found.subjects == ("x",)
    assert found.dropped == {"blank": 1}
    assert counts_of(faces, NAMES) == {"anger": 1, "fear": 1}
    with pytest.raises(DataError, match="This mine has no faces of the split select"):
        gather("mine", faces, ("select",), READ, NAMES)


def test_people_of_dropped_rows_alone_are_counted_once():
    faces = [Face(row, str(row), 0, subject=person) for row, person in enumerate("abcde")]
    faces.append(Face(9, "9", -1, subject="z", dropped="blank"))
    splits = ("train", "select", "test")
    counted = [gather("mine", split_by_person(faces, (split,), 0), (split,), READ, NAMES).dropped for split in splits]
    assert sum(count.get("blank", 0) for count in counted) == 1


def test_few_people_can_be_read_together_but_not_split():
    faces = [Face(row, str(row), 0, subject=person) for row, person in enumerate("aab")]
    whole = ("train", "select", "test")
    assert gather("mine", split_by_person(faces, whole, 0), whole, READ, NAMES).ids == (
        "mine/all/0",
        "mine/all/1",
        "mine/all/2",
    )
    with pytest.raises(DataError, match="takes three people or more, here: a, b"):
        split_by_person(faces, ("train",), 0)


def test_missing_pictures_are_told_at_once(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert pictures([tmp_path / "a.png"], size=None, channels=None).shape == (1, 1, 4, 4)
    with pytest.raises(DataError, match="2 of 3 pictures are not there, the first is .*b.png"):
        pictures([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"], size=None, channels=None)


def test_a_place_is_found_up_to_two_folders_down(tmp_path):
    assert below(tmp_path, "list.txt") is None
    for folder in ("a/b/c", "a/b", "a"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "list.txt").touch()
        found = below(tmp_path, "list.txt")
        assert found == (None if folder == "a/b/c" else tmp_path / Path(folder) / "list.txt")
