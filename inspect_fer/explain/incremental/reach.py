"""How far a window over the image reaches: which rows and columns of a layer's map it can change.

The idea of Krypton's projective fields. Nakandala et al., Incremental and approximate inference for faster occlusion-
based deep CNN explanations, SIGMOD 2019.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol, TypeAlias

Spans: TypeAlias = tuple[tuple[int, int], ...]
"""(start, stop) for each window."""


class Side(Protocol):
    """What a layer does along one side of the map."""

    def reached(self, start: int, stop: int) -> tuple[int, int]:
        """Say which places of the output (start, stop) see any of these of the input; it may be outside the map."""

    def sources(self, start: int, count: int) -> list[int]:
        """List the places of the input that `count` places of the output read; outside the map is the border."""


@dataclass(frozen=True)
class Kernel:
    """The side of a convolution or a pooling."""

    size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def reached(self, start: int, stop: int) -> tuple[int, int]:
        """Output o reads the inputs o * stride - padding + dilation * (0 ... size - 1)."""
        behind = self.dilation * (self.size - 1) - self.padding
        return -((behind - start) // self.stride), (stop - 1 + self.padding) // self.stride + 1

    def sources(self, start: int, count: int) -> list[int]:
        """Everything from the first place that is read to the last."""
        first = start * self.stride - self.padding
        return list(range(first, first + (count - 1) * self.stride + self.dilation * (self.size - 1) + 1))


@dataclass(frozen=True)
class Repeat:
    """The side of an enlargement that repeats every place of the map."""

    times: int

    def reached(self, start: int, stop: int) -> tuple[int, int]:
        """As many times the places."""
        return start * self.times, stop * self.times

    def sources(self, start: int, count: int) -> list[int]:
        """Each place as often as it is repeated."""
        return [place // self.times for place in range(start, start + count)]


@dataclass(frozen=True)
class Reach:
    """The part of a map (height, width) that each window of a grid can change.

    rows: of the map, for each row of windows; columns: for each column of windows
    """

    size: tuple[int, int]
    rows: Spans
    columns: Spans

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return len(self.rows) * len(self.columns)

    @property
    def places(self) -> int:
        """How many places of the map all windows change together."""
        return sum(_sizes(self.rows).elements()) * sum(_sizes(self.columns).elements())

    @property
    def share(self) -> float:
        """The same as a share of so many whole maps."""
        return self.places / (self.windows * prod(self.size))

    def behind(self, sides: tuple[Side, Side], size: tuple[int, int]) -> "Reach":
        """What is reached in the output (height, width) of a layer."""
        rows, columns = (
            tuple(_within(*side.reached(*span), length) for span in spans)
            for side, spans, length in zip(sides, (self.rows, self.columns), size, strict=True)
        )
        return Reach(size, rows, columns)

    def joined(self, other: "Reach") -> "Reach":
        """The smallest patches that hold both."""
        return Reach(self.size, _hulls(self.rows, other.rows), _hulls(self.columns, other.columns))

    def evened(self, images: int, call: int) -> "Reach":
        """Larger patches of fewer sizes, where for so many images that saves more than it costs.

        call: what computing the patches of one size costs beyond their places, in places
        """
        sizes = _sizes(self.rows), _sizes(self.columns)
        ladders = sorted(sizes[0]), sorted(sizes[1])

        def cost(ladders: tuple[list[int], list[int]]) -> int:
            totals = (_total(counted, ladder) for counted, ladder in zip(sizes, ladders, strict=True))
            return images * prod(totals) + call * len(ladders[0]) * len(ladders[1])

        while shorter := min(_shorter(*ladders), key=cost, default=None):
            if cost(shorter) >= cost(ladders):
                break
            ladders = shorter
        rows, columns = (
            tuple(_grown(*span, ladder, length) for span in spans)
            for spans, ladder, length in zip((self.rows, self.columns), ladders, self.size, strict=True)
        )
        return Reach(self.size, rows, columns)


def _within(start: int, stop: int, length: int) -> tuple[int, int]:
    """A span clipped to the map; one place is left of it where it lies outside."""
    start = min(max(start, 0), length - 1)
    return start, max(min(stop, length), start + 1)


def _hulls(spans: Spans, others: Spans) -> Spans:
    return tuple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(spans, others, strict=True))


def _sizes(spans: Spans) -> Counter[int]:
    return Counter(stop - start for start, stop in spans)


def _total(counted: Counter[int], ladder: list[int]) -> int:
    """The sum of all sizes, each rounded up to a step of the ladder."""
    return sum(count * ladder[bisect_left(ladder, size)] for size, count in counted.items())


def _shorter(rows: list[int], columns: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Both ladders with one step less, the highest excepted."""
    yield from ((rows[:step] + rows[step + 1 :], columns) for step in range(len(rows) - 1))
    yield from ((rows, columns[:step] + columns[step + 1 :]) for step in range(len(columns) - 1))


def _grown(start: int, stop: int, ladder: list[int], length: int) -> tuple[int, int]:
    """A span of the next size of the ladder, moved inwards where it would leave the map."""
    size = ladder[bisect_left(ladder, stop - start)]
    start = min(start, length - size)
    return start, start + size
