"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

LOCK = ".lock"


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well; else the old file stays, and the OSError comes out.

    What was written is on the disk before it takes its name. Several writers may be at it: the last one's file stays.
    The error names `path`, whatever name the file had until then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as problem:
        if str(problem.filename) != str(part):
            raise
        raise OSError(problem.errno, problem.strerror, str(path)) from problem
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def try_writing(path: Path) -> None:
    """Raise, before any work, the OSError that writing this file would end with; nothing is left behind."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    trial = there / f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}.part"
    try:
        trial.open("xb").close()
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from problem
    trial.unlink()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block for a folder, which is made; a lock dies with its process.

    Where the system or its file server knows no such lock, everyone goes in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it when whole, its folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with aside(path) as part:
        part.write_bytes(content)
