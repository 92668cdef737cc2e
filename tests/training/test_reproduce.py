import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.errors import ConfigError, DataError, RunError, UnknownNameError
from inspect_fer.metrics import evaluate
from inspect_fer.models.checkpoint import load
from inspect_fer.predict import predict
from inspect_fer.training import read_recipe
from inspect_fer.training import reproduce as module
from inspect_fer.training.experiments import SOURCES, Experiment, experiments, parts_of
from inspect_fer.training.reproduce import MINIATURES, Lab, reproduce, shortened, smoke


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    specs = [write_miniature(layout, root / layout, per_class=2) for layout in MINIATURES]
    return parts_of([*specs, f"fer2013:{root / 'ferplus'}"])


def short(name, *, options=None, **training):
    """An experiment of few epochs."""
    (found,) = experiments(only=[name])
    recipe = shortened(found.recipe)
    network = replace(recipe.network, options={**recipe.network.options, **(options or {})})
    return replace(found, recipe=replace(recipe, network=network, training=replace(recipe.training, **training)))


def kc(name):
    return short(name, options={"width": 4, "dense": 16})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_experiments_of_all_sources_of_one_and_by_name():
    assert {each.published.source for each in experiments()} == set(SOURCES)
    assert [each.name for each in experiments("001")] == [
        "s001_keras_cnn4",
        "s001_keras_cnn4_augmented",
        "s001_mobilenet_v2_transfer",
    ]
    assert [each.name for each in experiments("004", ["s004_unet", "s004_small"])] == ["s004_unet", "s004_small"]


def test_an_unknown_source_or_experiment_is_told():
    with pytest.raises(
        UnknownNameError, match="No source is called '005'. Did you mean '004'\\? Choose from: 000, 001"
    ):
        experiments("005")
    with pytest.raises(UnknownNameError, match="No experiment is called 's004_unett'. Did you mean 's004_unet'"):
        experiments(only=["s004_unett"])
    with pytest.raises(UnknownNameError, match="No experiment is called 's004_unet'"):
        experiments("000", ["s004_unet"])


def test_parts_are_named_once_each():
    assert [str(part) for part in parts_of(["rafdb:/a", "fer2013:/b+tfeid:/c?seed=1"]).values()] == [
        "rafdb:/a",
        "fer2013:/b",
        "tfeid:/c?seed=1",
    ]
    with pytest.raises(ConfigError, match="Name each kind of dataset once; rafdb is rafdb:/a and rafdb:/b"):
        parts_of(["rafdb:/a", "rafdb:/b"])
    with pytest.raises(UnknownNameError, match="No dataset is called 'rafdp'. Did you mean 'rafdb'"):
        parts_of(["rafdp:/a"])
    with pytest.raises(DataError, match="A dataset is named KIND:PATH"):
        parts_of(["/a"])


def kinds_of(faces):
    return {name.partition("/")[0] for name in faces.ids}


@pytest.mark.parametrize(
    ("name", "learnt", "judged"),
    [
        ("s003_preliminary_se", {"fer2013", "rafdb", "ckplus", "tfeid"}, {"rafdb"}),
        ("s003_gimefive_aggregate", {"rafdb", "fer2013", "folder", "ckplus", "tfeid"}, {"rafdb", "fer2013"}),
    ],
)
def test_parts_of_a_combination_play_the_roles_that_the_source_gave_them(name, learnt, judged, parts, tmp_path):
    each, lab = short(name), Lab(parts, tmp_path)
    assert {role: kinds_of(lab.read(each, role)) for role in ("train", "select", "test")} == {
        "train": learnt,
        "select": judged,
        "test": judged,
    }
    whole = samples(str(parts["ckplus"]), "all", classes="six")
    assert sum(name.startswith("ckplus/") for name in lab.read(each, "train").ids) == len(whole)


def test_what_is_written_behind_a_part_comes_first(parts, tmp_path):
    own = {**parts, "tfeid": parts["tfeid"]._replace(query="test=all&train=none")}
    each = short("s003_preliminary_se")
    assert kinds_of(Lab(own, tmp_path).read(each, "test")) == {"rafdb", "tfeid"}


def test_the_ferplus_paper_measures_by_majority(parts, tmp_path):
    each, lab = short("ferplus_vgg13_multi_target"), Lab(parts, tmp_path)
    by_rule, by_majority = (samples(str(parts["ferplus"]), "PrivateTest", mode=m) for m in ("multi_target", "majority"))
    assert len(by_rule) > len(by_majority)
    assert lab.read(each, "test").ids == by_majority.ids
    assert lab.read(each, "train").ids == samples(str(parts["ferplus"]), "Training", mode="multi_target").ids


