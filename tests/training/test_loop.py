import subprocess
import sys

import numpy as np
import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.errors import ConfigError, DataError, RunError, UnknownNameError
from inspect_fer.models.checkpoint import fingerprint
from inspect_fer.predict import predict
from inspect_fer.schema import Samples
from inspect_fer.training import read_history, read_log, recipe_from, train

CALM = {"flip": 0.0, "shift": 0.0, "rotate": 0.0, "scale": 0.0}


def recipe(*, augment=None, **training):
    options = {"width": 4, "dropout": 0.0, "block_dropout": 0.0}
    defaults = {"epochs": 2, "batch_size": 14, "learning_rate": 3e-3, "precision": "float32"}
    network = {"architecture": "baseline", "size": 24, "options": options}
    return recipe_from({"network": network, "training": defaults | training, "augment": augment or {}})


@pytest.fixture(scope="module")
def faces():
    return samples("synthetic:42", "train", size=24), samples("synthetic:21", "select", size=24)


def trained(plan, faces, folder, **options):
    return list(train(plan, *faces, folder, **options))


def test_it_learns_a_tiny_set_by_heart(faces, tmp_path):
    few = faces[0][:14]
    plan = recipe(augment=CALM, epochs=60, batch_size=14, learning_rate=1e-2)
    last = trained(plan, (few, few), tmp_path)[-1]
    assert last.entry["loss"] < 0.1
    assert not predict(last.classifier, few).wrong.any()


def test_the_same_seed_gives_the_same_network(faces, tmp_path):
    once, again, other = (
        fingerprint(trained(recipe(seed=seed), faces, tmp_path / name)[-1].classifier.network)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert once == again != other


def test_the_callers_random_state_is_left_alone(faces, tmp_path):
    before = torch.random.get_rng_state()
    trained(recipe(epochs=1), faces, tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_a_stopped_training_ends_like_an_uninterrupted_one(faces, tmp_path, schedule):
    plan = recipe(epochs=4, schedule=schedule, optimizer="sgd")
    whole = trained(plan, faces, tmp_path / "whole")
    for epoch in train(plan, *faces, tmp_path / "stopped"):
        if epoch.number == 1:
            break
    resumed = trained(plan, faces, tmp_path / "stopped")
    assert [epoch.number for epoch in resumed] == [0, 1, 2, 3]
    assert fingerprint(resumed[-1].classifier.network) == fingerprint(whole[-1].classifier.network)
    first, second = read_log(tmp_path / "whole"), read_log(tmp_path / "stopped")
    assert np.array_equal(first.logits, second.logits, equal_nan=True)


KILLED = """
import os, sys
from pathlib import Path
from inspect_fer.datasets import samples
from inspect_fer.training import recipe_from, train

def step(done, of, loss, accuracy):
    if finished and done > 14:
        os.kill(os.getpid(), 9)

finished = []
faces = samples("synthetic:42", "train", size=24), samples("synthetic:21", "select", size=24)
for epoch in train(recipe_from(eval(sys.argv[2])), *faces, Path(sys.argv[1]), step=step):
    finished.append(epoch)
"""


def test_a_killed_training_goes_on(faces, tmp_path):
    """kill -9 within the second epoch; started again it ends with the network of a run that was never killed."""
    plan = recipe(epochs=3)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), repr(plan.as_dict())]
    assert subprocess.run(command).returncode == -9
    assert len(read_history(tmp_path / "killed")) == 1
    resumed, whole = (trained(plan, faces, tmp_path / name)[-1].classifier.network for name in ("killed", "whole"))
    assert fingerprint(resumed) == fingerprint(whole)


def test_every_epochs_logits_are_logged_for_every_sample(faces, tmp_path):
    history = [epoch.entry for epoch in trained(recipe(epochs=3), faces, tmp_path)]
    log = read_log(tmp_path)
    assert log.ids == faces[0].ids
    assert log.logits.shape == (3, 42, 7)
    assert log.logits.dtype == np.float16
    assert np.isfinite(log.logits).all()
    assert log.history == history
    right = (log.logits[2].argmax(1) == faces[0].labels.numpy()).mean()
    assert right == pytest.approx(history[2]["accuracy"], abs=0.03)


