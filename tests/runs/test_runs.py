import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

from inspect_fer.errors import DataError, RunError
from inspect_fer.explain import METHODS
from inspect_fer.runs import faces_of, features_of, make_run, open_run, run_folders, save_run, verify
from inspect_fer.runs.overview import summary
from inspect_fer.runs.store import read_maps, write_maps
from inspect_fer.schema import Explanation, ModelCard


@pytest.fixture
def run(model, faces, tmp_path):
    methods = {"grad-cam": METHODS["grad-cam"](), "wide": METHODS["occlusion"](window=16, stride=8)}
    return make_run(tmp_path / "run", model, faces, methods, targets="all", limit=5, command="test")


def test_a_run_comes_back_as_it_was(run, model, faces):
    again = open_run(run.folder)
    assert again.prediction.ids == faces.ids
    assert torch.equal(again.prediction.labels, faces.labels)
    assert again.manifest["command"] == "test"
    assert again.manifest["model"]["origin"] == model.origin
    assert ModelCard.from_dict(again.manifest["card"]) == model.card
    assert again.metrics["n"] == 14
    assert json.loads((run.folder / "run.json").read_text())["schema"] == 2


def test_maps_come_back_within_half_precision_of_their_own_scale(run, model, faces):
    from inspect_fer.explain import explain

    fresh = explain(
        model, faces[:5], {"grad-cam": "grad-cam", "wide": METHODS["occlusion"](window=16, stride=8)}, targets="all"
    )
    for name, stored in run.explanations.items():
        scale = fresh[name].maps.abs().amax((2, 3), keepdim=True)
        assert ((stored.maps - fresh[name].maps).abs() <= scale * 2**-11 + 1e-12).all()
        assert stored.ids == faces.ids[:5]
        assert torch.equal(stored.targets, fresh[name].targets)
        assert (stored.footprint, stored.layer, dict(stored.method)) == (
            fresh[name].footprint,
            fresh[name].layer,
            dict(fresh[name].method),
        )


def test_tiny_and_broken_maps_survive(tmp_path):
    maps = torch.zeros(1, 3, 2, 2)
    maps[0, 0] = torch.tensor([[1e-12, -3e-12], [0, 2e-12]])
    maps[0, 1, 0, 0] = torch.nan
    explanation = Explanation(("a",), maps, torch.zeros(1, 3, dtype=torch.int64), {"name": "x"}, "", (1, 4, 4))
    explanation = replace(explanation, turned=torch.tensor([[True, False, False]]))
    write_maps(tmp_path / "maps" / "shard", explanation, {})
    again = read_maps([tmp_path / "maps" / "shard"])
    assert torch.allclose(again.maps[0, 0], maps[0, 0], rtol=1e-3, atol=0)
    assert torch.equal(again.maps[0, 1].isnan(), maps[0, 1].isnan())
    assert torch.equal(again.health, explanation.health)
    assert again.remark(0, 0) == "sign turned"


def test_predictions_open_with_pandas(run):
    table = pd.read_parquet(run.folder / "predictions.parquet")
    assert list(table.columns[:4]) == ["id", "label", "predicted", "confidence"]
    assert len(table) == 14


@pytest.mark.parametrize(
    ("column", "says"), [("label", "id, label or logits"), ("predicted", "predicted"), ("confidence", "confidence")]
)
def test_a_table_that_says_otherwise_than_the_answers_is_found_and_written_anew(run, model, faces, column, says):
    path = run.folder / "predictions.parquet"
    content, table = path.read_bytes(), pd.read_parquet(path)
    table[column] = (table[column] + 1) % 7
    table.to_parquet(path, index=False)
    for use in (open_run, verify):
        with pytest.raises(RunError, match=f"the {says} in predictions.parquet is not what its answers say. Start"):
            use(run.folder)
    make_run(run.folder, model, faces, [])
    assert path.read_bytes() == content


