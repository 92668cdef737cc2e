"""From a network and samples to a run: written shard by shard, so that it goes on where it was stopped."""

import errno
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch

from inspect_fer.errors import ConfigError, DataError, RunError
from inspect_fer.explain import Options, chosen, examine
from inspect_fer.explain.method import Method
from inspect_fer.explain.targets import resolve_targets
from inspect_fer.files import alone
from inspect_fer.predict import network_input
from inspect_fer.runs.engines import Engine, here, pool
from inspect_fer.runs.faces import store_faces
from inspect_fer.runs.folder import (
    beside,
    finish,
    header_of,
    missing,
    open_run,
    require_free,
    require_writable,
    take_place,
)
from inspect_fer.runs.manifest import read_manifest
from inspect_fer.runs.plan import SHARD, Group, Manifest, as_plain, begun, contents, place_of, targets_of, write_json
from inspect_fer.runs.store import NO_NUMBER
from inspect_fer.runs.work import Job, methods_of, readable
from inspect_fer.schema import Classifier, Explanation, Run, Samples, Tick

Track = Callable[[str], Tick]
"""Starts a progress bar of that name."""
DEFAULTS: Options = {"targets": "predicted", "layer": None, "fusion": "mean", "precision": "exact"}
TRIED = 16
"""Among how many samples one that can be read and answered is looked for, to try the methods on."""
FULL = {errno.ENOSPC, errno.EDQUOT}


def make_run(
    folder: str | Path,
    model: Classifier,
    faces: Samples,
    methods: Mapping[str, Method] | Sequence[str | Method],
    *,
    overwrite: bool = False,
    **wanted: Any,
) -> Run:
    """Predict all samples, explain them, and write the run; what is there of the same run is kept.

    Takes what `make_part` does, and raises the same.
    """
    run = make_part(folder, model, faces, methods, overwrite=overwrite, **wanted)
    if run is None:
        raise RunError(f"{folder} lacks shards that another process was to make. Start the same run again.")
    return run


