"""Memory: how many images may go through a network at a time."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from numbers import Integral

from inspect_fer.errors import ConfigError

MOST = 128
"""More images at a time gain nothing on a processor."""
FEW, CACHE = 8, 80_000_000
"""On a processor, so many images go through at a time at least, and bytes beyond which more of them are slower: what
they take is then asked of the system anew for every layer."""
UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


@dataclass(frozen=True)
class Rows:
    """How many images may go through the network at a time.

    plain: without a graph; graph: with one that goes back to the input, for one class
    """

    plain: int = MOST
    graph: int = MOST


_ROWS: ContextVar[Rows] = ContextVar("rows", default=Rows())  # noqa: B039  # frozen


def at_once(*, graph: bool = False, share: int = 1) -> int:
    """How many images a method may put through the network at a time, each taking as much as `share` of them."""
    allowed = _ROWS.get()
    return max(1, (allowed.graph if graph else allowed.plain) // share)


@contextmanager
def allowing(rows: Rows) -> Iterator[None]:
    """Let methods take so many rows inside."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)


def rows_within(memory: int, each: int) -> int:
    """How many images of `each` bytes fit into `memory`, 1 to MOST."""
    return max(1, min(MOST, memory // max(each, 1)))


def portion(images: int, most: int, each: int) -> int:
    """How many of the images, `each` bytes, a processor takes at a time with the least effort; portions are equal."""
    size = min(most, max(FEW, CACHE // max(each, 1)))
    return -(-images // -(-images // size))


def require(memory: int, each: int) -> None:
    """Raise ConfigError where not even one image of `each` bytes fits into `memory`."""
    if each > memory:
        raise ConfigError(
            f"One image takes about {in_words(each)} on its way through the network; a budget of {in_words(memory)} is "
            f"too small. Give at least {in_words(each).replace(' ', '')}."
        )


def some(batch_size: object) -> int:
    """The batch size itself. Raises ConfigError for what is no whole number of images, or none of them."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ConfigError(f"A batch holds at least one image, a whole number of them, not {batch_size!r}.")
    return int(batch_size)


def in_bytes(memory: str | int) -> int:
    """Bytes of "1GB", "512 MB", "1.5 GiB" or a number. Raises ConfigError."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmg]i?|)b?\s*", str(memory), re.IGNORECASE)
    size = float(found[1]) * UNITS[found[2].lower()] if found else 0.0
    if isinstance(memory, bool) or not 1 <= size < inf:
        raise ConfigError(f"A memory budget is a size such as '1GB', '512MB' or a number of bytes, not {memory!r}.")
    return int(size)


def in_words(size: float) -> str:
    """A number of bytes for people, such as "3.2 MB", rounded up."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{-(-size * 10 // scale) / 10:g} {unit}"
    return f"{size:.0f} bytes"
