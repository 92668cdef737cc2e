import json
import math
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.errors import ConfigError, DataError, FerError, RunError
from inspect_fer.models.checkpoint import fingerprint
from inspect_fer.training import recipe_from, sweep_run
from inspect_fer.training.sweep import Range, read_sweep, sweep_from, sweep_paths
from inspect_fer.training.sweep_run import best_network, done_before, ranked, run_sweep, write_results
from inspect_fer.training.trials import trials_of

DATA = "synthetic:42"
SMALL = {
    "network": {"architecture": "baseline", "size": 24, "options": {"width": 4}},
    "training": {"epochs": 2, "batch_size": 14, "precision": "float32", "optimizer": "sgd"},
}
GRID = {"training.learning_rate": [0.1, 0.01], "network.options.dropout": [0.0, 0.5]}


def planned(grid=None, **options):
    limit = options.pop("limit_epochs", None)
    return trials_of(sweep_from({**SMALL, "grid": grid or GRID, **options}), limit_epochs=limit)


def swept(folder, trials=None, **options):
    """All results, written, as results.json holds them but for the seconds."""
    results = list(run_sweep(trials or planned(), DATA, folder, **options))
    write_results(folder, results)
    return results, stored(folder)


def stored(folder):
    found = json.loads((folder / "results.json").read_text())
    for trial in found["trials"]:
        assert trial.pop("seconds") >= 0
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep that nothing interrupted: its folder, its results, and what results.json holds."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *swept(folder)


def write(folder, text):
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


# planning


def test_a_grid_is_the_product_of_its_lists():
    grid = {"training.learning_rate": [0.1, 0.01], "training.batch_size": [8, 16, 32], "training.epochs": [2, 3]}
    trials = planned(grid)
    points = [tuple(trial.values.values()) for trial in trials]
    assert points == list(product(*grid.values()))
    assert len({trial.key for trial in trials}) == 12
    for trial in trials:
        options = trial.recipe.training
        assert (options.learning_rate, options.batch_size, options.epochs) == tuple(trial.values.values())
        assert trial.recipe.network.options == {"width": 4}


def test_a_trial_is_named_after_its_recipe_and_not_after_its_place():
    there = {trial.key: trial.recipe for trial in planned()}
    back = planned({key: values[::-1] for key, values in reversed(GRID.items())})
    assert {trial.key: trial.recipe for trial in back} == there
    assert [trial.key for trial in back] != list(there)
    noted = planned(note="told otherwise")
    assert [trial.key for trial in noted] == list(there)


def test_a_trial_that_is_there_twice_is_trained_once():
    grid = {"training.learning_rate": [1, 1.0, 0.1, 0.1], "training.milestones": [[], []]}
    assert [trial.values["training.learning_rate"] for trial in planned(grid)] == [1, 0.1]


def test_tables_and_whole_parts_can_be_values():
    trials = planned({"network.options": [{"width": 2}, {"width": 4, "dropout": 0.1}], "augment": [{}, {"flip": 0.0}]})
    assert [dict(trial.recipe.network.options) for trial in trials[::2]] == [{"width": 2}, {"width": 4, "dropout": 0.1}]
    assert [trial.recipe.augment.flip for trial in trials] == [0.5, 0.0, 0.5, 0.0]
    first, *_ = trials
    first.values["network.options"]["width"] = 99
    assert first.recipe.network.options == {"width": 2}


def test_epochs_can_be_limited():
    trials = planned({"training.epochs": [1, 20, 30], "training.patience": [0, 5]}, limit_epochs=15)
    assert [tuple(trial.values.values()) for trial in trials] == [(1, 0), (1, 5), (15, 0), (15, 5)]
    assert [trial.recipe.training.epochs for trial in trials] == [1, 1, 15, 15]


RANGES = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "training.weight_decay": {"low": 0.2, "high": 0.7},
    "training.batch_size": {"low": 8, "high": 11, "integer": True},
    "training.optimizer": ["adam", "sgd"],
}


def random(trials, **options):
    found = planned(RANGES, search="random", trials=trials, **options)
    return {key: [trial.values[key] for trial in found] for key in RANGES}


