"""Who makes the shards: this process, several of them, or a Ray cluster. All write the same bytes."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from inspect_fer.errors import RunError
from inspect_fer.runs.work import Job

Engine: TypeAlias = Callable[[Job, Sequence[int]], Iterator[int]]
"""Makes the shards of these numbers and yields each number when it is there."""


def here(job: Job, numbers: Sequence[int]) -> Iterator[int]:
    """In this process, one shard after the other."""
    for number, _ in job.make(numbers):
        yield number


def pool(workers: int) -> Engine:
    """In so many processes, each of which loads the network once."""

    def engine(job: Job, numbers: Sequence[int]) -> Iterator[int]:
        _require_names(job)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(numbers)), context, end_with_parent) as processes:
            waiting = [processes.submit(_make, job.folder, number) for number in numbers]
            try:
                for future in as_completed(waiting):
                    yield future.result()
            except BrokenProcessPool as problem:
                raise RunError(
                    f"A worker of {job.folder} has died; is there enough memory for {workers}? Start the same run "
                    "again with fewer: it goes on."
                ) from problem
            finally:
                processes.shutdown(wait=False, cancel_futures=True)

    return engine


def end_with_parent() -> None:
    """Let this process end when its parent does, however that ends: a killed one cannot tell its workers to."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_job = cache(Job.of)


def _make(folder: Path, number: int) -> int:
    return next(iter(_job(folder).make([number])))[0]


class _Actor:
    """A process of a Ray cluster that loads the network once."""

    def __init__(self, folder: str) -> None:
        self.job = Job.of(Path(folder))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for _ in self.job.make([int(number) for number in batch["shard"]]):
            pass
        return batch


def on_ray(workers: int, address: str | None = None) -> Engine:
    """On a Ray cluster, by default one on this machine; all its nodes must see the run's folder and the dataset."""

    def engine(job: Job, numbers: Sequence[int]) -> Iterator[int]:
        try:
            import ray
        except ImportError as problem:
            raise RunError("Ray is not installed: pip install 'inspect_fer[ray]'.") from problem
        _require_names(job)
        if not ray.is_initialized():
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        shards = ray.data.from_items([{"shard": number} for number in numbers], override_num_blocks=len(numbers))
        made = shards.map_batches(
            _Actor,
            fn_constructor_args=(str(job.folder.resolve()),),
            batch_size=1,
            num_cpus=1,
            concurrency=min(workers, len(numbers)),
        )
        for row in made.iter_rows():
            yield int(row["shard"])

    return engine


def _require_names(job: Job) -> None:
    """Raise RunError where another process could not read network or samples again."""
    if not job.model.origin or "spec" not in job.manifest.dataset:
        raise RunError(
            "Other processes load network and samples by their names; give a network that was loaded from a file, and "
            "samples of a dataset, or work in this process (workers=1)."
        )
