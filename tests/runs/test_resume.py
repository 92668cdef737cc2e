"""A run goes on where it was stopped, and ends with the bytes of one that was not."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from inspect_fer.datasets import samples_for
from inspect_fer.errors import ConfigError, RunError, TargetError
from inspect_fer.explain import METHODS, explain
from inspect_fer.predict import predict
from inspect_fer.runs import make_part, make_run, open_run
from inspect_fer.runs.work import Job

TWO = ["grad-cam", "layer-cam"]


def made(folder, model, faces, methods=("grad-cam",), **options):
    return make_run(folder, model, faces, list(methods), **{"shard": 4, "threads": 1, "targets": "all"} | options)


def count_shards(monkeypatch):
    """Tells which shards are really made."""
    numbers, fill = [], Job._fill

    def counted(self, part, *args, **options):
        numbers.append(part.number)
        return fill(self, part, *args, **options)

    monkeypatch.setattr(Job, "_fill", counted)
    return numbers


@pytest.fixture(scope="module")
def killed(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(checkpoint), str(folder), "20"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, int(done.stdout)


def test_killed_twenty_times_at_random_it_ends_with_the_same_bytes(killed, same):
    folder, unfinished = killed
    assert unfinished >= 10  # others were just done
    for number in range(20):
        same(folder / "whole", folder / f"killed{number}")


def test_killed_before_the_manifest_was_whole_it_begins_anew(model, faces, tmp_path):
    (tmp_path / ".run.json.77-abcdef01.part").write_text("{")
    assert len(made(tmp_path, model, faces)) == 14
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".thesis").write_text("...")
    with pytest.raises(RunError, match="is there already"):
        made(tmp_path / "other", model, faces)


def test_two_writers_on_one_run_end_with_the_same_bytes(killed, same):
    same(killed[0] / "whole", killed[0] / "two")


def test_answers_and_maps_are_those_of_predict_and_explain(model, faces, tmp_path):
    run = made(tmp_path / "run", model, faces, ["grad-cam", "occlusion"])
    fresh = explain(model, faces, ["grad-cam", "occlusion"], targets="all")
    torch.testing.assert_close(run.prediction.logits, predict(model, faces).logits, rtol=1e-4, atol=1e-5)
    for name, found in run.explanations.items():
        scale = fresh[name].maps.abs().amax((2, 3), keepdim=True)
        assert ((found.maps - fresh[name].maps).abs() <= scale * 2**-10 + 1e-6).all()
        torch.testing.assert_close(found.confidence, fresh[name].confidence, rtol=1e-4, atol=1e-5)


def test_the_same_command_does_only_what_is_missing(model, faces, tmp_path, same, monkeypatch):
    run = made(tmp_path / "run", model, faces, TWO)
    made(tmp_path / "whole", model, faces, TWO)
    numbers = count_shards(monkeypatch)
    made(run.folder, model, faces, TWO)
    assert numbers == []
    next(run.folder.glob("maps/layer-cam/*/shard-00002*")).unlink()
    made(run.folder, model, faces, TWO)
    assert numbers == [2]
    same(run.folder, tmp_path / "whole")


@pytest.mark.parametrize("place", ["answers", "maps/grad-cam/*"])
def test_a_shard_damaged_by_hand_is_found_and_made_again(model, faces, tmp_path, same, monkeypatch, place):
    run = made(tmp_path / "run", model, faces)
    made(tmp_path / "whole", model, faces)
    path = next(run.folder.glob(f"{place}/shard-00001*"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)
    numbers = count_shards(monkeypatch)
    made(run.folder, model, faces)
    assert numbers == [1]
    same(run.folder, tmp_path / "whole")


def shards(folder):
    return {path: path.read_bytes() for path in folder.rglob("shard*")}


def test_other_methods_are_put_beside(model, faces, tmp_path, monkeypatch):
    run = made(tmp_path / "run", model, faces)
    held, numbers = shards(run.folder), count_shards(monkeypatch)
    both = made(run.folder, model, faces, ["grad-cam", "occlusion?window=16&stride=8"])
    assert numbers == [0, 1, 2, 3]
    assert list(both.explanations) == ["grad-cam", "occlusion"]
    assert len(shards(run.folder)) == 12
    assert {path: shards(run.folder)[path] for path in held} == held


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("grad-cam", {"targets": "predicted"}, "grad-cam made otherwise (targets: all, not predicted)"),
        ("grad-cam", {"layer": "blocks.2.relu"}, "grad-cam made otherwise (layer: blocks.3.relu, not blocks.2.relu)"),
        ("grad-cam", {"memory": "2GB"}, "grad-cam made otherwise (memory: 1GB, not 2GB)"),
        ("occlusion?window=8&stride=8", {}, "occlusion made otherwise (window: 16, not 8)"),
        ("saliency", {"every_class": True}, "saliency made otherwise (classes: two of each, not every one)"),
    ],
)
def test_maps_made_otherwise_are_never_lost_or_met_by_others(model, faces, tmp_path, method, options, says):
    run = made(tmp_path / "run", model, faces, ["grad-cam", "saliency", "occlusion?window=16&stride=8"])
    held, words = shards(run.folder), (run.folder / "run.json").read_bytes()
    with pytest.raises(RunError, match=re.escape(f"run holds {says}. Name another folder, or replace the whole run")):
        made(run.folder, model, faces, [method], **options)
    assert (shards(run.folder), (run.folder / "run.json").read_bytes()) == (held, words)
    whole = made(run.folder, model, faces, [method], overwrite=True, **options)
    assert len(shards(run.folder)) == 8  # nothing of the old run stays
    assert len(whole.explanations) == 1


def test_the_same_options_in_other_words_are_the_same(model, faces, tmp_path):
    run = made(tmp_path / "run", model, faces)
    held = shards(run.folder)
    made(run.folder, model, faces, memory="1GB", layer="blocks.3.relu")
    assert shards(run.folder) == held


def test_options_may_change_before_there_is_a_map(model, faces, tmp_path, same):
    run = made(tmp_path / "run", model, faces, TWO, targets="predicted")
    for path in run.folder.glob("maps/layer-cam/*/shard*"):
        path.unlink()
    changed = made(run.folder, model, faces, ["layer-cam"])
    assert {name: found.maps.shape[1] for name, found in changed.explanations.items()} == {
        "grad-cam": 1,
        "layer-cam": 7,
    }


def test_what_was_begun_aside_with_other_options_gives_way(model, faces, tmp_path, same):
    whole, run = made(tmp_path / "whole", model, faces), made(tmp_path / "run", model, faces, [])
    made(tmp_path / ".run.new", model, faces, layer="blocks.2.relu")
    made(run.folder, model, faces, overwrite=True)
    same(run.folder, whole.folder)


def test_edited_pixels_never_meet_an_old_shard(model, tmp_path, monkeypatch):
    for number in range(8):
        Image.new("L", (32, 32), 20 * number).save(tmp_path / f"{number}.png")
    faces = samples_for(model.card, f"folder:{tmp_path}")
    made(tmp_path / "run", model, faces)
    numbers = count_shards(monkeypatch)
    Image.new("L", (32, 32), 255).save(tmp_path / "6.png")
    made(tmp_path / "run", model, faces)
    assert numbers == [1]


def test_another_network_or_dataset_is_another_run(model, faces, tmp_path):
    made(tmp_path / "run", model, faces)
    other = replace(model, card=replace(model.card, mean=(0.4,)))
    for changes, says in (
        ({"model": other}, "another preprocessing"),
        ({"faces": faces[:9]}, r"another number of samples \(14, not 9\)"),
        (
            {"faces": samples_for(model.card, "synthetic:14", "select")},
            r"another dataset \(synthetic:14.*not synthetic:14",
        ),
        ({"shard": 5}, r"another size of a shard \(4, not 5\)"),
    ):
        with pytest.raises(RunError, match=f"holds a run of ({says}).*--force"):
            made(tmp_path / "run", **{"model": model, "faces": faces} | changes)


def test_a_full_disk_loses_nothing(model, faces, tmp_path, same, monkeypatch):
    made(tmp_path / "whole", model, faces, TWO)
    room, fsync = [9], os.fsync

    def full(descriptor):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device.*What is whole is kept.*start the same run again"):
        made(tmp_path / "run", model, faces, TWO)
    kept = len(list((tmp_path / "run").rglob("shard*")))
    assert kept == 8
    assert not list((tmp_path / "run").rglob(".*.part"))
    with pytest.raises(RunError, match="is not finished: 8 of 12 shards are there. Start the same run again"):
        open_run(tmp_path / "run")
    room[0] = 1000
    made(tmp_path / "run", model, faces, TWO)
    same(tmp_path / "run", tmp_path / "whole")


def test_shares_of_an_array_of_jobs_end_with_the_same_bytes(model, faces, tmp_path, same):
    made(tmp_path / "whole", model, faces, TWO)
    options = {"shard": 4, "threads": 1, "targets": "all"}
    assert make_part(tmp_path / "run", model, faces, TWO, part=(2, 3), **options) is None
    assert make_part(tmp_path / "run", model, faces, TWO, part=(3, 3), **options) is None
    assert make_part(tmp_path / "run", model, faces, TWO, part=(1, 3), **options) is not None
    same(tmp_path / "run", tmp_path / "whole")
    for part in ((0, 3), (4, 3)):
        with pytest.raises(ConfigError, match=r"i/n with i from 1 to n, not"):
            make_part(tmp_path / "run", model, faces, TWO, part=part, **options)


def test_fine_maps_are_of_two_classes_unless_every_one_is_asked_for(model, faces, tmp_path):
    run = made(tmp_path / "run", model, faces, ["grad-cam", "saliency"])
    kept = run.explanations["saliency"]
    assert run.explanations["grad-cam"].maps.shape[1] == 7
    assert kept.maps.shape == (14, 2, 32, 32)
    assert torch.equal(kept.targets[:, 0], run.prediction.predicted)
    wrong = run.prediction.wrong
    assert wrong.any()
    assert torch.equal(kept.targets[wrong, 1], run.prediction.labels[wrong])
    second = run.prediction.logits.topk(2).indices[:, 1]
    assert torch.equal(kept.targets[~wrong, 1], second[~wrong])
    whole = made(tmp_path / "all", model, faces, ["saliency"], every_class=True)
    assert whole.explanations["saliency"].maps.shape[1] == 7


def test_some_are_explained_and_all_predicted(model, faces, tmp_path):
    run = made(tmp_path / "run", model, faces, limit=5)
    assert (len(run), len(run.explanations["grad-cam"])) == (14, 5)
    assert torch.equal(run.explanations["grad-cam"].confidence, run.prediction.confidence[:5])


def test_a_run_with_a_limit_is_completed_without_one_and_back(model, faces, tmp_path, same, monkeypatch):
    whole, run = made(tmp_path / "whole", model, faces, TWO), made(tmp_path / "run", model, faces, TWO, limit=5)
    assert len(made(run.folder, model, faces, TWO).explanations["layer-cam"]) == 14
    same(run.folder, whole.folder)
    numbers = count_shards(monkeypatch)
    made(run.folder, model, faces, TWO)
    assert numbers == []
    words = (run.folder / "run.json").read_bytes()
    assert len(made(run.folder, model, faces, TWO, limit=6).explanations["layer-cam"]) == 14  # more is there: kept
    assert numbers == []
    assert (run.folder / "run.json").read_bytes() == words
    same(run.folder, whole.folder)


def test_a_shard_of_which_too_few_are_explained_is_missing(model, faces, tmp_path):
    run, options = made(tmp_path / "run", model, faces, TWO, limit=6), {"shard": 4, "threads": 1, "targets": "all"}
    assert make_part(run.folder, model, faces, TWO, part=(1, 2), **options) is None  # shard 1 holds two of four faces


def test_what_cannot_be_asked_for_is_told_before_any_work(model, faces, tmp_path):
    with pytest.raises(TargetError, match="14 images need 14 targets"):
        made(tmp_path / "run", model, faces, targets=[1, 2])
    with pytest.raises(RunError, match="Other processes load network and samples by their names"):
        made(tmp_path / "run", replace(model, origin=""), faces, workers=2)
    with pytest.raises(ConfigError, match="A shard holds at least one sample"):
        made(tmp_path / "other", model, faces, shard=0)


def test_methods_of_ones_own_names_and_options_come_back(model, faces, tmp_path):
    methods = {"wide": METHODS["occlusion"](window=16, stride=8), "near": METHODS["occlusion"](window=8, stride=8)}
    run = make_run(tmp_path / "run", model, faces, methods)
    assert {name: found.method["window"] for name, found in run.explanations.items()} == {"wide": 16, "near": 8}


def test_the_maps_of_two_methods_are_held_at_most_and_parts_make_up_the_whole(model, faces, tmp_path):
    run = made(tmp_path / "run", model, faces, ["grad-cam", "layer-cam", "fem"])
    first = run.explanations["grad-cam"]
    assert run.explanations["grad-cam"] is first
    assert run.explanations["layer-cam"] is not None
    assert run.explanations["grad-cam"] is first
    assert run.explanations["fem"] is not None
    assert run.explanations["grad-cam"] is not first
    parts = list(run.explanations.parts("grad-cam"))
    assert [len(part) for part in parts] == [4, 4, 4, 2]
    assert torch.equal(torch.cat([part.maps for part in parts]), first.maps)
    assert torch.equal(torch.cat([part.confidence for part in parts]), first.confidence)