def test_how_we_measure_is_said():
    told = {each.name: each.ours for each in experiments()}
    assert told["s004_small"] == "Best of 100 epochs by macro_f1 on PublicTest, measured on PrivateTest."
    assert told["s004_residual_live"].endswith("; PublicTest and PrivateTest were learnt from too.")
    assert told["kc_tuned_cosine_all"].endswith("on PrivateTest; PublicTest was learnt from too.")
    assert told["ferplus_vgg13_majority"].endswith("measured on PrivateTest (mode=majority).")


def test_an_experiment_is_trained_once_and_then_measured(parts, tmp_path, monkeypatch):
    chosen = [short("s004_small"), short("s000_lenet_ferplus")]
    first = list(reproduce(chosen, Lab(parts, tmp_path)))
    assert [outcome.state for outcome in first] == ["trained", "trained"]
    kept = files(tmp_path)
    monkeypatch.setattr(module, "train", None)
    again = list(reproduce(chosen, Lab(parts, tmp_path)))
    assert [outcome.state for outcome in again] == ["evaluated", "evaluated"]
    assert [outcome.scores for outcome in again] == [outcome.scores for outcome in first]
    assert files(tmp_path) == kept


def test_what_is_measured_is_what_is_stored(parts, tmp_path):
    (outcome,) = reproduce([short("s000_lenet_ferplus")], Lab(parts, tmp_path))
    model = load(tmp_path / "s000_lenet_ferplus.safetensors")
    answer = evaluate(predict(model, samples(str(parts["ferplus"]), "PrivateTest", mode="crossentropy")))
    assert outcome.scores["test"]["accuracy"] == pytest.approx(answer["accuracy"], abs=1e-5)
    assert outcome.scores["test"]["exact_set"] == pytest.approx(answer["sets"]["exact_set"], abs=1e-5)
    assert model.card.scores == outcome.scores
    assert (model.card.dataset, model.card.output, len(model.card.history)) == ("ferplus", "sigmoid", 1)
    assert outcome.row()["exact_set"] == f"{100 * answer['sets']['exact_set']:.2f}"


def test_a_stopped_training_goes_on(parts, tmp_path):
    each = short("s004_small", epochs=3)

    def stop(what, done, of):
        if done > of * 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(reproduce([each], Lab(parts, tmp_path, watch=stop)))
    history = tmp_path / "s004_small.training" / "history.json"
    begun = json.loads(history.read_text())
    (outcome,) = reproduce([each], Lab(parts, tmp_path))
    assert (len(begun), outcome.state) == (1, "trained")
    assert json.loads(history.read_text())[0] == begun[0]


