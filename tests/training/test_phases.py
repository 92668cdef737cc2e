"""What a recipe may ask of the loop beside loss and optimiser: phases, averages, stopping, mixing, crops, processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from inspect_fer.datasets import samples
from inspect_fer.errors import CheckpointError, ConfigError
from inspect_fer.models.checkpoint import fingerprint, save
from inspect_fer.predict import predict
from inspect_fer.training import read_log, recipe_from, train
from inspect_fer.training.setup import fresh_state, plan_of, set_training

NETWORK = {"architecture": "baseline", "size": 24, "options": {"width": 4, "dropout": 0.0, "block_dropout": 0.0}}
CALM = {"flip": 0.0, "shift": 0.0, "rotate": 0.0, "scale": 0.0}


def recipe(*, network=None, augment=None, finetune=None, **training):
    defaults = {"epochs": 2, "batch_size": 14, "learning_rate": 3e-3, "precision": "float32"}
    parts = {"network": NETWORK | (network or {}), "training": defaults | training, "augment": augment or {}}
    return recipe_from(parts | ({"finetune": finetune} if finetune else {}))


@pytest.fixture(scope="module")
def faces():
    return samples("synthetic:42", "train", size=24), samples("synthetic:21", "select", size=24)


def trained(plan, faces, folder, **options):
    return list(train(plan, *faces, folder, **options))


FINE = {"head": "classifier", "upper": "blocks.2", "epoch": 2, "optimizer": "rmsprop", "learning_rate": 1e-3}


def test_fine_tuning_first_moves_the_head_then_the_upper_layers(faces, tmp_path):
    plan = recipe(epochs=4, finetune=FINE, select_by="loss")
    start = plan_of(plan, faces[0], "cpu")
    before = {
        name: value.clone() for name, value in fresh_state(plan, start.card, 3, "cpu").network.state_dict().items()
    }
    history = []
    for epoch in train(plan, *faces, tmp_path):
        history.append(epoch.entry["phase"])
        now = torch.load(tmp_path / "state.pt", weights_only=True)["network"]
        moved = {name.rsplit(".", 1)[0] for name in now if not torch.equal(now[name], before[name])}
        first, second = "classifier", ("classifier", "blocks.2", "blocks.3")
        assert all(name.startswith(first if epoch.number < 2 else second) for name in moved)
        if epoch.number == 3:
            assert {name.split(".conv")[0].split(".norm")[0] for name in moved} >= {"blocks.2", "blocks.3"}
    assert history == [1, 1, 2, 2]


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_a_stopped_fine_tuning_ends_like_an_uninterrupted_one(faces, tmp_path, stop):
    plan = recipe(epochs=4, finetune=FINE, ema=0.9)
    whole = trained(plan, faces, tmp_path / "whole")
    for epoch in train(plan, *faces, tmp_path / "stopped"):
        if epoch.number == stop:
            break
    resumed = trained(plan, faces, tmp_path / "stopped")
    assert fingerprint(resumed[-1].classifier.network) == fingerprint(whole[-1].classifier.network)


def test_a_head_that_is_not_there_is_told(faces, tmp_path):
    with pytest.raises(ConfigError, match="no module 'head' with weights to learn from on; it has blocks, classifier"):
        trained(recipe(finetune=FINE | {"head": "head", "epoch": 1}), faces, tmp_path)


def test_frozen_batch_norm_keeps_its_statistics(faces):
    plan = recipe(epochs=3, finetune=FINE)
    state = fresh_state(plan, plan_of(plan, faces[0], "cpu").card, 3, "cpu")
    set_training(state.network)
    norms = [module for module in state.network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    assert state.network.classifier.training


def test_a_recipe_may_start_from_the_weights_of_a_checkpoint(faces, tmp_path):
    first = trained(recipe(epochs=1), faces, tmp_path / "first")[-1].classifier
    save(first, tmp_path / "first.safetensors")
    start = {"start": str(tmp_path / "first.safetensors")}
    still = trained(recipe(epochs=1, network=start, learning_rate=1e-12), faces, tmp_path / "still")[-1].classifier
    weights = dict(still.network.named_parameters())
    assert all(torch.allclose(weights[name], value, atol=1e-6) for name, value in first.network.named_parameters())
    wide = {"options": NETWORK["options"] | {"width": 6}}
    with pytest.raises(CheckpointError, match="first.safetensors' is a network baseline .*width = 4.*; .*width = 6"):
        trained(recipe(network=start | wide), faces, tmp_path / "wide")
    other = {"architecture": "lenet5_bn", "options": {}}
    with pytest.raises(CheckpointError, match="is a network baseline .*; the recipe's is a network lenet5_bn with no"):
        trained(recipe(network=start | other), faces, tmp_path / "other")
    others = [replace(split, class_names=tuple(reversed(split.class_names))) for split in faces]
    with pytest.raises(CheckpointError, match="first.safetensors tells anger, .*, not neutral"):
        trained(recipe(network=start), others, tmp_path / "others")


def test_the_moving_average_is_what_is_scored_and_kept(faces, tmp_path):
    plain, averaged = (trained(recipe(ema=ema), faces, tmp_path / str(ema)) for ema in (0.0, 0.5))
    stored = torch.load(tmp_path / "0.5" / "state.pt", weights_only=True)
    last = {name: value for name, value in stored["network"].items() if value.is_floating_point()}
    kept = averaged[-1].classifier.network.state_dict()
    assert any(not torch.equal(kept[name], value) for name, value in last.items())
    assert fingerprint(plain[-1].classifier.network) != fingerprint(averaged[-1].classifier.network)


def test_the_moving_average_by_hand(faces, tmp_path):
    """One batch an epoch: after n epochs the average is the sum over steps of (1 - d) d^(n-s) w_s, w_1 first."""
    epochs = train(recipe(epochs=3, ema=0.7), faces[0][:14], faces[1], tmp_path)
    snapshots = [torch.load(tmp_path / "state.pt", weights_only=True) for _ in epochs]
    name = "classifier.0.weight"
    expected = snapshots[0]["network"][name]
    for shot in snapshots[1:]:
        expected = 0.7 * expected + 0.3 * shot["network"][name]
    assert torch.allclose(snapshots[-1]["average"][f"module.{name}"], expected, atol=1e-6)


def test_patience_stops_and_a_stopped_training_stays_so(faces, tmp_path):
    plan = recipe(epochs=12, patience=1, learning_rate=1e-9, augment=CALM)
    epochs = trained(plan, faces, tmp_path)
    assert len(epochs) < 12
    scores = [epoch.entry["select_accuracy"] for epoch in epochs]
    assert len(scores) - 1 - scores.index(max(scores)) == 2
    assert len(trained(plan, faces, tmp_path)) == len(epochs)


def test_patience_begins_with_fine_tuning(faces, tmp_path):
    plan = recipe(
        epochs=12, patience=1, learning_rate=1e-9, augment=CALM, finetune=FINE | {"epoch": 5, "learning_rate": 1e-9}
    )
    assert 5 < len(trained(plan, faces, tmp_path)) < 12


def test_fine_tuning_takes_more_layers_than_the_head(faces, tmp_path):
    with pytest.raises(ConfigError, match="from classifier on, which is less than blocks.2 alone"):
        trained(recipe(finetune=FINE | {"head": "blocks.2", "upper": "classifier", "epoch": 1}), faces, tmp_path)


def test_a_watched_split_is_scored_and_chooses_nothing(faces, tmp_path):
    watched = samples("synthetic:14", "test", size=24)
    seen = trained(recipe(epochs=3), faces, tmp_path / "seen", watch=watched)
    alone = trained(recipe(epochs=3), faces, tmp_path / "alone")
    assert all(0 <= epoch.entry["test_accuracy"] <= 1 for epoch in seen)
    assert fingerprint(seen[-1].classifier.network) == fingerprint(alone[-1].classifier.network)


@pytest.mark.parametrize(
    "change",
    [
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"sharpness": 0.05, "optimizer": "sgd"},
        {"clip": 0.5},
        {"balanced_sampling": True},
        {"class_weights": "balanced"},
        {"loss": "focal"},
        {"schedule": "plateau", "plateau": 0},
    ],
)
def test_every_way_of_training_learns_and_changes_the_outcome(faces, tmp_path, change):
    plan = recipe(epochs=14, learning_rate=1e-2, augment=CALM, select_by="loss", **change)
    epochs = trained(plan, faces, tmp_path / "a")
    assert epochs[-1].entry["loss"] < epochs[0].entry["loss"]
    assert epochs[-1].entry["loss"] < 1.9
    again = trained(plan, faces, tmp_path / "b")
    assert fingerprint(again[-1].classifier.network) == fingerprint(epochs[-1].classifier.network)


def test_clipping_bounds_the_step(faces, tmp_path):
    """Plain SGD moves by the rate times the gradient, whose norm is clipped."""
    plan = recipe(epochs=1, optimizer="sgd", momentum=0.0, learning_rate=1.0, clip=1e-3, augment=CALM)
    few = (faces[0][:14], faces[1])
    before = fresh_state(plan, plan_of(plan, few[0], "cpu").card, 1, "cpu").network
    trained(plan, few, tmp_path)
    after = torch.load(tmp_path / "state.pt", weights_only=True)["network"]
    moved = sum(float((after[name] - value.detach()).square().sum()) for name, value in before.named_parameters())
    assert moved**0.5 == pytest.approx(1e-3, rel=1e-2)


def test_balanced_sampling_shows_every_class_equally_often(faces, tmp_path):
    rare = torch.tensor([i for i in range(42) if faces[0].labels[i] != 1 or i < 7])
    log, counts = tmp_path / "log", torch.zeros(7)
    uneven = faces[0][rare]
    for _ in train(recipe(epochs=30, balanced_sampling=True, batch_size=12), uneven, faces[1], log):
        pass
    seen = np.isfinite(read_log(log).logits).all(2)
    for label in range(7):
        counts[label] = seen[:, uneven.labels.numpy() == label].mean()
    assert counts[1] > counts[[0, 2, 3, 4, 5, 6]].max()


def test_larger_pictures_are_cropped_and_the_card_says_so(tmp_path):
    large = samples("synthetic:28", "train", size=28), samples("synthetic:14", "select", size=28)
    plan = recipe(augment={"ten_crops": True}, views="ten-crop")
    model = trained(plan, large, tmp_path)[-1].classifier
    assert (model.card.input_size, model.card.read_size) == ((1, 24, 24), 28)
    answer = predict(model, large[1], views="ten-crop")
    entry = model.card.history[-1]
    best = max(line["select_accuracy"] for line in model.card.history)
    assert 1 - float(answer.wrong.float().mean()) == pytest.approx(best, abs=1e-6)
    assert entry["select_loss"] > 0


@pytest.mark.parametrize(
    ("normalise", "mean", "std"),
    [("unit", (0.0,), (1.0,)), ("centred", (0.5,), (0.5,)), ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))],
)
def test_input_is_scaled_as_the_recipe_says(normalise, mean, std):
    channels = len(mean)
    plan = recipe(network={"normalise": normalise, "channels": channels})
    card = plan_of(plan, samples("synthetic:14", size=24, channels=channels), "cpu").card
    assert (card.mean, card.std) == (mean, std)


def test_imagenets_mean_is_for_colour(faces):
    with pytest.raises(ConfigError, match="'imagenet' is for 3 channels, not 1"):
        plan_of(recipe(network={"normalise": "imagenet"}), faces[0], "cpu")


def test_a_class_without_training_faces_is_told(faces, tmp_path):
    few = faces[0][(faces[0].labels != 1).nonzero().flatten()]
    with pytest.warns(UserWarning, match="No training face is labelled disgust"):
        trained(recipe(epochs=1), (few, faces[1]), tmp_path)


PROCESSES = """
import json
import os
import sys
from pathlib import Path
from inspect_fer.datasets import samples
from inspect_fer.training import distributed, recipe_from, train

