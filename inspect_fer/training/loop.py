"""The training loop: a generator of epochs. Callers log, show and stop; the same seed gives the same network."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import ConfigError, DataError
from inspect_fer.metrics import evaluate
from inspect_fer.schema import Classifier, ModelCard, Prediction, Samples
from inspect_fer.training import log
from inspect_fer.training.augment import augment
from inspect_fer.training.config import Recipe, Training
from inspect_fer.training.setup import State, bfloat16, card_of, fresh_state

Step = Callable[[int, int, float, float], None]
"""Told after each batch: samples done, samples in all, mean loss and accuracy of the epoch so far."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to: its entry of the history, whether it is the best so far, and the best network."""

    number: int
    entry: dict[str, float]
    best: bool
    classifier: Classifier


def train(
    recipe: Recipe,
    faces: Samples,
    select: Samples,
    folder: Path,
    *,
    device: str = "cpu",
    restart: bool = False,
    step: Step | None = None,
) -> Iterator[Epoch]:
    """Train a network on `faces`, choosing the best epoch on `select`; yield every epoch, resumed ones included.

    folder: of the log and the state; a training that was stopped goes on there after its last whole epoch.
    The last epoch's `classifier` is the best one. Raises DataError, ConfigError or RunError.
    """
    _check(recipe.training, faces, select)
    _check_device(device)
    log.begin(folder, _made_of(recipe, faces, select), faces.ids, restart=restart)
    pixels, truth = _on(device, faces), _truth(recipe.training, faces).to(device)
    card = card_of(recipe, faces, pixels)
    state = fresh_state(recipe, card, len(faces), device)
    stored = log.load_state(folder)
    if stored is not None:
        log.restore(folder, state, stored)
    for past in range(len(state.history)):
        yield Epoch(
            past, state.history[past], past == _best(state.history[: past + 1], recipe), state.best_classifier(card)
        )
    judge = _judge(recipe.training, card, select, device)
    for number in range(len(state.history), recipe.training.epochs):
        started = time.monotonic()
        seen, entry = _one_epoch(state, recipe, card, pixels, truth, number, step)
        if not math.isfinite(entry["loss"]):
            raise ConfigError(
                f"The loss is not a number any more in epoch {number + 1}; the epochs before are kept. Lower "
                f"learning_rate, which is {recipe.training.learning_rate:g}, and add --restart."
            )
        entry |= judge(state.network)
        state.history.append({"epoch": number, **entry, "seconds": time.monotonic() - started})
        best = _best(state.history, recipe) == number
        if best:
            state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}
        log.write_epoch(folder, state.as_dict(), seen)
        yield Epoch(number, state.history[-1], best, state.best_classifier(card))


def _check(options: Training, faces: Samples, select: Samples) -> None:
    for name, split in (("training", faces), ("selection", select)):
        if not len(split) or (split.labels < 0).any():
            raise DataError(
                f"The {name} split has {len(split)} faces, {int((split.labels < 0).sum())} of them unlabelled."
            )
    if faces.class_names != select.class_names:
        raise DataError("The training and the selection split name different classes.")
    if options.loss == "bce" and faces.votes is None:
        raise DataError("Loss bce learns from votes; this dataset has none. Use ferplus, or loss cross-entropy.")
    if len(faces) < options.batch_size:
        raise DataError(
            f"{len(faces)} faces do not fill one batch of {options.batch_size}; choose a smaller batch_size."
        )


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        raise ConfigError(f"There is no device {device!r} here to train on. Use cpu.") from problem


def _made_of(recipe: Recipe, faces: Samples, select: Samples) -> dict[str, Any]:
    sources = {"train": dict(faces.source), "select": dict(select.source)}
    return {"recipe": recipe.as_dict(), "data": sources, "faces": [len(faces), len(select)], "torch": torch.__version__}


def _on(device: str, faces: Samples) -> Tensor:
    """The whole set as one uint8 tensor on the device."""
    return faces.pixels[:].to(device)


def _truth(options: Training, faces: Samples) -> Tensor:
    return faces.votes if options.loss == "bce" and faces.votes is not None else faces.labels


def _one_epoch(
    state: State, recipe: Recipe, card: ModelCard, pixels: Tensor, truth: Tensor, number: int, step: Step | None
) -> tuple[Tensor, dict[str, float]]:
    """Go once through the set in batches of equal size. Returns every sample's logits (N, K), NaN where not seen."""
    options = recipe.training
    classifier = Classifier(state.network.train(), card)
    generator = torch.Generator().manual_seed(options.seed * 100_003 + number)
    order = torch.randperm(len(pixels), generator=generator)
    seen = torch.full((len(pixels), len(card.class_names)), torch.nan)
    total_loss, right, done = 0.0, 0, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed * 100_003 + number)  # dropout draws from the global stream
        for rows in order.split(options.batch_size):
            if len(rows) < options.batch_size:
                break  # a short last batch would weigh its samples more and change batch norm's statistics
            images = augment(classifier.normalise(pixels[rows]), recipe.augment, generator)
            logits, loss = _learn(state, options, images.to(memory_format=torch.channels_last), truth[rows])
            seen[rows] = logits
            done += len(rows)
            total_loss += loss * len(rows)
            right += int((logits.argmax(1) == _labels(truth[rows]).cpu()).sum())
            if step is not None:
                step(done, len(pixels), total_loss / done, right / done)
    return seen, {"loss": total_loss / done, "accuracy": right / done, "rate": float(state.schedule.get_last_lr()[0])}


def _learn(state: State, options: Training, images: Tensor, truth: Tensor) -> tuple[Tensor, float]:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16(options, images.device.type)):
        logits = state.network(images)
    logits = logits.float()
    loss = loss_of(options, logits, truth)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.schedule.step()
    return logits.detach().cpu(), loss.item()


def loss_of(options: Training, logits: Tensor, truth: Tensor) -> Tensor:
    """Mean loss in nats: logits (N, K) against labels (N,), or against votes (N, K) for "bce"."""
    if options.loss == "bce":
        return F.binary_cross_entropy_with_logits(logits, truth)
    return F.cross_entropy(logits, truth, label_smoothing=options.label_smoothing)


def _labels(truth: Tensor) -> Tensor:
    return truth if truth.ndim == 1 else truth.argmax(1)


def _judge(options: Training, card: ModelCard, select: Samples, device: str) -> Callable[[nn.Module], dict[str, float]]:
    """Scores of a network on the selection split."""
    images = Classifier(nn.Identity(), card).normalise(select.pixels[:])

    def judge(network: nn.Module) -> dict[str, float]:
        network.eval()
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bfloat16(options, device)):
            logits = torch.cat([network(part.to(device)).float().cpu() for part in images.split(512)])
        scores = evaluate(Prediction(select.ids, logits, select.labels, card.class_names, output=card.output))
        loss = float(loss_of(options, logits, _truth(options, select)))
        return {
            "select_loss": loss,
            "select_accuracy": scores["accuracy"],
            "select_macro_f1": scores["averages"]["macro"]["f1"],
        }

    return judge


def _best(history: list[dict[str, float]], recipe: Recipe) -> int:
    """The epoch with the best score on the selection split; the earliest of equal ones."""
    key = f"select_{recipe.training.select_by}"
    sign = -1 if recipe.training.select_by == "loss" else 1
    return max(range(len(history)), key=lambda epoch: sign * history[epoch][key])
