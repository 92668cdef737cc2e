"""Whether a run still says what its network makes of its samples: some of them once more, and compared."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import isclose
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from inspect_fer.errors import RunError
from inspect_fer.explain import examine
from inspect_fer.metrics import evaluate
from inspect_fer.runs.folder import ON, header_of, open_run
from inspect_fer.runs.plan import as_plain
from inspect_fer.runs.store import StoredMaps, joined
from inspect_fer.runs.work import Job
from inspect_fer.schema import Classifier, Run, Tick

ALLOWED = 2e-3
"""How far stored maps may lie from fresh ones, length over length: float16 rounds by half of that at most."""


@dataclass(frozen=True)
class Compared:
    """How far the stored lies from the fresh, length of the difference over length: answers, and maps by method.

    allowed: up to where the stored is taken to be the same, by method
    shards, of: how many of how many were compared with the samples (ids, labels, pixels); other: the numbers of those
        that are of other samples than there are now
    scored: whether metrics.json says what follows from the answers
    """

    samples: int
    answers: float
    maps: dict[str, float]
    allowed: dict[str, float]
    shards: int
    of: int
    other: tuple[int, ...]
    scored: bool

    @property
    def differing(self) -> list[str]:
        """What does not agree."""
        far = [name for name, found in self.maps.items() if not found <= self.allowed[name]]
        agrees = {"samples": not self.other, "metrics.json": self.scored, "answers": self.answers <= ALLOWED}
        return [*far, *(name for name, does in agrees.items() if not does)]


def verify(
    folder: str | Path,
    *,
    model: Classifier | None = None,
    spec: str | None = None,
    samples: int = 16,
    seed: int = 0,
    tick: Tick | None = None,
) -> Compared:
    """Explain some samples of a run once more, drawn by `seed`, as its manifest says, and compare.

    Ids, labels and pixels of all samples are compared with what the shards are of; where pixels stay on disk, those of
    the shards in which the drawn samples lie.
    model: the network, where it was in memory or has moved; spec: the dataset as KIND:PATH, where that has moved

    Raises RunError where the network is another one, the run cannot be read or lacks maps, DataError where the samples
    have gone.
    """
    run, job = open_run(folder), Job.of(Path(folder), model, spec)
    drawn = torch.randperm(len(run), generator=torch.Generator().manual_seed(seed))[:samples].sort().values
    ids = tuple(run.prediction.ids[row] for row in drawn.tolist())
    if not ids:
        raise RunError(f"{folder} holds no samples to verify.")
    numbers = _numbers(job, ids)
    done, total = count(1), len(numbers) + 1 + len(run.explanations)

    def step() -> None:
        if tick:
            tick(next(done), total)

    other = tuple(number for number in numbers if _is_other(job, run, number, step))
    fresh = examine(job.model, job.faces.find(ids), {}).prediction.logits
    answers, maps, allowed = _far(run.prediction.logits[drawn], fresh), {}, {}
    step()
    for name in run.explanations:
        maps[name], allowed[name] = _maps_far(run, job, name, ids)
        step()
    scored = _alike(run.metrics, as_plain(evaluate(run.prediction)))
    return Compared(len(ids), answers, maps, allowed, len(numbers), job.manifest.shards, other, scored)


def _numbers(job: Job, ids: tuple[str, ...]) -> list[int]:
    """Which shards are compared with the samples as they are now."""
    if isinstance(job.faces.pixels, Tensor):
        return list(range(job.manifest.shards))
    places = {name: place for place, name in enumerate(job.faces.ids)}
    return sorted({places[name] // job.manifest.shard for name in ids if name in places})


def _is_other(job: Job, run: Run, number: int, step: Callable[[], None]) -> bool:
    """Whether a shard of the answers, or of maps that the run holds, is of other samples than there are now."""
    step()
    return any(
        header_of(job.path(name, number)).get("contents") != held
        for _, _, wanted in job.wanted(job.read(number))
        for name, held in wanted.items()
        if not name or name in run.explanations
    )


def _alike(one: Any, other: Any) -> bool:
    """Whether two scores, or all of many, are the same up to the last digits, which differ between machines."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-5, abs_tol=1e-7)
    return bool(one == other)


def _maps_far(run: Run, job: Job, name: str, ids: tuple[str, ...]) -> tuple[float, float]:
    """How far the maps of a method lie from fresh ones, and how far they may."""
    group, parts, held, drawn = job.manifest.group(name), [], 0, set(ids)
    for stored in cast("StoredMaps", run.explanations).parts(name):
        parts.append(stored.of([row for row, sample in enumerate(stored.ids) if sample in drawn]))
        held += len(stored)
    asked = len(set(job.faces.ids[: group.limit]) & set(run.prediction.ids))
    if group.options is not None and held < asked:
        raise RunError(f"{run.folder} holds maps of {held} of {asked} samples for {name}. {ON}")
    part = joined(parts)
    if not len(part) or group.options is None:
        return 0.0, ALLOWED
    options = {**group.options, "targets": part.targets}
    method = {name: job.methods[name]}
    fresh = examine(job.model, job.faces.find(part.ids), method, **options).explanations[name]
    if part.turned is not None and not torch.equal(part.turned, cast("Tensor", fresh.turned)):
        return torch.inf, ALLOWED
    return _far(part.maps, fresh.maps), ALLOWED + 2 * (part.deviation or 0)


def _far(stored: Tensor, fresh: Tensor) -> float:
    """Length of the difference over length; without end where the shapes differ, as maps of another layer's do."""
    if stored.shape != fresh.shape:
        return torch.inf
    return float((stored - fresh).norm() / fresh.norm().clamp(min=1e-30))