faces = samples("synthetic:42", "train", size=24), samples("synthetic:21", "select", size=24)
for name, values in eval(sys.argv[2]).items():
    epochs = list(train(recipe_from(values), *faces, Path(sys.argv[1]) / name))
    if name == "norm":
        decided = json.dumps([(epoch.entry["rate"], epoch.best) for epoch in epochs])
        (Path(sys.argv[1]) / f"decided-{os.environ['RANK']}.json").write_text(decided)
distributed.leave()
"""


def test_two_processes_train_like_one(faces, tmp_path):
    """With the same draws and shares of every batch; batch norm's own statistics would differ, so one has none and the
    other's are frozen."""
    frozen = {"head": "classifier", "upper": "classifier", "epoch": 1}
    plain = {"architecture": "lenet", "size": 24, "options": {}}
    plans = {
        "norm": recipe(optimizer="sgd", schedule="plateau", plateau=0, epochs=4, select_by="loss", learning_rate=0.5),
        "frozen": recipe(finetune=frozen, optimizer="sgd", augment={"erase": 0.5}),
        "plain": recipe(network=plain, optimizer="sgd", learning_rate=1e-2),
    }
    script = tmp_path / "train.py"
    script.write_text(PROCESSES)
    values = repr({name: plan.as_dict() for name, plan in plans.items()})
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, tmp_path, values],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    first, second = (json.loads((tmp_path / f"decided-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second  # batch norm differs between them, what they decide does not
    assert first[-1][0] < first[0][0]
    for name in ("frozen", "plain"):
        plan = plans[name]
        trained(plan, faces, tmp_path / "one" / name)
        one, two = (torch.load(tmp_path / at / name / "state.pt", weights_only=True) for at in ("one", "."))
        for key, value in one["network"].items():
            torch.testing.assert_close(two["network"][key], value, atol=1e-5, rtol=1e-4)
        for first, second in zip(one["history"], two["history"], strict=True):
            assert first["loss"] == pytest.approx(second["loss"], rel=1e-4)
        logits = [read_log(tmp_path / at / name).logits.astype(np.float32) for at in ("one", ".")]
        np.testing.assert_allclose(*logits, atol=5e-3)


def test_a_batch_that_cannot_be_shared_is_told(monkeypatch):
    from inspect_fer.training import distributed

    monkeypatch.setattr(distributed, "processes", lambda: 4)
    with pytest.raises(ConfigError, match="A batch of 14 cannot be shared by 4 processes"):
        distributed.share(14)