def test_a_table_of_fewer_rows_or_other_ids_is_found(run):
    path = run.folder / "predictions.parquet"
    table = pd.read_parquet(path)
    for other in (table[:-1], table.assign(id=table["id"] + "x")):
        other.to_parquet(path, index=False)
        with pytest.raises(RunError, match="id, label or logits in predictions.parquet is not what"):
            open_run(run.folder)


def test_faces_are_read_again_from_their_dataset(run, faces):
    again = faces_of(run)
    assert torch.equal(again.pixels, faces.pixels)
    assert again.ids == faces.ids
    assert torch.equal(again.truth["label"], faces.truth["label"])


def test_faces_of_no_dataset_are_kept_in_the_run(model, faces, tmp_path):
    from dataclasses import replace

    loose = replace(faces, source={})
    again = faces_of(make_run(tmp_path / "loose", model, loose, []))
    assert torch.equal(again.pixels, faces.pixels)
    assert torch.equal(again.labels, faces.labels)
    assert torch.equal(again.truth["label"], faces.truth["label"])


def test_edited_faces_are_never_taken_for_the_originals(model, faces, tmp_path):
    from dataclasses import replace

    dark = replace(faces, pixels=torch.zeros_like(faces.pixels))
    run = make_run(tmp_path / "dark", model, dark, [])
    with pytest.raises(DataError, match="are no longer those of synthetic:14"):
        faces_of(run)
    kept = make_run(tmp_path / "kept", model, replace(dark, source={}), [])
    assert not faces_of(kept).pixels.any()


def test_what_does_not_belong_together_is_no_run(run, model, faces, tmp_path):
    with pytest.raises(RunError, match="The prediction is of other samples"):
        save_run(tmp_path / "a", model, faces[:3], run.prediction)
    other = Explanation(
        ("x",), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, dtype=torch.int64), {"name": "m"}, "", (1, 4, 4)
    )
    with pytest.raises(RunError, match="m is of other samples"):
        save_run(tmp_path / "a", model, faces, run.prediction, other)


def test_a_taken_folder_is_told_before_the_work(model, faces, tmp_path, monkeypatch):
    (tmp_path / "thesis.tex").write_text("...")
    monkeypatch.setattr("inspect_fer.runs.trying.examine", lambda *_, **__: pytest.fail("worked for nothing"))
    with pytest.raises(RunError, match="is there already"):
        make_run(tmp_path, model, faces, ["grad-cam"])


