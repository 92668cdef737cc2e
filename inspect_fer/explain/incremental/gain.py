"""What it gains to compute only what a window reaches: forecast, and measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Outlook:
    """Whether only what windows reach is going to be computed; gain: how many times less work; why not, in words."""

    gain: float = 1.0
    why_not: str = ""

    def __str__(self) -> str:
        if self.why_not:
            return f"the image is computed whole for every window: {self.why_not}"
        return f"only what a window reaches is computed: {self.gain:.1f}x less work"


@dataclass(frozen=True)
class Measured:
    """What some windows took, in seconds, and what they would have taken whole; forecast: the gain in multiply-adds."""

    forecast: float
    whole: float
    taken: float


_MEASURED: ContextVar[list[Measured] | None] = ContextVar("measured", default=None)


@contextmanager
def measuring() -> Iterator[list[Measured]]:
    """Inside, write down what windows take of which only what they reach is computed."""
    found: list[Measured] = []
    token = _MEASURED.set(found)
    try:
        yield found
    finally:
        _MEASURED.reset(token)


def write_down(measured: Measured) -> None:
    """Tell whoever is measuring, if anybody is."""
    found = _MEASURED.get()
    if found is not None:
        found.append(measured)


def gain_in_words(measured: list[Measured]) -> str:
    """The forecast gain and the measured one, "" where nothing was measured."""
    taken = sum(each.taken for each in measured)
    if not taken:
        return ""
    forecast = sum(each.forecast * each.taken for each in measured) / taken
    return (
        f"only what a window reaches was computed: {forecast:.1f}x less work by forecast, "
        f"{sum(each.whole for each in measured) / taken:.1f}x less time measured, against four whole images at a time"
    )