def test_a_random_search_is_the_same_for_the_same_seed_and_goes_on_where_a_shorter_one_ends():
    shorter, longer, other = random(5), random(9), random(5, seed=1)
    assert shorter == {key: values[:5] for key, values in longer.items()}
    assert shorter["training.learning_rate"] != other["training.learning_rate"]
    assert all(len(values) == 9 for values in longer.values())


def test_draws_keep_their_limits_and_cover_them_evenly():
    drawn = random(400)
    rates, decays = (np.array(drawn[f"training.{name}"]) for name in ("learning_rate", "weight_decay"))
    assert 1e-4 <= rates.min() < 2e-4
    assert 5e-2 < rates.max() <= 1e-1
    by_magnitude = Counter(math.floor(math.log10(rate)) for rate in rates)
    assert {power: count for power, count in by_magnitude.items() if count > 95}.keys() == {-4, -3, -2}
    assert 0.2 <= decays.min() < 0.22
    assert 0.68 < decays.max() <= 0.7
    assert abs(decays.mean() - 0.45) < 0.03
    sizes = Counter(drawn["training.batch_size"])
    assert sizes.keys() == {8, 9, 10, 11}
    assert all(type(size) is int for size in drawn["training.batch_size"])
    assert min(sizes.values()) > 60
    assert min(Counter(drawn["training.optimizer"]).values()) > 150


def test_whole_numbers_over_orders_of_magnitude():
    generator = np.random.default_rng(0)
    drawn = [Range(1, 1000, log=True, integer=True).draw(generator) for _ in range(600)]
    assert all(type(number) is int for number in drawn)
    assert min(drawn) == 1
    assert 800 < max(drawn) <= 1000
    assert 0.2 < np.mean(np.array(drawn) < 10) < 0.45  # a third of the logarithms, a little more for rounding


def test_a_random_search_ends_when_there_is_nothing_new():
    assert len(planned(search="random", trials=50)) == 4


