"""Whether a run still says what its network makes of its samples: some of them once more, and compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from inspect_fer.errors import RunError
from inspect_fer.explain import examine
from inspect_fer.runs.folder import ON, open_run
from inspect_fer.runs.store import StoredMaps, joined
from inspect_fer.runs.work import Job
from inspect_fer.schema import Classifier, Run, Tick

ALLOWED = 2e-3
"""How far stored maps may lie from fresh ones, length over length: float16 rounds by half of that at most."""


@dataclass(frozen=True)
class Compared:
    """How far the stored lies from the fresh, length of the difference over length: answers, and maps by method.

    allowed: up to where the stored is taken to be the same
    """

    samples: int
    answers: float
    maps: dict[str, float]
    allowed: dict[str, float]

    @property
    def differing(self) -> list[str]:
        """What does not agree."""
        far = [name for name, found in self.maps.items() if not found <= self.allowed[name]]
        return [*far, *(["answers"] if not self.answers <= ALLOWED else [])]


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

    model: the network, where it was in memory or has moved; spec: the dataset as KIND:PATH, where that has moved

    Raises RunError where the network is another one, the run cannot be read or lacks maps, DataError where the samples
    have gone.
    """
    run, job = open_run(folder), Job.of(Path(folder), model, spec)
    drawn = torch.randperm(len(run), generator=torch.Generator().manual_seed(seed))[:samples].sort().values
    ids = tuple(run.prediction.ids[row] for row in drawn.tolist())
    if not ids:
        raise RunError(f"{folder} holds no samples to verify.")
    fresh = examine(job.model, job.faces.find(ids), {}).prediction.logits
    answers, maps, allowed = _far(run.prediction.logits[drawn], fresh), {}, {}
    for done, name in enumerate(run.explanations):
        maps[name], allowed[name] = _maps_far(run, job, name, ids)
        if tick:
            tick(done + 1, len(run.explanations))
    return Compared(len(ids), answers, maps, allowed)


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
    return _far(part.maps, fresh.maps), ALLOWED + 2 * (part.deviation or 0)


def _far(stored: Tensor, fresh: Tensor) -> float:
    if stored.shape != fresh.shape:
        return torch.inf
    return float((stored - fresh).norm() / fresh.norm().clamp(min=1e-30))
