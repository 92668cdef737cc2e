"""Optimisers and schedules of the learning rate: torch's own, by the names of recipes, and sharpness-aware steps."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from inspect_fer.training.config import Training

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
}


def optimizer_of(options: Training, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a recipe over these weights."""
    own: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    if options.optimizer == "sgd":
        own |= {"momentum": options.momentum, "nesterov": options.nesterov and options.momentum > 0}
    return OPTIMIZERS[options.optimizer](weights, **own)


class Rate:
    """The learning rate over a training: told of every step and, by `epoch_done`, of every epoch's score."""

    def __init__(self, options: Training, optimizer: torch.optim.Optimizer, steps: int) -> None:
        """steps: in an epoch."""
        self.optimizer = optimizer
        self.per_step = _by_step(options, optimizer, steps)
        mode: Any = "min" if options.select_by == "loss" else "max"
        self.on_plateau = (
            lr_scheduler.ReduceLROnPlateau(optimizer, mode, options.factor, int(options.plateau))
            if options.schedule == "plateau"
            else None
        )

    @property
    def now(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self) -> None:
        """One step of the optimiser was made."""
        if self.per_step:
            self.per_step.step()

    def epoch_done(self, score: float) -> None:
        """An epoch ended with this score on the selection split."""
        if self.on_plateau:
            self.on_plateau.step(score)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on."""
        parts = {"per_step": self.per_step, "on_plateau": self.on_plateau}
        return {name: part.state_dict() for name, part in parts.items() if part}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        for part, name in ((self.per_step, "per_step"), (self.on_plateau, "on_plateau")):
            if part:
                part.load_state_dict(stored[name])


def _by_step(options: Training, optimizer: torch.optim.Optimizer, steps: int) -> lr_scheduler.LRScheduler | None:
    """What changes the rate step by step, None where nothing does; warm-up goes before."""
    warm = round(options.warmup * steps)
    total = max(1, options.epochs * steps - warm)
    main = _schedule(options, optimizer, steps, total, warm)
    if not warm:
        return main
    rising = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warm + 1), total_iters=warm)
    return rising if main is None else lr_scheduler.SequentialLR(optimizer, [rising, main], [warm])


def _schedule(
    options: Training, optimizer: torch.optim.Optimizer, steps: int, total: int, warm: int
) -> lr_scheduler.LRScheduler | None:
    """The schedule of the `total` steps that come after `warm` ones, from which it counts."""
    if options.schedule == "one-cycle":
        return lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total, cycle_momentum=False)
    if options.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, total)
    if options.schedule == "warm-restarts":
        return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, options.restart * steps, 2)
    if options.schedule == "step":
        marks = [
            (mark * steps - warm, factor) for mark, factor in zip(options.milestones, options.factors, strict=True)
        ]
        return lr_scheduler.LambdaLR(optimizer, partial(_factor_at, marks))
    return None


def _factor_at(marks: list[tuple[int, float]], step: int) -> float:
    return next((factor for start, factor in reversed(marks) if step >= start), 1.0)


def sharp_step(optimizer: torch.optim.Optimizer, radius: float, gradients_here: Callable[[], object]) -> None:
    """One step of sharpness-aware minimisation. Foret et al., ICLR 2021, arXiv:2010.01412, algorithm 1.

    Gradients of the weights are there already; `gradients_here` computes them anew at the weights as they are then,
    `radius` up the slope. The optimiser steps from the old weights with the gradients from there. Dropout draws anew
    in the second pass, and batch norm counts both.
    """
    pairs = [(p, p.grad) for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    weights, slopes = [p for p, _ in pairs], [slope for _, slope in pairs]
    before = [p.detach().clone() for p in weights]
    reach = radius / (float(nn.utils.get_total_norm(slopes)) + 1e-12)
    with torch.no_grad():
        for p, slope in pairs:
            p.add_(slope, alpha=reach)
    optimizer.zero_grad()
    gradients_here()
    with torch.no_grad():
        for p, old in zip(weights, before, strict=True):
            p.copy_(old)
    optimizer.step()
