"""Planning a sweep: its trials, all different, all checked before the first one trains."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch

from inspect_fer.errors import ConfigError, DataError, FerError
from inspect_fer.schema import Samples
from inspect_fer.training.config import Recipe
from inspect_fer.training.data import shared_roles
from inspect_fer.training.losses import truth_of
from inspect_fer.training.recipes import recipe_from
from inspect_fer.training.setup import begin_phase, card_of, fresh_state, network_of
from inspect_fer.training.sweep import Range, Sweep

DRAWS = 100
"""So many draws are made for each trial wanted, before a random search gives up finding different ones."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep. key: a hash of its recipe, which names its folder; values: of the swept keys."""

    key: str
    values: Mapping[str, Any]
    recipe: Recipe


def trials_of(sweep: Sweep, *, limit_epochs: int | None = None, build: bool = True) -> list[Trial]:
    """Plan all trials of a sweep, each different from the others, and check that each can be trained.

    limit_epochs: none trains longer; build: try each network out, without memory

    Raises ConfigError with the values of a trial that makes no valid recipe.
    """
    found: dict[str, Trial] = {}
    seen: set[str] = set()
    buildable: set[str] = set()
    for values in _points(sweep):
        if (point := json.dumps(values, default=str)) in seen:
            continue
        seen.add(point)
        try:
            trial = _trial(sweep.base, values, limit_epochs)
            if build:
                _require_buildable(trial.recipe, buildable)
        except FerError as problem:
            words = ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in values.items())
            raise ConfigError(f"No recipe is made by {words}: {problem}") from problem
        found.setdefault(trial.key, trial)
        if sweep.search == "random" and len(found) == sweep.trials:
            break
    return list(found.values())


def own_trial(sweep: Sweep, values: Mapping[str, Any], *, limit_epochs: int | None = None) -> Trial | None:
    """The trial with these values, where the sweep could have planned it; else None."""
    if values.keys() != sweep.grid.keys():
        return None
    for key, tried in sweep.grid.items():
        value = _whole(values[key])
        if isinstance(tried, Range):
            there = type(value) in {int, float} and tried.low <= value <= tried.high
        else:
            there = value in _whole(tried)
        if not there and (key, value) != ("training.epochs", limit_epochs):
            return None
    try:
        return _trial(sweep.base, {key: values[key] for key in sweep.grid}, limit_epochs)
    except FerError:
        return None


def alike(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    """The trials that read the same pixels, together, so that one set lies in memory at a time."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        recipe = trial.recipe
        seed = recipe.training.seed if recipe.data.balanced_copies else 0
        read = [asdict(recipe.data), recipe.network.size, recipe.network.channels, seed]
        groups.setdefault(json.dumps(read, sort_keys=True, default=str), []).append(trial)
    yield from groups.values()


def require_learnable(trials: Sequence[Trial], faces: Samples, select: Samples) -> None:
    """Raise DataError for trials that cannot learn from these samples."""
    for options in (trial.recipe.training for trial in trials):
        truth_of(options, faces)
        truth_of(options, select)
        if options.batch_size > len(faces):
            raise DataError(f"{len(faces)} faces do not fill one batch of {options.batch_size}; sweep smaller ones.")


def _points(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """The values of every trial, in order; of a random search, more than are wanted."""
    if sweep.search == "grid":
        lists = [values for values in sweep.grid.values() if not isinstance(values, Range)]
        yield from (dict(zip(sweep.grid, point, strict=True)) for point in product(*lists))
        return
    generator = np.random.default_rng(sweep.seed)
    for _ in range(DRAWS * sweep.trials):
        yield {
            key: values.draw(generator) if isinstance(values, Range) else values[int(generator.integers(len(values)))]
            for key, values in sweep.grid.items()
        }


def _trial(base: Recipe, values: Mapping[str, Any], limit_epochs: int | None) -> Trial:
    start = replace(base, note="", published=None, data=replace(base.data, watch_test=False))
    plain = start.as_dict()
    for key, value in values.items():
        *above, last = key.split(".")
        place = plain
        for name in above:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{key} cannot be swept, as {name} is {place!r} and holds no keys.")
        place[last] = deepcopy(value)
    recipe = recipe_from(plain)
    if limit_epochs and recipe.training.epochs > limit_epochs:
        recipe = recipe_from(replace(recipe, training=replace(recipe.training, epochs=limit_epochs)).as_dict())
        values = {key: limit_epochs if key == "training.epochs" else value for key, value in values.items()}
    if _yardstick(recipe) != _yardstick(start):
        raise ConfigError(
            "trials are compared by one select_by (and one loss, where that is the score), on the same splits of the "
            "same kind of data, which all of them learn from or none, with the same options, scoring, parts and "
            "balanced_copies. Make two sweeps."
        )
    text = json.dumps(_whole(recipe.as_dict()), sort_keys=True, default=str)
    return Trial(hashlib.sha256(text.encode()).hexdigest()[:10], values, recipe)


def _yardstick(recipe: Recipe) -> tuple[object, ...]:
    """What trials are compared by: the question that they are asked, and how the answers are scored."""
    plan, options = recipe.data, recipe.training
    loss = (options.loss, options.label_smoothing, options.focal_gamma) if options.select_by == "loss" else ()
    asked = _whole([plan.options, plan.scoring, plan.parts])
    splits = (plan.kind, plan.select, plan.test, plan.watch_test, plan.balanced_copies, asked, shared_roles(recipe))
    return *splits, options.select_by, loss


def _whole(value: Any) -> Any:
    """The same value for 1 and 1.0, for a list and a tuple."""
    if isinstance(value, Mapping):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _require_buildable(recipe: Recipe, known: set[str]) -> None:
    """Build the network without memory, as a training does; raises FerError. known: what was found to work before."""
    plan = recipe.network
    network = json.dumps([asdict(plan), recipe.finetune and asdict(recipe.finetune)], default=str)
    if network in known:
        return
    pixels = torch.zeros(1, plan.channels, 2, 2, dtype=torch.uint8)
    card = card_of(recipe, Samples(("",), pixels, torch.zeros(1, dtype=torch.int64), ("one", "other")), pixels)
    with torch.device("meta"):
        if recipe.finetune:
            begin_phase(fresh_state(recipe, card, 1, "meta"), recipe, 1, recipe.finetune.epoch)
        else:
            network_of(card)
    known.add(network)