@pytest.mark.parametrize(("by", "pick"), [("accuracy", max), ("macro_f1", max), ("loss", min)])
def test_the_best_epoch_is_chosen_on_the_selection_split(faces, tmp_path, by, pick):
    epochs = trained(recipe(epochs=4, select_by=by, learning_rate=2e-2), faces, tmp_path)
    scores = [epoch.entry[f"select_{by}"] for epoch in epochs]
    best = scores.index(pick(scores))
    assert max(epoch.number for epoch in epochs if epoch.best) == best
    answer = predict(epochs[-1].classifier, faces[1])
    accuracy = 1 - float(answer.wrong.float().mean())
    assert accuracy == pytest.approx(epochs[best].entry["select_accuracy"], abs=1e-6)


def test_another_recipe_never_meets_an_old_state(faces, tmp_path):
    trained(recipe(epochs=1), faces, tmp_path)
    with pytest.raises(RunError, match="holds another training: training.seed 0 -> 5. Add --restart"):
        trained(recipe(epochs=1, seed=5), faces, tmp_path)
    with pytest.raises(RunError, match=r"holds another training: faces \[42, 21\] -> \[28, 21\]. Add --restart"):
        trained(recipe(epochs=1), (faces[0][:28], faces[1]), tmp_path)
    assert len(trained(recipe(epochs=1, seed=5), faces, tmp_path, restart=True)) == 1


def test_a_damaged_state_is_told(faces, tmp_path):
    trained(recipe(epochs=1), faces, tmp_path)
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with pytest.raises(RunError, match="is damaged. Add --restart"):
        trained(recipe(epochs=1), faces, tmp_path)


def test_a_state_of_something_else_is_told(faces, tmp_path):
    trained(recipe(epochs=1), faces, tmp_path)
    torch.save({"other": 1}, tmp_path / "state.pt")
    with pytest.raises(RunError, match="is of something else. Add --restart"):
        trained(recipe(epochs=1), faces, tmp_path)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_epochs_before(faces, tmp_path):
    plan = recipe(epochs=6, optimizer="sgd", learning_rate=1e12)
    with pytest.raises(ConfigError, match="The loss is not a number any more in epoch"):
        trained(plan, faces, tmp_path)


@pytest.mark.parametrize("device", ["cuda" if not torch.cuda.is_available() else "xpu", "foo", "meta"])
def test_a_device_that_is_not_there_is_told_before_anything_is_written(faces, tmp_path, device):
    with pytest.raises(ConfigError, match=f"There is no device '{device}' here"):
        trained(recipe(), faces, tmp_path / "log", device=device)
    assert not (tmp_path / "log").exists()


def test_a_resumed_training_tells_the_best_epochs_as_before(faces, tmp_path):
    plan = recipe(epochs=4)
    first, second = (trained(plan, faces, tmp_path) for _ in range(2))
    assert [epoch.best for epoch in first] == [epoch.best for epoch in second]


def test_a_full_disk_keeps_the_last_whole_epoch(faces, tmp_path, monkeypatch):
    plan = recipe(epochs=3)
    running = train(plan, *faces, tmp_path)
    next(running)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        with pytest.raises(RunError, match="No space left on device.*What was whole before is kept"):
            next(running)
    assert [epoch.number for epoch in train(plan, *faces, tmp_path)] == [0, 1, 2]
    assert not list(tmp_path.rglob("*.part"))


