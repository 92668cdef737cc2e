"""The training loop: a generator of epochs. Callers log, show and stop; the same seed gives the same network."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import ConfigError, DataError
from inspect_fer.schema import Classifier, Samples
from inspect_fer.training import distributed, log
from inspect_fer.training.augment import augment, mixed, randaugment
from inspect_fer.training.config import Recipe
from inspect_fer.training.losses import balanced_weights, draw, truth_of
from inspect_fer.training.optimizers import sharp_step
from inspect_fer.training.selection import Judge, best_epoch, has_stopped, judge_of
from inspect_fer.training.setup import Plan, State, begin_phase, fresh_state, plan_of, set_training

Step = Callable[[int, int, float, float], None]
"""Told every few batches: samples done, samples in all, mean loss and accuracy of the epoch so far."""

TOLD_EVERY = 8
"""Batches between two tellings; each waits for the device."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to: its entry of the history, and whether it is the best so far."""

    number: int
    entry: dict[str, float]
    best: bool
    _make: Callable[[], Classifier] = field(repr=False)

    @cached_property
    def classifier(self) -> Classifier:
        """The best network so far, on the CPU, in eval mode; of epochs that were resumed, the best of all of these."""
        return self._make()


def train(
    recipe: Recipe,
    faces: Samples,
    select: Samples,
    folder: Path,
    *,
    watch: Samples | None = None,
    device: str = "cpu",
    restart: bool = False,
    step: Step | None = None,
) -> Iterator[Epoch]:
    """Train a network on `faces`, choosing the best epoch on `select`; yield every epoch, resumed ones included.

    folder: of the log and the state; a training that was stopped goes on there after its last whole epoch
    watch: scored after every epoch as well ("test_..." in the history), to look at; it chooses nothing

    Started by torchrun, the processes share every batch and the first one writes. The last epoch's `classifier` is the
    best one. Raises DataError, ConfigError or RunError.
    """
    splits = {"select": select} | ({} if watch is None else {"test": watch})
    _check(recipe, {"training": faces, **splits})
    distributed.check_device(device)
    device = distributed.join(device)
    plan = plan_of(recipe, faces, device)
    distributed.share(recipe.training.batch_size)  # what cannot be is told before anything is written
    state = fresh_state(recipe, plan.card, plan.steps, device)
    made_of = _made_of(recipe, {"train": faces, **splits})
    if distributed.is_first():
        log.begin(folder, made_of, faces.ids, restart=restart)
    distributed.wait()
    _restore(state, plan, folder, log.mark_of(made_of))
    for past in range(len(state.history)):
        best = past == best_epoch(state.history[: past + 1], recipe)
        yield Epoch(past, state.history[past], best, state.best_network(plan.card))
    judges = {name: judge_of(plan, split) for name, split in splits.items()}
    runner = distributed.together(state.network)
    for number in range(len(state.history), recipe.training.epochs):
        if has_stopped(state.history, recipe):
            return
        if recipe.finetune and number == recipe.finetune.epoch:
            begin_phase(state, recipe, plan.steps, number)
            runner = distributed.together(state.network)
        started = time.monotonic()
        seen, entry = _one_epoch(plan, state, runner, number, step)
        if distributed.is_first():
            entry |= _judged(plan, state, judges, number)
        entry = distributed.from_first(entry)
        state.rate.epoch_done(entry[f"select_{recipe.training.select_by}"])
        state.history.append({"epoch": number, **entry, "seconds": time.monotonic() - started})
        best = best_epoch(state.history, recipe) == number
        if best:
            state.keep()
        if distributed.is_first():
            log.write_epoch(folder, state.as_dict() | {"mark": log.mark_of(made_of)}, seen)
        distributed.wait()
        yield Epoch(number, state.history[-1], best, state.best_network(plan.card))


def _check(recipe: Recipe, splits: Mapping[str, Samples]) -> None:
    """Raise DataError for splits that cannot be learnt from or scored; the training split comes first."""
    faces = splits["training"]
    for role, split in splits.items():
        name = {"select": "selection"}.get(role, role)
        if not len(split) or (split.labels < 0).any():
            raise DataError(
                f"The {name} split has {len(split)} faces, {int((split.labels < 0).sum())} of them unlabelled."
            )
        truth_of(recipe.training, split)
        if faces.class_names != split.class_names:
            raise DataError(f"The training and the {name} split name different classes.")
    if len(faces) < recipe.training.batch_size:
        raise DataError(
            f"{len(faces)} faces do not fill one batch of {recipe.training.batch_size}; choose a smaller batch_size."
        )
    missing = [name for name, count in faces.counts().items() if not count]
    if missing:
        warnings.warn(f"No training face is labelled {', '.join(missing)}: the network cannot learn it.", stacklevel=3)


def _made_of(recipe: Recipe, splits: Mapping[str, Samples]) -> dict[str, Any]:
    sources = {name: dict(split.source) for name, split in splits.items()}
    sizes = [len(split) for split in splits.values()]
    return {"recipe": recipe.as_dict(), "data": sources, "faces": sizes, "torch": torch.__version__}


def _restore(state: State, plan: Plan, folder: Path, mark: str) -> None:
    """Go on after the last whole epoch that was stored, where there is one."""
    stored = log.load_state(folder, mark)
    if stored is not None:
        fine, done = plan.recipe.finetune, len(stored.get("history", ()))
        if fine and done > fine.epoch:
            begin_phase(state, plan.recipe, plan.steps, done)
        log.restore(folder, state, stored)


