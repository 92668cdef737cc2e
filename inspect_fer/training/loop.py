"""The training loop: a generator of epochs. Callers log, show and stop; the same seed gives the same network."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import DataError
from inspect_fer.metrics import evaluate
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.schema import Classifier, ModelCard, Prediction, Samples
from inspect_fer.training import log
from inspect_fer.training.augment import augment
from inspect_fer.training.config import Recipe, Training

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
Step = Callable[[int, int, float, float], None]
"""Told after each batch: samples done, samples in all, mean loss and accuracy of the epoch so far."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to: its entry of the history, whether it is the best so far, and the best network."""

    number: int
    entry: dict[str, float]
    best: bool
    classifier: Classifier


@dataclass
class _State:
    """All that changes while training."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    best: dict[str, Tensor]
    history: list[dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        names = ("network", "optimizer", "schedule")
        return {name: getattr(self, name).state_dict() for name in names} | {"best": self.best, "history": self.history}

    def restore(self, stored: dict[str, Any]) -> None:
        for name in ("network", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(stored[name])
        self.best, self.history = stored["best"], stored["history"]


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
    log.begin(folder, _made_of(recipe, faces, select), faces.ids, restart=restart)
    pixels, truth = _on(device, faces), _truth(recipe.training, faces).to(device)
    card = _card(recipe, faces, pixels)
    state = _fresh_state(recipe, card, len(faces), device)
    stored = log.load_state(folder)
    if stored is not None:
        state.restore(stored)
    for past in range(len(state.history)):
        yield Epoch(past, state.history[past], past == _best(state.history, recipe), _best_classifier(card, state))
    judge = _judge(recipe.training, card, select, device)
    for number in range(len(state.history), recipe.training.epochs):
        started = time.monotonic()
        seen, entry = _one_epoch(state, recipe, card, pixels, truth, number, step)
        entry |= judge(state.network)
        state.history.append({"epoch": number, **entry, "seconds": time.monotonic() - started})
        best = _best(state.history, recipe) == number
        if best:
            state.best = {name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()}
        log.write_epoch(folder, state.as_dict(), seen)
        yield Epoch(number, state.history[-1], best, _best_classifier(card, state))


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


def _made_of(recipe: Recipe, faces: Samples, select: Samples) -> dict[str, Any]:
    sources = {"train": dict(faces.source), "select": dict(select.source)}
    return {"recipe": recipe.as_dict(), "data": sources, "faces": [len(faces), len(select)], "torch": torch.__version__}


def _on(device: str, faces: Samples) -> Tensor:
    """The whole set as one uint8 tensor on the device."""
    return faces.pixels[:].to(device)


def _truth(options: Training, faces: Samples) -> Tensor:
    return faces.votes if options.loss == "bce" and faces.votes is not None else faces.labels


def _card(recipe: Recipe, faces: Samples, pixels: Tensor) -> ModelCard:
    network = recipe.network
    scaled = [pixels[:, channel].float() / 255 for channel in range(pixels.shape[1])]
    return ModelCard(
        architecture=network.architecture,
        class_names=faces.class_names,
        input_size=(network.channels, network.size, network.size),
        mean=tuple(round(float(values.mean()), 4) for values in scaled),
        std=tuple(round(max(float(values.std()), 1e-3), 4) for values in scaled),
        cam_layer=ARCHITECTURES[network.architecture].cam_layer if network.architecture in ARCHITECTURES else "",
        options=network.options,
        output="sigmoid" if recipe.training.loss == "bce" else "softmax",
        recipe=recipe.as_dict(),
        seed=recipe.training.seed,
    )


def _network(card: ModelCard) -> nn.Module:
    channels, size, _ = card.input_size
    return build(card.architecture, channels=channels, classes=len(card.class_names), size=size, options=card.options)


def _fresh_state(recipe: Recipe, card: ModelCard, faces: int, device: str) -> _State:
    options = recipe.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = _network(card).to(device, memory_format=torch.channels_last)
    rates = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    momentum = {"momentum": options.momentum, "nesterov": options.momentum > 0} if options.optimizer == "sgd" else {}
    optimizer = OPTIMIZERS[options.optimizer](network.parameters(), **rates, **momentum)
    return _State(network, optimizer, _schedule(options, optimizer, faces // options.batch_size), {}, [])


def _schedule(options: Training, optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    total = options.epochs * steps
    if options.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total, cycle_momentum=False)
    if options.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def _one_epoch(
    state: _State, recipe: Recipe, card: ModelCard, pixels: Tensor, truth: Tensor, number: int, step: Step | None
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
    return seen, {"loss": total_loss / done, "accuracy": right / done, "rate": state.schedule.get_last_lr()[0]}


def _learn(state: _State, options: Training, images: Tensor, truth: Tensor) -> tuple[Tensor, float]:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=_half(options, images.device.type)):
        logits = state.network(images)
    logits = logits.float()
    loss = loss_of(options, logits, truth)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.schedule.step()
    return logits.detach().cpu(), float(loss)


def loss_of(options: Training, logits: Tensor, truth: Tensor) -> Tensor:
    """Mean loss in nats: logits (N, K) against labels (N,), or against votes (N, K) for "bce"."""
    if options.loss == "bce":
        return F.binary_cross_entropy_with_logits(logits, truth)
    return F.cross_entropy(logits, truth, label_smoothing=options.label_smoothing)


def _labels(truth: Tensor) -> Tensor:
    return truth if truth.ndim == 1 else truth.argmax(1)


def _half(options: Training, device: str) -> bool:
    """Whether to compute in bfloat16: asked for, or faster on this processor."""
    if options.precision != "auto":
        return options.precision == "bfloat16"
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def _judge(options: Training, card: ModelCard, select: Samples, device: str) -> Callable[[nn.Module], dict[str, float]]:
    """Scores of a network on the selection split."""
    images = Classifier(nn.Identity(), card).normalise(select.pixels[:])

    def judge(network: nn.Module) -> dict[str, float]:
        network.eval()
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=_half(options, device)):
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


def _best_classifier(card: ModelCard, state: _State) -> Classifier:
    network = _network(card)
    network.load_state_dict(state.best)
    return Classifier(network.eval(), card)