def test_a_disk_full_in_the_first_epoch_promises_nothing(faces, tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 320 vs 214")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(RunError, match="state.pt cannot be written. Is the disk full.$"):
        trained(recipe(), faces, tmp_path)


def test_what_a_killed_training_was_writing_goes_at_the_next_start(faces, tmp_path):
    trained(recipe(epochs=1), faces, tmp_path)
    for path in (tmp_path / ".state.pt.1-ab.part", tmp_path / "logits" / ".0000.npy.1-ab.part"):
        path.write_bytes(b"half")
    trained(recipe(epochs=1), faces, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_of_two_trainings_begun_in_one_folder_neither_goes_on_with_the_others_state(faces, tmp_path):
    def meanwhile(*_):
        if not (tmp_path / "state.pt").exists():
            trained(recipe(seed=5), faces, tmp_path)

    next(train(recipe(), *faces, tmp_path, step=meanwhile))  # its first epoch is written after the other's
    with pytest.raises(RunError, match="two were begun there at once, and state.pt is the other one's. Add --restart"):
        trained(recipe(seed=5), faces, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["mark"]  # as earlier versions wrote it
    torch.save(state, tmp_path / "state.pt")
    assert len(trained(recipe(seed=5), faces, tmp_path)) == 2


def test_votes_make_a_sigmoid_network(faces, tmp_path):
    def voted(split):
        votes = torch.nn.functional.one_hot(split.labels, 7) * 0.8 + 0.2 / 7
        return Samples(split.ids, split.pixels, split.labels, split.class_names, votes=votes)

    last = trained(recipe(loss="bce"), tuple(map(voted, faces)), tmp_path)[-1]
    assert last.classifier.card.output == "sigmoid"
    with pytest.raises(DataError, match="learns from votes; this dataset has none"):
        trained(recipe(loss="bce"), faces, tmp_path / "other")


def test_bfloat16_learns_too(faces, tmp_path):
    entry = trained(recipe(epochs=1, precision="bfloat16"), faces, tmp_path)[-1].entry
    assert 0 < entry["loss"] < 10


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a, b: (a[:0], b), "training split has 0 faces"),
        (lambda a, b: (a[:10], b), "10 faces do not fill one batch of 14"),
        (lambda a, b: (a, Samples(b.ids, b.pixels, torch.full((21,), -1), b.class_names)), "21 of them unlabelled"),
        (lambda a, b: (a, Samples(b.ids, b.pixels, b.labels, b.class_names[::-1])), "name different classes"),
    ],
)
def test_sets_that_cannot_be_learnt_are_refused_before_anything_is_written(faces, tmp_path, change, says):
    with pytest.raises(DataError, match=says):
        trained(recipe(), change(*faces), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_an_unknown_network_is_refused(faces, tmp_path):
    plan = recipe_from(
        {"network": {"architecture": "baseline", "size": 24, "options": {"width": -1}}, "training": {"batch_size": 14}}
    )
    with pytest.raises(ConfigError, match="cannot be built"):
        trained(plan, faces, tmp_path)


def test_a_recipe_that_does_not_work_leaves_an_earlier_training_alone(faces, tmp_path):
    trained(recipe(epochs=1), faces, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    bad = recipe_from({"network": {"architecture": "baselin", "size": 24}, "training": {"batch_size": 14}})
    with pytest.raises(UnknownNameError, match="Did you mean 'baseline'"):
        trained(bad, faces, tmp_path, restart=True)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_weights_that_are_no_numbers_after_the_last_step_are_told_and_the_epochs_before_kept(faces, tmp_path):
    few, plan = (faces[0][:14], faces[1]), recipe(epochs=3, optimizer="sgd", learning_rate=1e38)
    with pytest.raises(ConfigError, match="epoch 1, by batch 1 of 1; nothing is kept. Lower .* or set clip = 1.0.$"):
        trained(plan, few, tmp_path)


def test_a_watched_split_without_labels_is_refused_before_anything_is_written(faces, tmp_path):
    blind = Samples(faces[1].ids, faces[1].pixels, torch.full((21,), -1), faces[1].class_names)
    with pytest.raises(DataError, match="The test split has 21 faces, 21 of them unlabelled"):
        trained(recipe(), faces, tmp_path / "log", watch=blind)
    assert not (tmp_path / "log").exists()


def test_damaged_logs_are_told(faces, tmp_path):
    trained(recipe(epochs=1), faces, tmp_path)
    (tmp_path / "recipe.json").write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="its recipe.json is damaged. Add --restart"):
        trained(recipe(epochs=1), faces, tmp_path)
    (tmp_path / "ids.json").write_text("[")
    with pytest.raises(RunError, match="damaged training log"):
        read_log(tmp_path)
