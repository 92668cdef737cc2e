"""Which dataset and split a table's supports belong to, and under which names."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from inspect_fer.audit.known_counts import splits_of
from inspect_fer.audit.tables import Strength
from inspect_fer.emotions import CANONICAL, canonical, relabelling

Counts = np.ndarray[tuple[int], np.dtype[np.int64]]

OF_A_CLASS, OF_THE_SPLIT, FEW = 0.02, 0.01, 2
"""A split is recognised when up to 2 % of a class (or two rows) and 1 % of all rows are missing, or too many."""


@dataclass(frozen=True)
class Match:
    """The split whose counts, `times` over, are a table's supports.

    emotions: the true class of each printed one
    counts: of those classes in the split
    missing: by how many rows the split exceeds each printed class, in one of the `times`; negative for rows too many
    permuted: the printed names say otherwise
    ambiguous: printed classes whose true class the counts leave open
    """

    split: str
    total: int
    times: int
    emotions: tuple[str, ...]
    counts: tuple[int, ...]
    missing: tuple[int, ...]
    permuted: bool
    ambiguous: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether every count agrees."""
        return not any(self.missing)

    @property
    def strength(self) -> Strength:
        """Differing counts that all agree are no accident."""
        return "certain" if self.exact and len(set(self.counts)) > 1 else "likely"

    @property
    def rank(self) -> tuple[bool, bool, bool, int, int]:
        """Smaller is likelier."""
        return not self.exact, min(self.missing) < 0, self.permuted, sum(map(abs, self.missing)), self.times


@lru_cache(maxsize=64)
def recognise(support: tuple[int, ...], class_names: tuple[str, ...]) -> Match | None:
    """The split that a table's supports belong to, None when no known one comes near.

    Every known split with as many classes is tried, under the printed names and under those that fit its counts best,
    and so is every whole fraction of the supports. Equal supports are recognised under their own names alone.
    """
    return min(_matches(support, class_names), key=lambda match: match.rank, default=None)


def _matches(support: Sequence[int], class_names: Sequence[str]) -> Iterator[Match]:
    balanced = len(set(support)) == 1
    for times in _divisors(1 if balanced else math.gcd(*support)):
        base = np.array(support, dtype=np.int64) // times
        for split, counts in splits_of(len(support)):
            named = relabelling(class_names, list(counts))
            orders = [named] if sorted(named) == list(range(len(support))) else []
            for order in orders if balanced else [*orders, _best(base, _sizes(counts))]:
                match = _match(split, counts, base, times, class_names, order)
                if match:
                    yield match


def _divisors(whole: int) -> list[int]:
    small = [part for part in range(1, math.isqrt(whole) + 1) if whole % part == 0]
    return sorted({*small, *(whole // part for part in small)})


def _sizes(counts: Mapping[str, int]) -> Counts:
    return np.array(list(counts.values()), dtype=np.int64)


def _best(base: Counts, sizes: Counts, without: tuple[int, int] | None = None) -> list[int]:
    """The class of a split for each printed one that makes the counts differ least; one pair may be forbidden."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped,unused-ignore]

    costs = np.abs(base[:, None] - sizes).astype(float)
    if without:
        costs[without] = costs.sum() + 1
    return [int(place) for place in linear_sum_assignment(costs)[1]]


def _match(
    split: str, counts: Mapping[str, int], base: Counts, times: int, class_names: Sequence[str], order: list[int]
) -> Match | None:
    """The match of a split under one assignment when it is near enough; a near one must leave no other reading."""
    sizes = _sizes(counts)
    missing = sizes[order] - base
    if not _near(missing, sizes[order]):
        return None
    emotions = tuple(list(counts)[place] for place in order)
    pairs = list(zip(map(canonical, class_names), emotions, strict=True))
    permuted = any(name != emotion and name in CANONICAL for name, emotion in pairs)
    open_ones = () if all(name == emotion for name, emotion in pairs) else _open(base, sizes, order, class_names)
    if missing.any() and (open_ones or (permuted and missing.min() < 0)):
        return None
    held = tuple(sizes[order].tolist())
    return Match(split, int(sizes.sum()), times, emotions, held, tuple(missing.tolist()), permuted, open_ones)


def _near(missing: Counts, sizes: Counts) -> bool:
    of_a_class = bool((np.abs(missing) <= np.maximum(FEW, OF_A_CLASS * sizes)).all())
    return of_a_class and int(np.abs(missing).sum()) <= OF_THE_SPLIT * int(sizes.sum())


def _open(base: Counts, sizes: Counts, order: list[int], class_names: Sequence[str]) -> tuple[str, ...]:
    """The printed classes that may stand for another class as well: with it forbidden, the counts still fit as well."""
    exact = not (sizes[order] - base).any()
    found = []
    for place, name in enumerate(class_names):
        other = _best(base, sizes, without=(place, order[place]))
        missing = sizes[other] - base
        if other[place] != order[place] and (not missing.any() if exact else _near(missing, sizes[other])):
            found.append(name)
    return tuple(found)