# messages


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"training.learning_rat" = [0.1]', "'training.learning_rat'. Did you mean 'training.learning_rate'?"),
        ('"learning_rate" = [0.1]', "Did you mean 'training.learning_rate'?"),
        ('"network.width" = [4]', "No key of a recipe is called 'network.width'"),
        ('"published.item" = ["x"]', "No key of a recipe is called 'published.item'"),
        ("training.learning_rate = 0.1", "training.learning_rate must be a list of values or a range"),
        ("training.learning_rate = []", "training.learning_rate has no values to try"),
        ("training.learning_rate = { low = 0.1, high = 1.0 }", 'search = "random" or --trials draws from'),
        ("training.learning_rate = { low = 0.1, hihg = 1.0 }", "'hihg'. Did you mean 'high'"),
        ("training.learning_rate = { low = 0.1 }", "The range of training.learning_rate needs both low and high"),
        ("training.learning_rate = { low = 1, high = 1 }", "from a number to a larger one, not from 1 to 1"),
        ("training.learning_rate = { low = 0, high = 1, log = true }", "with log = true begins above 0, not at 0"),
        ("training.epochs = { low = 0.5, high = 2, integer = true }", "whole ends, not 0.5 and 2"),
        ('training.epochs = { low = 1, high = 2, integer = "yes" }', "log and integer are true or false"),
        ('"network.options" = [{}]\n"network.options.width" = [4]', "network.options and network.options.width cannot"),
    ],
)
def test_a_wrong_key_is_told_when_the_file_is_read(tmp_path, text, says):
    path = write(tmp_path, f'recipe = "baseline"\n[grid]\n{text}\n')
    with pytest.raises(ConfigError) as told:
        read_sweep(path)
    assert str(told.value).startswith(f"{path}: ")
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('recipe = "baseline"', "needs a part [grid]"),
        ('recipe = "baseline"\ngrid = 3', "[grid] must be a table of keys, not 3"),
        ('serach = "grid"', "No part of a sweep is called 'serach'. Did you mean 'search'?"),
        ('search = "genetic"\nrecipe = "baseline"\n[grid]\ntraining.epochs = [1]', "No search is called 'genetic'"),
        ('trials = 0\nrecipe = "baseline"\n[grid]\ntraining.epochs = [1]', "trials is a whole number from 1 on, not 0"),
        ('recipe = "basline"\n[grid]\ntraining.epochs = [1]', "Did you mean 'baseline'"),
        ('recipe = "none.toml"\n[grid]\ntraining.epochs = [1]', "There is no readable recipe"),
        (
            'recipe = "baseline"\n[training]\nepochs = 1\n[grid]\ntraining.epochs = [1]',
            "a recipe and a part [training]",
        ),
        ("[grid]\ntraining.epochs = [1]", "A recipe needs a part [network]"),
        ("[grid", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told(tmp_path, text, says):
    with pytest.raises(ConfigError) as told:
        read_sweep(write(tmp_path, text))
    assert says in str(told.value)
    assert str(tmp_path) in str(told.value)


def test_a_sweep_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="No sweep is called 'lum'. Did you mean 'lmu'"):
        read_sweep("lum")
    with pytest.raises(ConfigError, match="There is no sweep .*none.toml"):
        read_sweep(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"training.learning_rate": [0.1, 0]}, "made by training.learning_rate = 0: learning_rate must be above 0"),
        ({"training.epochs": [1, "two"]}, 'made by training.epochs = "two": training.epochs must be int'),
        ({"training.optimizer": ["adam", "adma"]}, "'adma'. Did you mean 'adam'"),
        ({"network.architecture": ["baselin"]}, "Did you mean 'baseline'"),
        ({"network.options.widht": [4]}, "cannot be built"),
        ({"network.options.width.x": [1]}, "network.options.width.x cannot be swept, as width is 4 and holds no keys"),
        (
            {"network.options.width": [4, -1], "training.epochs": [2]},
            "options.width = -1, training.epochs = 2: The net",
        ),
        ({"network.normalise": ["imagenet"]}, "'imagenet' is for 3 channels, not 1"),
        ({"network.size": [24, 4]}, "network.size = 4"),
        ({"network.channels": [0]}, "network.channels = 0: Networks take 1 or 3 channels"),
        ({"network.size": [0]}, "network.size = 0: Networks take"),
        ({"finetune": [{"head": "hat", "upper": "blocks.3", "epoch": 1}]}, "no module 'hat'"),
        ({"finetune": [{"head": "classifier", "upper": "hat", "epoch": 1}]}, "no module 'hat'"),
        ({"training.select_by": ["accuracy", "loss"]}, "compared by one select_by"),
        ({"data.select": ["select", "test"]}, "compared by one select_by"),
        ({"data": [{"kind": "fer2013"}]}, "of the same kind of data"),
        ({"data.options.classes": ["seven", "six"]}, "with the same options, scoring, parts and balanced_copies"),
        ({"data.options": [{}, {"classes": "six"}]}, "with the same options"),
        ({"data.scoring": [{}, {"mode": "majority"}]}, "with the same options, scoring"),
        ({"data.parts": [{}, {"rafdb": {"classes": "six"}}]}, "with the same options, scoring, parts"),
        ({"data.balanced_copies": [0, 1]}, "and balanced_copies"),
        ({"data.train": ["train", "all"]}, 'data.train = "all": trials are compared by one'),
    ],
)
def test_a_trial_that_makes_no_recipe_is_told_with_its_values(grid, says):
    with pytest.raises(ConfigError) as told:
        planned(grid)
    assert str(told.value).startswith("No recipe is made by ")
    assert says in str(told.value)


def test_what_is_learnt_from_may_differ_where_what_is_judged_does_not():
    lists = {**SMALL, "data": {"options": {"classes": ["happiness", "sadness"]}}}
    grid = {"data.size": [24, 48], "training.balanced_sampling": [False, True]}
    assert len(trials_of(sweep_from({**lists, "grid": grid}))) == 4