def make_part(  # noqa: PLR0913  # a user's choices, all with defaults
    folder: str | Path,
    model: Classifier,
    faces: Samples,
    methods: Mapping[str, Method] | Sequence[str | Method],
    *,
    limit: int | None = None,
    part: tuple[int, int] = (1, 1),
    workers: int = 1,
    engine: Engine | None = None,
    shard: int | None = None,
    threads: int | None = None,
    every_class: bool = False,
    command: str | None = None,
    overwrite: bool = False,
    track: Track = lambda _: lambda _done, _total: None,
    **options: Unpack[Options],
) -> Run | None:
    """Make a share of a run's shards, all of them by default; gives the run when all are there, else None.

    limit: explain only the first so many; part: (i, n), the i-th of n shares, as in an array of jobs
    workers: processes, which load network and samples by name; engine: who makes the shards, instead of these
    shard: samples a shard, SHARD by default; threads: of each process; both are the run's for good, so that its bytes
        do not change
    every_class: also of methods at the resolution of the input, which otherwise keep the predicted and the given class
    options: what `explain` takes. A folder that holds the same run goes on, with these methods beside those it has.

    Raises RunError where the folder holds something else or cannot be written, ConfigError for a share that there is
    not, and what `explain` raises, before any work.
    """
    folder = Path(folder)
    _require_share(part, SHARD if shard is None else shard, workers)
    where = _place(folder, overwrite=overwrite)
    threads = threads or (torch.get_num_threads() if workers == 1 else max(1, torch.get_num_threads() // workers))
    now = begun(model, faces, shard=shard or SHARD, threads=threads, command=command or " ".join(sys.argv))
    if where != folder:
        _clear(where, now, faces, shard)
    _kept(where, now, faces, shard)
    named = chosen(methods)
    group = _group(model, faces, named, limit, options, every_class=every_class)
    try:
        manifest = _written(where, now, faces, shard, group)
        job = Job(where, manifest, model, faces, {**methods_of(manifest, but=named), **named})
        _work(job, part, engine or (here if workers == 1 else pool(workers)), track("working"))
        if missing(where, manifest):
            return None
        finish(where, manifest)
        if where != folder:
            take_place(where, folder)
    except OSError as problem:
        what = "make room and start" if problem.errno in FULL else "start"
        raise RunError(
            f"{where} cannot be written: {problem}. What is whole is kept; {what} the same run again."
        ) from problem
    return open_run(folder)


def _written(where: Path, now: Manifest, faces: Samples, shard: int | None, group: Group) -> Manifest:
    """The manifest that is there, or is begun, with these methods in it; one process at a time writes it."""
    with alone(where):
        kept = _kept(where, now, faces, shard)
        manifest = kept.grown(group) if kept else replace(now, groups=(group,))
        if kept is None or manifest != Manifest.from_dict(read_manifest(where)):
            write_json(where / "run.json", manifest.as_dict())
            store_faces(where, faces)
    return manifest


def _require_share(part: tuple[int, int], shard: int, workers: int) -> None:
    own, of = part
    if not 1 <= own <= of:
        raise ConfigError(f"A share of the shards is i/n with i from 1 to n, not {own}/{of}.")
    if shard < 1 or workers < 1:
        raise ConfigError(f"A shard holds at least one sample and needs a worker, not {min(shard, workers)}.")


def _place(folder: Path, *, overwrite: bool) -> Path:
    """Where to work: aside where a run is to be replaced, so that it stays until the new one is whole."""
    require_writable(folder)
    if not overwrite or not folder.exists():
        return folder
    require_free(folder, overwrite=True)
    return beside(folder)


def _clear(where: Path, now: Manifest, faces: Samples, shard: int | None) -> None:
    """Remove what was begun aside of another run."""
    try:
        _kept(where, now, faces, shard)
    except RunError:
        shutil.rmtree(where)


def _kept(where: Path, now: Manifest, faces: Samples, shard: int | None) -> Manifest | None:
    """The manifest that is there, if it is of the same network and samples, with the places where they lie now.

    Raises RunError for another one's.
    """
    if not (where / "run.json").is_file():
        require_free(where, overwrite=False)
        return None
    kept = Manifest.from_dict(read_manifest(where))
    dataset = as_plain(now.dataset)
    same = {
        "network": kept.model["sha256"] == now.model["sha256"],
        "preprocessing": as_plain(kept.card.as_dict()) == as_plain(now.card.as_dict()),
        "number of samples": kept.samples == now.samples,
        "dataset": _source(kept.dataset) == _source(dataset) or _has_moved(where, kept, dataset, faces),
        "size of a shard": kept.shard == (shard or kept.shard),
    }
    other = [name for name, agrees in same.items() if not agrees]
    if other:
        raise RunError(f"{where} holds a run of another {other[0]}. Name another folder, or replace the run (--force).")
    origin = now.model["origin"] or kept.model["origin"]
    where_now = dataset if "spec" in dataset and "spec" in kept.dataset else kept.dataset
    return replace(kept, model={**kept.model, "origin": origin}, dataset=where_now)


def _source(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dataset.get(name) for name in ("spec", "split", "options", "sha256")}


def _has_moved(where: Path, kept: Manifest, dataset: Mapping[str, Any], faces: Samples) -> bool:
    """Whether these are the same samples in another place, by all shards, or by the first where they stay on disk."""
    numbers = range(kept.shards if isinstance(faces.pixels, torch.Tensor) else 1)
    held = {number: header_of(where / kept.path("", number)).get("contents") for number in numbers}
    return (
        all(dataset[name] == kept.dataset.get(name) for name in ("sha256", "counts"))
        and any(held.values())
        and all(found in {None, contents(readable(faces[kept.rows(number)])[0])} for number, found in held.items())
    )


def _group(
    model: Classifier,
    faces: Samples,
    methods: Mapping[str, Method],
    limit: int | None,
    options: Options,
    *,
    every_class: bool,
) -> Group:
    """What was asked for, tried on one sample first: which methods the network allows, what they read, how fine."""
    labels = network_input(model, faces).labels[:limit]
    targets = options.get("targets", "predicted")
    names = model.card.class_names
    resolve_targets(targets, labels, len(names), names)  # of all samples, before any work
    plain = targets if isinstance(targets, str) else torch.as_tensor(targets).tolist()
    told = {**DEFAULTS, **options, "targets": plain}
    asked = {name: value for name, value in told.items() if name not in {"refuse", "tick"}}
    tried = _tried(model, faces[: len(labels)], methods, options, plain) if methods else {}
    size = model.card.input_size[1:]
    few = [name for name, why in tried.items() if why.maps.shape[2:] == size and why.maps.shape[1] > 2]
    entries = {
        name: {"method": dict(why.method), "layer": why.layer, "folder": place_of(name, why.layer)}
        for name, why in tried.items()
    }
    return Group.from_dict(
        as_plain({"methods": entries, "options": asked, "limit": limit, "few": [] if every_class else few})
    )


def _tried(
    model: Classifier, faces: Samples, methods: Mapping[str, Method], options: Options, targets: Any
) -> dict[str, Explanation]:
    reason = "there are none."
    for row in range(min(TRIED, len(faces))):
        one, _, unreadable = readable(faces[row : row + 1])
        reason = next(iter(unreadable.values()), f"{NO_NUMBER}.")
        if len(one):
            own = targets_of(targets, slice(row, row + 1))
            found = examine(model, one, methods, **{**options, "targets": own, "tick": None})
            if found.prediction.logits.isfinite().all():
                return found.explanations
    raise DataError(f"None of the first {min(TRIED, len(faces))} samples can be explained; the last: {reason}")


def _work(job: Job, part: tuple[int, int], engine: Engine, tick: Tick) -> None:
    """Make this share of the shards."""
    numbers = range(job.manifest.shards)[part[0] - 1 :: part[1]]
    sizes = {number: len(range(*job.manifest.rows(number).indices(job.manifest.samples))) for number in numbers}
    done, total = 0, sum(sizes.values())
    tick(0, total)
    for number in engine(job, numbers) if numbers else ():
        done += sizes[number]
        tick(done, total)
