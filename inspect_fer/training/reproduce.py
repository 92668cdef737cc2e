"""Training and measuring the experiments of the source reports again.

FOLDER/
  NAME.training/     the log of an experiment's training, see log.py
  NAME.safetensors   its best network, in half precision; experiments that are trained alike share the first one's
  reproduce.csv, reproduce.md   printed and measured side by side
"""

import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.datasets.spec import Part
from inspect_fer.errors import CheckpointError, FerError
from inspect_fer.models.checkpoint import load, save
from inspect_fer.schema import Classifier, Samples, Tick
from inspect_fer.training.config import Recipe
from inspect_fer.training.data import ROLES, read_split
from inspect_fer.training.distributed import check_device
from inspect_fer.training.experiments import Experiment, Outcome, make_folder, parts_of, write_tables
from inspect_fer.training.finish import finished
from inspect_fer.training.loop import train
from inspect_fer.training.recipes import recipe_from

Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

Scores = Mapping[str, Mapping[str, float]]

MINIATURES = ("ferplus", "rafdb", "ckplus", "tfeid", "folder")
"""Layouts that a walk through all experiments needs; FER2013's file lies beside the votes of FER+."""


@dataclass(frozen=True)
class Lab:
    """Where experiments are made.

    parts: where each kind of dataset lies, as `parts_of` gives it; folder: of everything that is made
    limit: take only so many faces of each split, from all over it
    """

    parts: Mapping[str, Part]
    folder: Path
    device: str = "cpu"
    limit: int | None = None
    watch: Watch = lambda *_: None

    def read(self, experiment: Experiment, role: str) -> Samples:
        """The faces of a split. Raises FerError."""
        faces = read_split(experiment.recipe, experiment.spec(self.parts), role)
        count = len(faces) if self.limit is None else min(self.limit, len(faces))
        return faces if count == len(faces) else faces[torch.linspace(0, len(faces) - 1, count).long()]


def reproduce(chosen: Sequence[Experiment], lab: Lab, *, evaluate_only: bool = False) -> Iterator[Outcome]:
    """Train each experiment whose data are there, or take its network from the folder, and measure it.

    A training that was stopped goes on where it was; a network that is there is not trained again. An experiment that
    fails says why, and the rest goes on. Raises ConfigError for a device that is not there, RunError for a folder that
    cannot be made.
    """
    check_device(lab.device)
    make_folder(lab.folder)
    done: list[Outcome] = []
    for experiment in chosen:
        done.append(_outcome(experiment, _place(experiment, chosen, lab.folder), lab, evaluate_only=evaluate_only))
        write_tables(lab.folder, done)
        yield done[-1]


def smoke(chosen: Sequence[Experiment], folder: Path, *, device: str = "cpu") -> Iterator[Outcome]:
    """Walk through experiments with full-size networks, two miniature faces a split and an epoch of one step.

    folder: an empty one, in which the miniatures and the tables are left
    """
    specs = [write_miniature(layout, folder / layout, per_class=2) for layout in MINIATURES]
    parts = parts_of([*specs, f"fer2013:{folder / 'ferplus'}"])
    short = [replace(each, recipe=shortened(each.recipe)) for each in chosen]
    walk = reproduce(short, Lab(parts, folder, device, limit=2))
    for ahead in range(1, len(short) + 1):
        with warnings.catch_warnings(), _one_thread():
            warnings.filterwarnings("ignore", "No training face is labelled")  # two faces do not show all
            outcome = next(walk)
        yield outcome
        for each in short[:ahead]:
            shutil.rmtree(folder / f"{each.name}.training", ignore_errors=True)
            if not any(other.trained_like(each) for other in short[ahead:]):
                (folder / f"{each.name}.safetensors").unlink(missing_ok=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: with so few faces more only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def shortened(recipe: Recipe) -> Recipe:
    """The same recipe with as little training as shows that it works, from fresh weights."""
    data = replace(recipe.data, balanced_copies=min(1, recipe.data.balanced_copies))
    fresh = {name: value for name, value in recipe.network.options.items() if name != "weights"}
    fine = recipe.finetune and replace(recipe.finetune, epoch=1)
    training = replace(recipe.training, epochs=2 if fine else 1, batch_size=2)
    network = replace(recipe.network, options=fresh, start="")
    return replace(recipe, data=data, network=network, training=training, finetune=fine)


def _place(experiment: Experiment, chosen: Sequence[Experiment], folder: Path) -> Path:
    """Where its network is kept: under its own name, or that of the first experiment that is trained alike."""
    own = folder / f"{experiment.name}.safetensors"
    first = next(other for other in chosen if experiment.trained_like(other))
    return own if own.is_file() else folder / f"{first.name}.safetensors"


def _outcome(experiment: Experiment, place: Path, lab: Lab, *, evaluate_only: bool) -> Outcome:
    missing, started, there = experiment.missing(lab.parts), time.monotonic(), place.is_file()
    if missing:
        return Outcome(experiment, "no data", f"needs {' '.join(f'--data {kind}:PATH' for kind in missing)}")
    if evaluate_only and not there:
        return Outcome(experiment, "no checkpoint", f"{place} is not there")
    try:
        scores = _evaluated(experiment, place, lab) if there else _trained(experiment, place, lab)
    except (FerError, torch.OutOfMemoryError) as problem:
        return Outcome(experiment, "failed", str(problem).partition("\n")[0])
    return Outcome(experiment, "evaluated" if there else "trained", "", scores, time.monotonic() - started)


def _evaluated(experiment: Experiment, place: Path, lab: Lab) -> Scores:
    """Scores of the network that is there. Raises CheckpointError where it was trained by another recipe."""
    model = load(place)
    stored = replace(experiment, recipe=recipe_from(model.card.recipe)) if model.card.recipe else None
    if stored is None or not experiment.trained_like(stored):
        raise CheckpointError(f"{place} was not trained by this recipe. Move it away, or name another --out.")
    splits = {role: lab.read(experiment, role) for role in ("select", "test")}
    return _measured(experiment, model, splits, lab).card.scores


def _trained(experiment: Experiment, place: Path, lab: Lab) -> Scores:
    """Scores of the best network of a training, which is written with them."""
    recipe, name = experiment.recipe, experiment.name
    splits = {role: lab.read(experiment, role) for role in ROLES}
    watch = splits["test"] if recipe.data.watch_test else None
    past, whole = 0, recipe.training.epochs * len(splits["train"])

    def step(done: int, of: int, _loss: float, _accuracy: float) -> None:
        lab.watch(f"{name}: training", past * of + done, whole)

    learn = partial(train, recipe, splits.pop("train"), splits["select"], place.with_suffix(".training"))
    for epoch in learn(watch=watch, device=lab.device, step=step):
        past, model = epoch.number + 1, epoch.classifier
    model = _measured(experiment, model, splits, lab)
    save(replace(model, card=replace(model.card, dataset=recipe.data.kind)), place, half=True)
    return model.card.scores


def _measured(experiment: Experiment, model: Classifier, splits: Mapping[str, Samples], lab: Lab) -> Classifier:
    """The network as it is stored, with its scores in the recipe's views and in a single one in its card."""

    def track(what: str) -> Tick:
        return partial(lab.watch, f"{experiment.name}: {what}")

    return finished(model, experiment.recipe, splits, views=("single",), device=lab.device, track=track)[0]