def test_trials_asked_for_are_drawn_whatever_the_file_says(tmp_path):
    text = 'recipe = "baseline"\n[grid]\ntraining.learning_rate = { low = 0.1, high = 1.0 }\n'
    with pytest.raises(ConfigError, match="--trials draws from"):
        read_sweep(write(tmp_path, text))
    assert len(trials_of(read_sweep(write(tmp_path, text), trials=3))) == 3
    asked = read_sweep(write(tmp_path, f'search = "random"\ntrials = 9\n{text}'), trials=2)
    assert (asked.search, asked.trials) == ("random", 2)


def test_the_loss_cannot_be_swept_where_it_is_the_score():
    by_loss = {**SMALL, "training": SMALL["training"] | {"select_by": "loss"}}
    for key, values in {"training.loss": ["focal"], "training.label_smoothing": [0.0, 0.1]}.items():
        with pytest.raises(ConfigError, match="one loss, where that is the score"):
            trials_of(sweep_from({**by_loss, "grid": {key: values}}))
        assert planned({key: values})


def test_planning_draws_no_weights():
    before = torch.random.get_rng_state()
    assert len(planned()) == 4
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_recipe_is_found_beside_the_sweep(tmp_path):
    (tmp_path / "own.toml").write_text('[network]\narchitecture = "baseline"\nsize = 32\n')
    sweep = read_sweep(write(tmp_path, 'recipe = "own.toml"\n[grid]\ntraining.epochs = [1]\n'))
    assert sweep.base == recipe_from({"network": {"architecture": "baseline", "size": 32}})


# the sweeps that come with the package


def test_the_grid_of_source_003():
    trials = trials_of(read_sweep("lmu"))
    assert len(trials) == 4 * 4 * 4 * 2
    assert {trial.recipe.training.patience for trial in trials} == {0, 5}
    one = trials[0].recipe
    assert (one.network.size, one.network.channels, one.network.normalise) == (64, 3, "imagenet")
    assert one.data.options == {"classes": "six"}
    assert one.training.optimizer == "adam"
    assert len(trials_of(read_sweep("lmu"), limit_epochs=15)) == 4 * 4 * 2 * 2  # 20, 30 and 40 epochs become 15


@pytest.mark.parametrize("name", sweep_paths())
def test_sweeps_that_come_with_the_package_can_be_planned(name):
    sweep = read_sweep(name)
    assert sweep.note
    assert len(trials_of(sweep)) == math.prod(len(values) for values in sweep.grid.values())


# running


def test_results_are_those_of_training_alone_and_the_best_comes_first(whole, tmp_path):
    folder, results, found = whole
    assert [result.trial for result in results] == planned()
    order = ranked(results)
    assert [result.score for result in order] == sorted((result.score for result in results), reverse=True)
    assert [trial["trial"] for trial in found["trials"]] == [result.trial.key for result in order]
    for result in results:
        history = json.loads((folder / "trials" / result.trial.key / "history.json").read_text())
        assert result.score == max(entry["select_accuracy"] for entry in history)
        assert history[result.best_epoch - 1]["select_accuracy"] == result.score
        assert (result.epochs, result.faces, result.failed) == (2, 42, "")
    rows = (folder / "results.csv").read_text().splitlines()
    assert rows[0].startswith("rank,trial,training.learning_rate,network.options.dropout,score,best_epoch,epochs,")
    assert [row.split(",")[1] for row in rows[1:]] == [result.trial.key for result in order]


def test_the_smallest_loss_is_the_best(tmp_path):
    by_loss = {**SMALL, "training": SMALL["training"] | {"select_by": "loss", "epochs": 1}}
    trials = trials_of(sweep_from({**by_loss, "grid": {"training.learning_rate": [0.1, 0.001]}}))
    results, _ = swept(tmp_path, trials)
    losses = [result.score for result in ranked(results)]
    assert losses == sorted(losses)
    assert losses[0] < losses[1]


def test_only_the_best_network_is_kept_and_it_is_the_one_that_was_scored(whole):
    folder, results, _ = whole
    best = ranked(results)[0].trial
    assert [path.parent.name for path in folder.glob("trials/*/state.pt")] == [best.key]
    network = best_network(best, DATA, folder).network
    (folder / "trials" / best.key / "state.pt").unlink()
    again = best_network(best, DATA, folder).network  # trained anew, as its state is gone
    assert fingerprint(network) == fingerprint(again)