def test_progress_runs_to_its_end(parts, tmp_path):
    told = []
    list(reproduce([short("s004_small", epochs=2)], Lab(parts, tmp_path, watch=lambda *words: told.append(words))))
    training = [(done, of) for what, done, of in told if what == "s004_small: training"]
    assert training == sorted(training)
    assert training[-1] == (len(samples(str(parts["fer2013"]), "train")) // 2 * 4,) * 2
    assert told[-1][0] == "s004_small: test, single"


def test_experiments_that_are_trained_alike_share_a_network(parts, tmp_path):
    chosen = [kc(name) for name in ("kc_vgg", "kc_schedule_plateau", "kc_schedule_cosine")]
    found = list(reproduce(chosen, Lab(parts, tmp_path)))
    assert [outcome.state for outcome in found] == ["trained", "evaluated", "trained"]
    assert found[0].scores == found[1].scores
    assert set(files(tmp_path)) == {"kc_vgg.safetensors", "kc_schedule_cosine.safetensors"}
    assert set(found[0].scores) == {"select", "test", "select, single", "test, single"}


def test_the_tables_hold_what_was_printed_beside_what_we_measure(parts, tmp_path):
    (outcome,) = reproduce([kc("kc_vgg")], Lab(parts, tmp_path))
    with (tmp_path / "reproduce.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row == outcome.row()
    assert (row["published"], row["split"], row["n"], row["views"]) == (
        "validation 73.59, test 73.06",
        "PrivateTest",
        str(len(samples(str(parts["fer2013"]), "PrivateTest"))),
        "ten-crop",
    )
    assert row["accuracy"] == f"{100 * outcome.scores['test, single']['accuracy']:.2f}"
    assert row["accuracy_views"] == f"{100 * outcome.scores['test']['accuracy']:.2f}"
    lines = (tmp_path / "reproduce.md").read_text().splitlines()
    assert lines[0].startswith("| recipe | state | published | accuracy |")
    assert lines[2].startswith("| kc_vgg | trained | validation 73.59, test 73.06 |")
    assert len({line.count("|") for line in lines}) == 1


def test_an_experiment_that_fails_says_why_and_the_rest_goes_on(parts, tmp_path):
    chosen = [
        short("s001_mobilenet_v2_transfer", options={"weights": "none.pth"}),
        short("s000_lenet_fer2013", batch_size=4096),
        short("s004_small", learning_rate=1e30, optimizer="sgd"),
        short("s004_majority"),
    ]
    found = list(reproduce(chosen, Lab(parts, tmp_path)))
    assert [outcome.state for outcome in found] == ["failed", "failed", "failed", "trained"]
    for outcome, why in zip(
        found, ("none.pth; name the file", "fill one batch of 4096", "not a number any more"), strict=False
    ):
        assert why in outcome.says
        assert why in outcome.row()["says"]


def test_experiments_without_data_or_network_are_listed(parts, tmp_path):
    only = {"fer2013": parts["fer2013"]}
    chosen = experiments(only=["s003_preliminary_se", "s004_small"])
    found = list(reproduce(chosen, Lab(only, tmp_path), evaluate_only=True))
    assert [(outcome.state, outcome.scores) for outcome in found] == [("no data", {}), ("no checkpoint", {})]
    assert found[0].says == "needs --data rafdb:PATH --data ckplus:PATH --data tfeid:PATH"
    assert found[0].row()["accuracy"] == ""
    assert not list(tmp_path.glob("*.training"))


def test_a_network_of_another_recipe_is_not_taken(parts, tmp_path):
    each = short("s004_small")
    list(reproduce([each], Lab(parts, tmp_path)))
    (found,) = reproduce([short("s004_small", learning_rate=1e-5)], Lab(parts, tmp_path))
    assert found.state == "failed"
    assert "s004_small.safetensors was not trained by this recipe. Move it away" in found.says


def test_an_unknown_device_is_told(parts, tmp_path):
    with pytest.raises(ConfigError, match="There is no device 'foo'"):
        list(reproduce([short("s004_small")], Lab(parts, tmp_path, device="foo")))


@pytest.mark.parametrize("out", ["/proc/nothing", "taken", "taken/below"])
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(parts, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "train", None)
    (tmp_path / "taken").write_text("...")
    with pytest.raises(RunError, match=f"{out} cannot be made a folder: .*Name another --out"):
        list(reproduce([short("s004_small")], Lab(parts, Path(out))))
    assert (tmp_path / "taken").read_text() == "..."


def test_a_limit_takes_faces_from_all_over_a_split(parts, tmp_path):
    each = short("s003_preliminary_se")
    whole, some = (Lab(parts, tmp_path, limit=limit).read(each, "train") for limit in (None, 5))
    assert len(some) == 5
    assert kinds_of(some) == kinds_of(whole)
    assert torch.equal(some.pixels[:], whole.find(some.ids).pixels[:])


def test_shortened_recipes_train_an_epoch_a_phase():
    assert shortened(read_recipe("kc_vgg")).training.epochs == 1
    transfer = shortened(read_recipe("s001_mobilenet_v2_transfer"))
    assert (transfer.training.epochs, transfer.finetune.epoch, transfer.network.options) == (2, 1, {})
    assert shortened(read_recipe("s002_lenet5_bn_balanced")).data.balanced_copies == 1


def test_the_smoke_walk_leaves_nothing_but_tables(tmp_path):
    """Experiments of every way to read, to train and to measure; all others, with full-size networks: --smoke."""
    names = ["s000_lenet_ferplus", "s001_keras_cnn4", "s002_lenet5_bn_polarity", "s003_baseline_fer2013", "s004_unet"]
    found = list(smoke(experiments(only=names), tmp_path))
    assert [(outcome.experiment.name, outcome.state) for outcome in found] == [(name, "trained") for name in names]
    assert {path.name for path in tmp_path.iterdir()} == {*MINIATURES, "reproduce.csv", "reproduce.md"}


def test_an_experiment_may_come_from_anywhere(parts, tmp_path):
    """The library takes objects: a recipe of one's own with figures of one's own."""
    own = replace(short("s004_majority"), name="mine")
    assert isinstance(own, Experiment)
    (outcome,) = reproduce([own], Lab(parts, tmp_path))
    assert outcome.row()["recipe"] == "mine"