def test_an_interruption_while_replacing_keeps_the_old_run(run, model, faces, monkeypatch):
    from pathlib import Path

    rename = Path.rename

    def interrupted(self, target):
        if self.name.endswith(".part"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_run(run.folder, model, faces, run.prediction, overwrite=True)
    assert len(open_run(run.folder).explanations) == 2


def test_a_folder_that_is_taken_is_refused_and_only_a_run_is_overwritten(run, model, faces):
    before = (run.folder / "run.json").read_bytes()
    with pytest.raises(RunError, match="is there already.*--force"):
        save_run(run.folder, model, faces, run.prediction)
    assert (run.folder / "run.json").read_bytes() == before
    assert save_run(run.folder, model, faces, run.prediction, overwrite=True).explanations == {}
    precious = run.folder.parent / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("...")
    with pytest.raises(RunError, match="is there already"):
        save_run(precious, model, faces, run.prediction, overwrite=True)
    assert (precious / "chapter1.tex").read_text() == "..."


def test_a_full_disk_leaves_what_was_there(run, model, faces, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inspect_fer.runs.folder.write_whole", full)
    with pytest.raises(RunError, match="No space left on device.*untouched"):
        save_run(run.folder, model, faces, run.prediction, overwrite=True)
    assert len(open_run(run.folder).explanations) == 2
    assert [path.name for path in run.folder.parent.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "predictions.parquet").write_bytes(b"x"), "is damaged"),
        (lambda folder: (folder / "run.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "metrics.json").unlink(), "is damaged"),
        (lambda folder: (folder / "run.json").unlink(), "holds no run"),
    ],
)
def test_damage_is_found_and_named(run, damage, says):
    damage(run.folder)
    with pytest.raises(RunError, match=says) as caught:
        open_run(run.folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
def test_a_method_whose_maps_are_damaged_is_left_out_with_a_word(run, damage):
    damage(next(run.folder.glob("maps/wide/*/shard*")))
    with pytest.warns(
        UserWarning, match="is not finished: 2 of 3 shards are there. Left out: wide. Start the same run"
    ):
        again = open_run(run.folder)
    assert list(again.explanations) == ["grad-cam"]
    assert torch.equal(again.explanations["grad-cam"].maps, run.explanations["grad-cam"].maps)


@pytest.mark.parametrize(
    "change",
    [
        {"samples": None},
        {"samples": "14"},
        {"shard": 0},
        {"groups": [{"methods": {}}]},
        {"groups": [{"methods": {"a": {"layer": ""}}, "options": None, "limit": None, "few": []}]},
        {"groups": [{"methods": {}, "options": None, "limit": "x", "few": []}]},
        {"card": {}},
        {"model": {"origin": ""}},
        {"dataset": {"spec": 3}},
        {"versions": []},
        {"schema": "two"},
        {"command": None},
    ],
)
def test_a_manifest_that_makes_no_sense_is_named_by_everyone_and_replaced(run, model, faces, change):
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    says = f"is damaged: what run.json says of {next(iter(change))} is missing or makes no sense. .*--force"
    for use in (open_run, lambda folder: make_run(folder, model, faces, []), verify):
        with pytest.raises(RunError, match=says):
            use(run.folder)
    assert "makes no sense" in summary(run.folder).problem
    assert len(make_run(run.folder, model, faces, [], overwrite=True)) == 14


def test_some_of_many_saved_faces_may_be_explained(run, model, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("inspect_fer.runs.saving.SHARD", 4)
    saved = save_run(tmp_path / "saved", model, faces, run.prediction, run.explanations["grad-cam"].of([4]))
    assert saved.explanations["grad-cam"].ids == (faces.ids[4],)
    with pytest.raises(RunError, match="holds no features: its answers were given"):
        features_of(saved)


def test_a_run_of_a_later_version_says_which(run):
    manifest = json.loads((run.folder / "run.json").read_text())
    manifest |= {"schema": 99, "versions": {"inspect-fer": "7.0"}}
    (run.folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="written by inspect-fer 7.0 as schema 99; this version reads schema 2. Update"):
        open_run(run.folder)


def test_a_dataset_that_has_gone_is_told(run):
    manifest = json.loads((run.folder / "run.json").read_text())
    manifest["dataset"]["spec"] = "folder:/nowhere/at/all"
    manifest["dataset"]["options"] = {}
    (run.folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="/nowhere/at/all is not a folder"):
        faces_of(open_run(run.folder))


def test_runs_are_listed_newest_first(run, model, faces):
    make_run(run.folder.parent / "later", model, faces, [])
    (run.folder.parent / "other").mkdir()
    assert [folder.name for folder in run_folders(run.folder.parent)] == ["later", "run"]


def test_a_run_of_an_older_version_says_how_to_make_it_again(run):
    manifest = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(manifest | {"schema": 1, "command": "inspect-fer run --model m"}))
    with pytest.raises(RunError, match="as schema 1; .* Make it again: inspect-fer run --model m"):
        open_run(run.folder)


def test_maps_that_were_changed_are_found_by_their_checksum(run):
    path = next(run.folder.glob("maps/*/*/shard*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    opened = open_run(run.folder)  # the header is whole
    with pytest.raises(RunError, match=r"is damaged .checksum differs.*Start the same run again"):
        [found.maps for found in opened.explanations.values()]