class StopError(Exception):
    pass


def test_an_interrupted_sweep_ends_with_the_same_results(whole, tmp_path):
    trials, told = planned(), []

    def watch(trial, epochs, loss, accuracy):
        told.append((trial.key, epochs))
        if trial == trials[1] and epochs > 1:
            raise StopError

    with pytest.raises(StopError):
        swept(tmp_path, trials, watch=watch)
    assert {key for key, _ in told} == {trial.key for trial in trials[:2]}
    assert len(stored(tmp_path)["trials"]) == 1
    told.clear()
    *_, found = swept(tmp_path, trials, watch=lambda trial, epochs, *_: told.append((trial.key, epochs)))
    assert found == whole[2]
    assert {key for key, _ in told} == {trial.key for trial in trials[1:]}
    assert all(epochs > 1 for key, epochs in told if key == trials[1].key)  # its first epoch was done
    told.clear()
    assert swept(tmp_path, trials, watch=lambda *_: told.append(1))[1] == found
    assert not told


KILLED = """
import json, os, sys
from pathlib import Path
from inspect_fer.training.sweep import sweep_from
from inspect_fer.training.sweep_run import run_sweep
from inspect_fer.training.trials import trials_of

def watch(trial, epochs, loss, accuracy):
    if trial == trials[2] and epochs > 1:
        os.kill(os.getpid(), 9)

trials = trials_of(sweep_from(json.loads(sys.argv[2])))
list(run_sweep(trials, "synthetic:42", Path(sys.argv[1]), watch=watch))
"""


def test_a_killed_sweep_ends_with_the_same_results(whole, tmp_path):
    """kill -9 within the second epoch of the third trial."""
    command = [sys.executable, "-c", KILLED, str(tmp_path), json.dumps({**SMALL, "grid": GRID})]
    assert subprocess.run(command).returncode == -9
    assert len(stored(tmp_path)["trials"]) == 2
    assert len(list(tmp_path.glob("trials/*/history.json"))) == 3
    assert swept(tmp_path)[1] == whole[2]
    assert not list(tmp_path.rglob("*.part"))


def test_a_larger_grid_trains_only_what_is_new(whole, tmp_path):
    trained = []
    few = planned({**GRID, "training.learning_rate": [0.01]})
    swept(tmp_path, few)
    *_, found = swept(tmp_path, watch=lambda trial, *_: trained.append(trial.key))
    assert set(trained) == {trial.key for trial in planned()} - {trial.key for trial in few}
    assert found == whole[2]


def test_a_diverged_trial_has_failed_and_the_sweep_goes_on(tmp_path):
    trials = planned({"training.learning_rate": [1e12, 0.01]})
    (first, second), found = swept(tmp_path, trials)
    assert first.score is None
    assert first.failed.startswith("The loss is not a number any more in epoch")
    assert "--restart" not in first.failed
    assert second.score > 0
    assert [trial["trial"] for trial in found["trials"]] == [trials[1].key, trials[0].key]
    assert "The loss is not a number" in (tmp_path / "results.csv").read_text().splitlines()[2]
    trained = []
    again, _ = swept(tmp_path, trials, watch=lambda *_: trained.append(1))
    assert not trained
    assert {result.trial.key: result.failed for result in again} == {trials[0].key: first.failed, trials[1].key: ""}


@pytest.mark.parametrize("kind", [ConfigError, DataError])
def test_a_trial_whose_answers_are_no_numbers_in_its_last_epoch_has_failed(tmp_path, monkeypatch, kind):
    """A DataError of `metrics.evaluate`, or what the loop makes of it."""

    def train(recipe, *arguments, **options):
        for epoch in real(recipe, *arguments, **options):
            if recipe.training.batch_size == 21 and epoch.number == 1:
                raise kind("The network's answer is not a number for 42 of 42 samples.")
            yield epoch

    real = sweep_run.train
    monkeypatch.setattr(sweep_run, "train", train)
    trials = planned({"training.batch_size": [21, 14]})
    (first, second), found = swept(tmp_path, trials)
    assert (first.score, first.epochs) == (None, 1)
    assert first.failed == "The network's answer is not a number for 42 of 42 samples."
    assert second.score > 0
    assert swept(tmp_path, trials)[1] == found


