"""Networks and datasets that lie elsewhere than when the run was begun."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from inspect_fer.datasets import samples_for
from inspect_fer.errors import DataError, RunError
from inspect_fer.models.checkpoint import load
from inspect_fer.runs import faces_of, open_run, verify
from inspect_fer.runs.engines import _make


@pytest.fixture
def moved(make, checkpoint, tmp_path, monkeypatch):
    """A run whose network and pictures, named from the folder in which it was made, have moved."""
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "faces").mkdir(parents=True)
    for number in range(6):
        Image.effect_noise((32, 32), 60).save(old / "faces" / f"{number}.png")
    shutil.copy(checkpoint, old / "net.safetensors")
    monkeypatch.chdir(old)
    model = load("net.safetensors")
    run = make(tmp_path / "run", "grad-cam", model=model, faces=samples_for(model.card, "folder:faces"))
    monkeypatch.chdir(tmp_path)
    assert verify(run.folder).differing == []  # from another folder
    old.rename(new)
    return run.folder


def test_a_moved_run_says_of_which_and_what_to_do(moved):
    with pytest.raises(RunError, match=r"The network of .*run cannot be loaded: .*net.safetensors.*--model FILE"):
        verify(moved)
    with pytest.raises(
        DataError, match=r"The faces of .*run cannot be read: .*faces is not a folder.*--data KIND:PATH"
    ):
        faces_of(open_run(moved))


def test_network_and_dataset_may_be_named_anew(moved):
    model, spec = load("new/net.safetensors"), "folder:new/faces"
    assert verify(moved, model=model, spec=spec).differing == []
    assert faces_of(open_run(moved), spec).ids == open_run(moved).prediction.ids


def test_a_run_goes_on_from_where_they_lie_now_and_takes_note(make, moved, monkeypatch):
    model = load("new/net.safetensors")
    faces = samples_for(model.card, "folder:new/faces")
    before = {path: path.read_bytes() for path in moved.rglob("shard*")}
    run = make(moved, "layer-cam", model=model, faces=faces)
    assert list(run.explanations) == ["grad-cam", "layer-cam"]
    assert all(path.read_bytes() == content for path, content in before.items())
    assert Path(run.manifest["model"]["origin"]) == Path("new/net.safetensors").absolute()
    assert verify(moved).differing == []
    Image.new("L", (32, 32)).save("new/faces/0.png")
    Path("new").rename("newer")
    with pytest.raises(RunError, match="holds a run of another dataset"):
        make(moved, "grad-cam", model=model, faces=samples_for(model.card, "folder:newer/faces"))


def test_the_same_pixels_with_other_labels_are_another_dataset(make, model, tmp_path):
    make(tmp_path / "run", "grad-cam")
    other = samples_for(model.card, "synthetic:14", "select")
    with pytest.raises(RunError, match="holds a run of another dataset"):
        make(tmp_path / "run", "grad-cam", faces=other)


def test_a_worker_says_what_it_cannot_load(moved):
    with pytest.raises(RunError, match="The network of .*run cannot be loaded") as caught:
        _make(moved, 0)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301  # as it comes back


def test_a_run_of_a_network_in_memory_is_verified_in_python(make, model, tmp_path):
    run = make(tmp_path / "run", "grad-cam", model=replace(model, origin=""))
    with pytest.raises(
        RunError, match=r"was in memory, not in a file. In Python, give it: verify\(folder, model=network\)"
    ):
        verify(run.folder)
    assert verify(run.folder, model=model).differing == []


def test_faces_that_were_kept_and_have_gone_are_told(make, faces, tmp_path):
    run = make(tmp_path / "run", "grad-cam", faces=replace(faces, source={}))
    (run.folder / "pixels.safetensors").unlink()
    with pytest.raises(DataError, match="kept its faces in pixels.safetensors, which has gone"):
        faces_of(run)
