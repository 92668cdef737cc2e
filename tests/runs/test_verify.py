import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from inspect_fer.datasets import samples_for
from inspect_fer.errors import RunError
from inspect_fer.runs import make_run, verify
from inspect_fer.runs.overview import summary
from inspect_fer.runs.shards import about
from inspect_fer.runs.store import StoredMaps, read_maps, write_maps

OPTIONS = {"shard": 8, "threads": 1, "targets": "all"}


@pytest.fixture
def run(model, faces, tmp_path):
    return make_run(tmp_path / "run", model, faces, ["grad-cam", "saliency", "rise?masks=20"], **OPTIONS)


def test_what_was_just_made_is_what_the_network_says(run):
    found = verify(run.folder, samples=9)
    assert found.samples == 9
    assert found.differing == []
    assert set(found.maps) == {"grad-cam", "saliency", "rise"}
    assert all(0 < far < 1e-3 for far in found.maps.values())  # rounded to float16


@pytest.mark.parametrize("name", ["grad-cam", "saliency"])
def test_maps_of_something_else_are_found(run, name):
    for path in (run.folder / "maps" / name).glob("*/shard*"):
        found, header = read_maps([path]), {name: about(path)[name] for name in ("essence", "contents")}
        write_maps(path, type(found)(**{**vars(found), "maps": found.maps * 1.01}), header)
    assert verify(run.folder).differing == [name]


def test_answers_of_something_else_are_found(run, monkeypatch):
    run.prediction.logits[:] += torch.randn(7)
    monkeypatch.setattr("inspect_fer.runs.verifying.open_run", lambda _: run)
    assert "answers" in verify(run.folder).differing


def test_scores_of_something_else_are_found(run):
    path = run.folder / "metrics.json"
    scores = json.loads(path.read_text())
    scores["per_class"]["fear"]["recall"] = 0.99
    path.write_text(json.dumps(scores))
    assert verify(run.folder).differing == ["metrics.json"]


@pytest.mark.parametrize("samples", [1, 14])
def test_labels_of_something_else_are_found_in_every_shard_without_the_network(run, monkeypatch, samples):
    from inspect_fer.runs import work

    read = work.samples_of

    def relabelled(*args):
        faces = read(*args)
        return replace(faces, labels=(faces.labels + 1) % 7)

    monkeypatch.setattr(work, "samples_of", relabelled)
    found = verify(run.folder, samples=samples)
    assert (found.differing, found.other, found.shards, found.of) == (["samples"], (0, 1), 2, 2)


def test_one_replaced_picture_is_found_in_the_shards_of_the_drawn_samples(model, tmp_path):
    for number in range(8):
        Image.effect_noise((32, 32), 60).save(tmp_path / f"{number}.png")
    faces = samples_for(model.card, f"folder:{tmp_path}")
    folder = make_run(tmp_path / "run", model, faces, ["grad-cam"], limit=6, **OPTIONS | {"shard": 2}).folder
    assert verify(folder, samples=8).differing == []
    (few,) = {verify(folder, samples=1).shards}
    assert few == 1
    Image.effect_noise((32, 32), 60).save(tmp_path / "5.png")
    found = verify(folder, samples=8)
    assert ("samples" in found.differing, found.other, found.shards) == (True, (2,), 4)


def test_maps_of_other_samples_than_the_answers_are_found(run):
    path = next((run.folder / "maps" / "grad-cam").glob("*/shard-00001*"))
    write_maps(path, read_maps([path]), {"essence": about(path)["essence"], "contents": "0"})
    assert verify(run.folder).other == (1,)


def test_another_network_of_the_same_name_is_told(run):
    values = json.loads((run.folder / "run.json").read_text())
    values["model"]["sha256"] = "0"
    (run.folder / "run.json").write_text(json.dumps(values))
    with (
        pytest.warns(UserWarning, match="0 of 8 shards"),
        pytest.raises(RunError, match=r"small.safetensors is another"),
    ):
        verify(run.folder)


def test_maps_of_too_few_samples_are_found(run):
    path = next((run.folder / "maps" / "rise").glob("*/shard-00001*"))
    found, header = read_maps([path]), {name: about(path)[name] for name in ("essence", "contents")}
    write_maps(path, found.of([0, 1]), header)
    with pytest.warns(UserWarning, match="7 of 8 shards are there. Left out: rise"):
        assert "rise" not in verify(run.folder).maps


def test_no_method_is_held_whole(run, monkeypatch):
    monkeypatch.setattr(StoredMaps, "__getitem__", lambda *_: pytest.fail("all maps in memory"))
    assert verify(run.folder, samples=9).differing == []


def test_a_run_in_one_line(run):
    line = summary(run.folder)
    assert (line.name, line.network, line.faces, line.problem) == ("run", "small", 14, "")
    assert line.methods == ("grad-cam", "saliency", "rise")
    assert line.accuracy == run.metrics["accuracy"]
    assert line.size == sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    next(run.folder.glob("maps/saliency/*/shard*")).unlink()
    assert summary(run.folder).problem == "unfinished: 7 of 8 shards"
    (run.folder / "predictions.parquet").unlink()
    assert summary(run.folder).problem == "unfinished: 7 of 8 shards"
    (run.folder / "run.json").write_text("{")
    assert summary(run.folder).problem.startswith("is damaged")


def test_faces_in_one_line_are_those_that_could_be_read(model, tmp_path):
    for number in range(4):
        Image.effect_noise((32, 32), 60).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture")
    run = make_run(tmp_path / "run", model, samples_for(model.card, f"folder:{tmp_path}"), ["grad-cam"])
    assert summary(run.folder).faces == len(run) == 3