def test_a_step_to_weights_that_are_no_numbers_fails_its_trial_alone(tmp_path):
    """One batch an epoch: the loss is that of the weights before the step, so only judging tells."""
    trials = planned({"training.learning_rate": [1e38, 0.01], "training.batch_size": [42], "training.epochs": [1]})
    (first, second), _ = swept(tmp_path, trials)
    assert first.score is None
    assert "not a number" in first.failed
    assert second.score > 0


def test_faces_that_cannot_be_learnt_from_are_no_failure_of_a_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_run, "train", raising(DataError("The training split has 0 faces.")))
    with pytest.raises(DataError, match="has 0 faces"):
        swept(tmp_path, planned())
    assert not list(tmp_path.rglob("result.json"))


def raising(problem):
    def raises(*_, **__):
        raise problem

    return raises


def test_a_device_too_small_for_a_trial_fails_that_trial(tmp_path, monkeypatch):
    def train(recipe, *arguments, **options):
        if recipe.training.batch_size == 21:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate much.")
        return real(recipe, *arguments, **options)

    real = sweep_run.train
    monkeypatch.setattr(sweep_run, "train", train)
    results, _ = swept(tmp_path, planned({"training.batch_size": [21, 14], "training.epochs": [1]}))
    assert [result.failed for result in results] == ["CUDA out of memory.", ""]


def test_splits_are_read_once_for_all_trials_that_read_them_alike_and_never_the_test_split(tmp_path, monkeypatch):
    read = []

    def read_split(recipe, data, role):
        read.append((recipe.network.size, role))
        return real(recipe, data, role)

    real = sweep_run.read_split
    monkeypatch.setattr(sweep_run, "read_split", read_split)
    watching = {**SMALL, "data": {"watch_test": True}}
    grid = {"training.learning_rate": [0.1, 0.01], "network.size": [24, 32], "training.epochs": [1]}
    results, _ = swept(tmp_path, trials_of(sweep_from({**watching, "grid": grid})))
    assert read == [(24, "train"), (24, "select"), (32, "train"), (32, "select")]
    assert [result.trial.recipe.network.size for result in results] == [24, 24, 32, 32]
    assert not any("test" in name for result in results for name in result.best)


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({"training.batch_size": [14, 64]}, "42 faces do not fill one batch of 64"),
        ({"training.loss": ["cross-entropy", "bce"]}, "learns from votes"),
    ],
)
def test_trials_that_do_not_fit_the_data_are_told_before_the_first_one_trains(tmp_path, grid, says):
    with pytest.raises(DataError, match=says):
        swept(tmp_path, planned(grid))
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_the_users_mistake_and_fails_no_trial(tmp_path):
    with pytest.raises(ConfigError, match="There is no device 'abacus'"):
        swept(tmp_path, device="abacus")
    assert not list(tmp_path.iterdir())


def test_other_data_and_other_folders_are_left_alone(tmp_path):
    trials = planned({"training.epochs": [1]})
    folder = tmp_path / "sweep"
    swept(folder, trials)
    with pytest.raises(RunError, match="synthetic:42.*Add --restart"):
        list(run_sweep(trials, "synthetic:49", folder))
    (result,) = run_sweep(trials, "synthetic:49", folder, restart=True)
    assert result.faces == 49
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("...")
    for taken in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.tex"):
        for restart in (False, True):
            with pytest.raises(RunError, match="is there already and holds no sweep"):
                list(run_sweep(trials, DATA, taken, restart=restart))
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "..."


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("data", "grid", "says"),
    [
        ("folder:none", {}, "none"),
        ("synthetic:7", {}, "7 faces do not fill one batch of 14"),
        (DATA, {"data.size": [24, 48], "data.train": ["train", "nowhere"]}, "nowhere"),  # not of the first trials
        (DATA, {"training.loss": ["cross-entropy", "bce"]}, "learns from votes"),
    ],
)
def test_a_mistake_at_a_restart_loses_nothing(tmp_path, data, grid, says):
    swept(tmp_path, planned({"training.epochs": [1]}))
    before = contents(tmp_path)
    with pytest.raises(FerError, match=says):
        list(run_sweep(planned({"training.epochs": [1], **grid}), data, tmp_path, restart=True))
    assert contents(tmp_path) == before