def _judged(plan: Plan, state: State, judges: Mapping[str, Judge], number: int) -> dict[str, float]:
    """The scores of the network on each split. Raises ConfigError when its answers are not numbers any more."""
    found: dict[str, float] = {}
    for name, judge in judges.items():
        try:
            scores = judge(state.judged)
        except DataError as problem:
            raise _diverged(plan, number, plan.steps) from problem
        found |= {f"{name}_{score}": value for score, value in scores.items()}
    return found


def _one_epoch(
    plan: Plan, state: State, runner: nn.Module, number: int, step: Step | None
) -> tuple[Tensor, dict[str, float]]:
    """Go once through the set in batches of equal size. Returns every sample's logits (N, K), their mean where it was
    seen several times and NaN where it was not."""
    options, finetune = plan.recipe.training, plan.recipe.finetune
    generator = torch.Generator().manual_seed(options.seed * 100_003 + number)
    order = _order(plan, generator)
    truth = draw(plan.truth.cpu(), generator).to(plan.device) if options.loss == "drawn-cross-entropy" else plan.truth
    seen = torch.zeros(len(plan.pixels), len(plan.card.class_names) + 1, device=plan.device)
    totals = torch.zeros(3, dtype=torch.float64, device=plan.device)  # of loss, right answers and samples
    mine = distributed.share(options.batch_size)
    set_training(state.network)
    rate = state.rate.now
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed * 100_003 + number)  # dropout and mixing draw from the global stream
        for batch, rows in enumerate(order[: plan.steps * options.batch_size].split(options.batch_size)):
            own = rows[mine].to(plan.device)
            images = _images(plan, own, generator, mine)
            logits, loss = _learn(plan, state, runner, images, truth[own])
            seen.index_add_(0, own, torch.cat([logits, torch.ones_like(logits[:, :1])], dim=1))
            totals += torch.stack(
                [loss * len(own), (logits.argmax(1) == plan.labels[own]).sum(), totals.new_tensor(len(own))]
            )
            if batch % TOLD_EVERY == TOLD_EVERY - 1 or batch == plan.steps - 1:
                _tell(totals, plan, number, batch, step)
    total_loss, right, done = distributed.summed(totals).tolist()
    seen = distributed.summed(seen).cpu()
    entry = {"loss": total_loss / done, "accuracy": right / done, "rate": rate}
    phase = {"phase": 1.0 + (number >= finetune.epoch)} if finetune else {}
    return seen[:, :-1] / seen[:, -1:], entry | phase


def _order(plan: Plan, generator: torch.Generator) -> Tensor:
    """Which samples come when: all of them once, or each class equally often."""
    if not plan.recipe.training.balanced_sampling:
        return torch.randperm(len(plan.pixels), generator=generator)
    labels = plan.labels.cpu()
    chances = balanced_weights(labels, len(plan.card.class_names))[labels]
    return torch.multinomial(chances, len(labels), replacement=True, generator=generator)


def _images(plan: Plan, rows: Tensor, generator: torch.Generator, mine: slice) -> Tensor:
    """The network's input from these samples, changed at random: (n, C, S, S), or ten times as many crops."""
    options = plan.recipe.augment
    pixels = plan.pixels[rows]
    if options.randaugment:
        pixels = randaugment(pixels, options)
    images = plan.card.scale(pixels)
    side, whole = plan.card.input_size[1], plan.recipe.training.batch_size
    images = augment(images, options, generator, side=side, share=mine, of=whole)
    return images.contiguous(memory_format=torch.channels_last)


def _learn(plan: Plan, state: State, runner: nn.Module, images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the optimiser. Returns each sample's logits (n, K), the mean of its crops, and the loss."""
    options = plan.recipe.training
    crops = len(images) // len(truth)
    truth = truth.repeat_interleave(crops, dim=0)
    if options.mixup or options.cutmix:
        shares = F.one_hot(truth, len(plan.card.class_names)).float() if truth.ndim == 1 else truth
        images, truth = mixed(images, shares, options.mixup, options.cutmix)

    def gradients() -> tuple[Tensor, Tensor]:
        with plan.arithmetic:
            logits = runner(images).float()
        loss = plan.cost(logits, truth)
        state.optimizer.zero_grad()
        loss.backward()
        if options.clip:
            nn.utils.clip_grad_norm_(state.network.parameters(), options.clip)
        return logits.detach(), loss.detach()

    logits, loss = gradients()
    if options.sharpness:
        sharp_step(state.optimizer, options.sharpness, gradients)
    else:
        state.optimizer.step()
    state.rate.step()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return logits.view(-1, crops, logits.shape[1]).mean(1), loss


def _tell(totals: Tensor, plan: Plan, number: int, batch: int, step: Step | None) -> None:
    """Tell how far the epoch is. Raises ConfigError when the loss is not a number any more."""
    loss, right, done = totals.tolist()
    if not math.isfinite(loss):
        raise _diverged(plan, number, batch + 1)
    if step is not None:
        parts = distributed.processes()
        step(int(done) * parts, len(plan.pixels), loss / done, right / done)


def _diverged(plan: Plan, number: int, batch: int) -> ConfigError:
    fine = plan.recipe.finetune
    part = "finetune" if fine and number >= fine.epoch else "training"
    rate = getattr(plan.recipe, part).learning_rate
    kept, again = ("the epochs before are kept", ", and add --restart") if number else ("nothing is kept", "")
    return ConfigError(
        f"The loss is not a number any more in epoch {number + 1}, by batch {batch} of {plan.steps}; {kept}. Lower "
        f"learning_rate of [{part}], which is {rate:g}, or set clip = 1.0{again}."
    )
