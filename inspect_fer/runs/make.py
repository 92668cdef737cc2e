"""From a network and samples to a run: written shard by shard, so that it goes on where it was stopped."""

import errno
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import torch

from inspect_fer.errors import ConfigError, RunError
from inspect_fer.explain import Options, chosen
from inspect_fer.explain.method import Method
from inspect_fer.files import alone
from inspect_fer.runs.engines import Engine, here, pool
from inspect_fer.runs.faces import store_faces
from inspect_fer.runs.folder import finish, missing, open_run, take_place
from inspect_fer.runs.group import Group
from inspect_fer.runs.manifest import read_manifest
from inspect_fer.runs.plan import SHARD, Manifest, begun, write_json
from inspect_fer.runs.standing import kept, made_otherwise, place_for, require_same
from inspect_fer.runs.trying import asked_for
from inspect_fer.runs.work import Job, methods_of
from inspect_fer.schema import Classifier, Run, Samples, Tick

Track = Callable[[str], Tick]
"""Starts a progress bar of that name."""
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
    command: what made it, by default this process's command line; track: starts a progress bar
    options: what `explain` takes. A folder that holds the same run goes on, with these methods beside those it has.

    Raises RunError where the folder holds something else, or maps of these methods that were made otherwise, or cannot
    be written, ConfigError for a share that there is not, and what `explain` raises, before any work.
    """
    _require_share(part, shard, workers)
    where, cores = place_for(Path(folder), overwrite=overwrite), torch.get_num_threads()
    threads, command = threads or max(1, cores // workers), command or " ".join(sys.argv)
    now = begun(model, faces, shard=shard or SHARD, threads=threads, command=command)
    require_same(where, now, faces, shard, clear=where != Path(folder))
    named = chosen(methods)
    group, _ = asked_for(model, faces, named, limit, options, every_class=every_class)
    with _told(where):
        manifest = _written(where, now, faces, shard, group, replacing=where != Path(folder))
        job = Job(where, manifest, model, faces, {**methods_of(manifest, but=named), **named})
        _work(job, part, engine or (here if workers == 1 else pool(workers)), track("working"))
        whole = _finished(where, Path(folder), manifest)
    return open_run(folder) if whole else None


@contextmanager
def _told(where: Path) -> Iterator[None]:
    """Say in one line that the disk is full or does not answer."""
    try:
        yield
    except OSError as problem:
        what = "make room and start" if problem.errno in FULL else "start"
        raise RunError(
            f"{where} cannot be written: {problem}. What is whole is kept; {what} the same run again."
        ) from problem


def _finished(where: Path, folder: Path, manifest: Manifest) -> bool:
    """Gather what the shards say and put the run in its place, if all of them are there."""
    if missing(where, manifest):
        return False
    finish(where, manifest)
    if where != folder:
        take_place(where, folder)
    return True


def _written(
    where: Path, now: Manifest, faces: Samples, shard: int | None, group: Group, *, replacing: bool
) -> Manifest:
    """The manifest that is there, or is begun, with these methods in it; one process at a time writes it."""
    with alone(where):
        held = kept(where, now, faces, shard)
        known = held or now
        for name in made_otherwise(where, known, group, replacing=replacing):
            shutil.rmtree(where / known.group(name).methods[name]["folder"])
        manifest = known.grown(group)
        if held is None or manifest != Manifest.from_dict(read_manifest(where)):
            write_json(where / "run.json", manifest.as_dict())
            store_faces(where, faces)
    return manifest


def _require_share(part: tuple[int, int], shard: int | None, workers: int) -> None:
    own, of = part
    if not 1 <= own <= of:
        raise ConfigError(f"A share of the shards is i/n with i from 1 to n, not {own}/{of}.")
    least = min(workers, SHARD if shard is None else shard)
    if least < 1:
        raise ConfigError(f"A shard holds at least one sample and needs a worker, not {least}.")


def _work(job: Job, part: tuple[int, int], engine: Engine, tick: Tick) -> None:
    """Make this share of the shards."""
    numbers = range(job.manifest.shards)[part[0] - 1 :: part[1]]
    sizes = {number: len(range(*job.manifest.rows(number).indices(job.manifest.samples))) for number in numbers}
    done, total = 0, sum(sizes.values())
    tick(0, total)
    for number in engine(job, numbers) if numbers else ():
        done += sizes[number]
        tick(done, total)
