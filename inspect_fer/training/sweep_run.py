"""Running a sweep: every trial is trained once, into a folder of its own. Callers log, show and stop.

FOLDER/
  sweep.json         what it is trained on, by its absolute path; other data never meet these trials
  trials/KEY/        a trial's training log, see log.py; state.pt is kept for the best trial alone
  trials/KEY/result.json   written last: the trial is done, or has failed
  results.csv, results.json   all that is done so far, best first
"""

import csv
import io
import json
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inspect_fer.datasets import DATASETS
from inspect_fer.datasets.spec import split_spec
from inspect_fer.errors import ConfigError, DataError, RunError
from inspect_fer.schema import Classifier, Samples
from inspect_fer.training.config import Recipe
from inspect_fer.training.data import read_split
from inspect_fer.training.distributed import check_device
from inspect_fer.training.experiments import make_folder
from inspect_fer.training.log import write_aside
from inspect_fer.training.loop import train
from inspect_fer.training.selection import best_epoch
from inspect_fer.training.sweep import Sweep
from inspect_fer.training.trials import Trial, alike, own_trial, require_learnable

Watch = Callable[[Trial, float, float, float], None]
"""Told while a trial trains: the trial, how many epochs are done, mean loss and accuracy of the epoch so far."""


@dataclass(frozen=True)
class Result:
    """What a trial came to.

    score: `select_by` of its best epoch on the selection split, None where it failed
    best: that epoch's entry of the history; epochs, seconds: of all its training; faces: in the selection split
    failed: why, "" where it did not
    """

    trial: Trial
    score: float | None
    best: Mapping[str, float]
    epochs: int
    seconds: float
    faces: int
    failed: str = ""

    @property
    def best_epoch(self) -> int | None:
        """The best epoch's number, counted from 1."""
        return int(self.best["epoch"]) + 1 if self.best else None

    @property
    def rank(self) -> tuple[float, float, str]:
        """What results are sorted by, the best first; of equal scores the smaller loss."""
        sign = 1 if self.trial.recipe.training.select_by == "loss" else -1
        score = math.inf if self.score is None else sign * self.score
        return score, self.best.get("select_loss", math.inf), self.trial.key


def run_sweep(
    trials: Sequence[Trial],
    data: str,
    folder: Path,
    *,
    device: str = "cpu",
    restart: bool = False,
    watch: Watch | None = None,
) -> Iterator[Result]:
    """Train every trial that has not been, and yield the results of all, those from before first.

    data: KIND:PATH; its splits are read once for all trials that read them alike
    restart: forget what lies in the folder, once it is known that the data can be learnt from

    A trial whose loss or whose answers cease to be numbers, or that needs more memory than the device has, has failed,
    and the sweep goes on. Stopped at any time and started again, it ends with the same results. Raises FerError.
    """
    check_device(device)
    where = json.dumps({"data": "+".join(map(str, split_spec(data, DATASETS)))})  # the same from any folder
    _require_fitting(folder, where, restart=restart)
    done = {trial.key: None if restart else _stored(folder, trial) for trial in trials}
    results = [result for result in done.values() if result is not None]
    kept = None
    for result in results:
        kept = _keep_better(folder, kept, result)
        yield result
    groups = list(alike([trial for trial in trials if done[trial.key] is None]))
    for group in groups[1:] if restart else ():
        require_learnable(group, *_splits(group[0].recipe, data))
    for number, group in enumerate(groups):
        faces, select = _splits(group[0].recipe, data)
        require_learnable(group, faces, select)
        if restart and not number:
            _empty(folder)
        make_folder(folder)
        write_aside(folder / "sweep.json", where.encode())
        for trial in group:
            result = _run(trial, faces, select, folder, device, watch)
            write_aside(_place(folder, trial) / "result.json", json.dumps(_plain(result), indent=1).encode())
            kept = _keep_better(folder, kept, result)
            results.append(result)
            write_results(folder, results)
            yield result


def done_before(sweep: Sweep, folder: Path, *, limit_epochs: int | None = None) -> list[Trial]:
    """The trials in a folder that have ended and that the sweep could have planned."""
    found = []
    for path in sorted(folder.glob("trials/*/result.json")):
        try:
            values = dict(json.loads(path.read_text())["values"])
        except (ValueError, TypeError, KeyError) as problem:
            raise _damaged(path) from problem
        trial = own_trial(sweep, values, limit_epochs=limit_epochs)
        found += [trial] if trial and trial.key == path.parent.name else []
    return found


def best_network(trial: Trial, data: str, folder: Path, *, device: str = "cpu") -> Classifier:
    """The network of a trial of a sweep that has ended; trained again where its state is gone."""
    faces, select = _splits(trial.recipe, data)
    (last,) = deque(train(trial.recipe, faces, select, _place(folder, trial), device=device), maxlen=1)
    return last.classifier