def test_a_restart_forgets_everything_of_before(tmp_path):
    swept(tmp_path, planned({"training.epochs": [1, 2]}))
    (tmp_path / "best.safetensors").write_text("of before")
    (again,) = planned({"training.epochs": [1]})
    trained = []
    swept(tmp_path, [again], restart=True, watch=lambda trial, *_: trained.append(trial.key))
    assert set(trained) == {again.key}
    assert [path.name for path in (tmp_path / "trials").iterdir()] == [again.key]
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.json", "trials", "results.csv", "results.json"}


def test_data_are_known_by_their_absolute_path(tmp_path, monkeypatch):
    trials, out = planned({"training.epochs": [1]}), tmp_path / "out"
    write_miniature("fer2013", tmp_path / "here", per_class=2)
    write_miniature("fer2013", tmp_path / "there" / "here", per_class=2)
    monkeypatch.chdir(tmp_path)
    list(run_sweep(trials, "fer2013:here", out))
    assert json.loads((out / "sweep.json").read_text()) == {"data": f"fer2013:{tmp_path}/here"}
    for same in (f"fer2013:{tmp_path}/here", "fer2013:./here"):
        list(run_sweep(trials, same, out, watch=raising(AssertionError("it is the same"))))
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(RunError, match="holds a sweep on other data"):
        list(run_sweep(trials, "fer2013:here", out))


@pytest.mark.parametrize("out", ["/proc/nothing", "taken/below"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("...")
    with pytest.raises(RunError, match=f"{out} cannot be made a folder: .*Name another --out"):
        list(run_sweep(planned(), DATA, Path(out)))


def test_trials_of_before_belong_to_a_sweep_that_could_have_planned_them(whole):
    folder, results, _ = whole
    keys = {result.trial.key for result in results}

    def of(grid, **options):
        base = {**SMALL, **options.pop("base", {})}
        return {trial.key: trial for trial in done_before(sweep_from({**base, "grid": grid, **options}), folder)}

    dropout = {"network.options.dropout": GRID["network.options.dropout"]}
    assert of(GRID).keys() == of(GRID, search="random", trials=1).keys() == keys
    assert of(dict(reversed(GRID.items())))[results[0].trial.key].values == dict(
        reversed(results[0].trial.values.items())
    )
    assert of({"training.learning_rate": [0.1], **dropout}).keys() < keys
    drawn = {"training.learning_rate": {"low": 0.005, "high": 0.5}, **dropout}
    assert of(drawn, search="random").keys() == keys
    assert not of({"training.learning_rate": [0.1, 0.01]})
    assert not of({**GRID, "training.epochs": [2]})
    assert not of(GRID, base={"augment": {"flip": 0.0}})


def test_trials_of_before_that_were_shorter_belong_to_a_sweep_with_that_limit(tmp_path):
    grid = {"training.epochs": [2, 3]}
    swept(tmp_path, planned(grid, limit_epochs=1))
    sweep = sweep_from({**SMALL, "grid": grid})
    assert [trial.recipe.training.epochs for trial in done_before(sweep, tmp_path, limit_epochs=1)] == [1]
    assert not done_before(sweep, tmp_path)


def test_a_damaged_result_is_told(tmp_path):
    trials = planned({"training.epochs": [1]})
    swept(tmp_path, trials)
    (tmp_path / "trials" / trials[0].key / "result.json").write_text("{")
    with pytest.raises(RunError, match="result.json is damaged. Delete it"):
        swept(tmp_path, trials)
    with pytest.raises(RunError, match="result.json is damaged. Delete it"):
        done_before(sweep_from({**SMALL, "grid": {"training.epochs": [1]}}), tmp_path)