def ranked(results: Sequence[Result]) -> list[Result]:
    """The best first, those that failed last."""
    return sorted(results, key=lambda result: result.rank)


def write_results(folder: Path, results: Sequence[Result], best: Mapping[str, Any] | None = None) -> None:
    """Write results.csv and results.json, best first. best: what to say about the best trial, such as test scores."""
    order = ranked(results)
    plain = [_plain(result) for result in order]
    by = order[0].trial.recipe.training.select_by if order else ""
    stored = {"select_by": by, "best": dict(best or {}), "trials": plain}
    write_aside(folder / "results.json", json.dumps(stored, indent=1).encode())
    keys = list(order[0].trial.values) if order else []
    scores = [f"select_{name}" for name in ("accuracy", "macro_f1", "loss")] + ["accuracy", "loss"]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["rank", "trial", *keys, "score", "best_epoch", "epochs", "seconds", *scores, "failed"])
    for place, result in enumerate(order, 1):
        values = (result.trial.values[key] for key in keys)
        cells = [value if isinstance(value, str) else json.dumps(value, default=str) for value in values]
        numbers = [result.score, result.best_epoch, result.epochs, round(result.seconds, 1)]
        entry = [result.best.get(name) for name in scores]
        writer.writerow([place, result.trial.key, *cells, *numbers, *entry, result.failed])
    write_aside(folder / "results.csv", table.getvalue().encode())


def _require_fitting(folder: Path, where: str, *, restart: bool) -> None:
    """Raise RunError for a folder that is not free and holds no sweep, or, without restart, one on other data."""
    stored = folder / "sweep.json"
    if not stored.is_file() and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise RunError(f"{folder} is there already and holds no sweep. Name another --out.")
    before = stored.read_text() if stored.is_file() and not restart else where
    if before != where:
        raise RunError(f"{folder} holds a sweep on other data: {before}. Add --restart, or name another --out.")


def _empty(folder: Path) -> None:
    """Forget a sweep, all but sweep.json, which tells that the folder is one's own."""
    shutil.rmtree(folder / "trials", ignore_errors=True)
    for name in ("results.csv", "results.json", "effects.png", "best.safetensors"):
        (folder / name).unlink(missing_ok=True)


def _place(folder: Path, trial: Trial) -> Path:
    return folder / "trials" / trial.key


def _plain(result: Result) -> dict[str, Any]:
    """A result as JSON holds it."""
    trial = result.trial
    return {"trial": trial.key, "values": dict(trial.values)} | {
        name: value for name, value in vars(result).items() if name != "trial"
    }


def _stored(folder: Path, trial: Trial) -> Result | None:
    """The result of a trial that is done."""
    path = _place(folder, trial) / "result.json"
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text())
        return Result(trial, **{name: value for name, value in stored.items() if name not in {"trial", "values"}})
    except (ValueError, TypeError) as problem:
        raise _damaged(path) from problem


def _damaged(path: Path) -> RunError:
    return RunError(f"{path} is damaged. Delete it, and the trial is looked at again.")


def _splits(recipe: Recipe, data: str) -> tuple[Samples, Samples]:
    return read_split(recipe, data, "train"), read_split(recipe, data, "select")


def _run(trial: Trial, faces: Samples, select: Samples, folder: Path, device: str, watch: Watch | None) -> Result:
    """Train a trial to its end, from where it was stopped."""
    history: list[dict[str, float]] = []
    begun = False
    make_folder(_place(folder, trial))

    def step(done: int, of: int, loss: float, accuracy: float) -> None:
        nonlocal begun
        begun = True
        if watch is not None:
            watch(trial, len(history) + done / of, loss, accuracy)

    def result(score: float | None, best: Mapping[str, float], failed: str = "") -> Result:
        finite = {name: value for name, value in best.items() if math.isfinite(value) and name != "seconds"}
        seconds = sum(entry["seconds"] for entry in history)
        return Result(trial, score, finite, len(history), seconds, len(select), failed)

    try:
        for epoch in train(trial.recipe, faces, select, _place(folder, trial), device=device, step=step):
            history.append(epoch.entry)  # noqa: PERF401 (`step` reads it meanwhile)
    except (ConfigError, DataError, torch.OutOfMemoryError) as problem:
        if isinstance(problem, DataError) and not begun:  # the faces are wrong, not what the network answers to them
            raise
        return result(None, {}, str(problem).partition(";")[0].partition("\n")[0])
    best = history[best_epoch(history, trial.recipe)]
    score = best[f"select_{trial.recipe.training.select_by}"]
    if not math.isfinite(score):
        return result(None, {}, "The loss on the selection split is not a number.")
    return result(score, best)


def _keep_better(folder: Path, kept: Result | None, result: Result) -> Result:
    """The better of two results; the other one's state, which nobody will need, goes."""
    better, other = sorted((kept or result, result), key=lambda found: found.rank)
    if other is not better:
        (_place(folder, other.trial) / "state.pt").unlink(missing_ok=True)
    return better
