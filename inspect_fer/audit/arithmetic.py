"""What a table's numbers allow its other numbers to be: every value with the bounds that rounding leaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inspect_fer.audit.tables import TINY, ConfusionTable, ReportTable, Row, Score, Span, Table
from inspect_fer.metrics import MEASURES, averages, per_class

EXACT = 1e-11
"""Bounds closer than this are one number."""
MOST_TRIED = 20_000
"""A class whose rounding leaves more counts than this can be given any score."""


@dataclass(frozen=True)
class Computed:
    """Scores that follow from a table; from printed ones within bounds, None where something is missing.

    classes: by measure, one span a class; averages: by name and measure
    """

    total: int | None
    accuracy: Span | None
    classes: Mapping[str, Sequence[Span | None]]
    averages: Mapping[str, Mapping[str, Span | None]]


def computed(table: Table) -> Computed:
    """The scores that follow from a table's counts, or else from its printed rows."""
    return _from_counts(table) if isinstance(table, ConfusionTable) else _from_report(table)


def _from_counts(table: ConfusionTable) -> Computed:
    found = per_class(table.matrix)
    total = int(table.matrix[0].sum() if table.of_sets else table.matrix.sum())
    share = None if table.of_sets else _point(int(found.hits.sum()) / total)
    classes = {name: tuple(map(_point, getattr(found, name).tolist())) for name in MEASURES}
    means = {
        average: {name: _point(value) for name, value in row.items()} for average, row in averages(table.matrix).items()
    }
    return Computed(total, share, classes, means)


def _point(value: float) -> Span:
    return Span(value - EXACT / 4, value + EXACT / 4)


def _from_report(table: ReportTable) -> Computed:
    classes = {name: tuple(_span(getattr(row, name)) for row in table.rows) for name in MEASURES}
    support = table.support
    means = {"macro": {name: _mean(classes[name], [1] * len(table.rows)) for name in MEASURES}}
    if support is None or not sum(support):
        return Computed(table.total, None, classes, means)
    means["weighted"] = {name: _mean(classes[name], support) for name in MEASURES}
    means["micro"], found = _micro(table.rows), [hits(row) for row in table.rows]
    known = [span for span in found if span]
    share = None if table.of_sets or len(known) < len(found) else _shared(known, sum(support))
    return Computed(sum(support), share, classes, means)


def _span(score: Score | None) -> Span | None:
    return score.span if score else None


def _mean(spans: Sequence[Span | None], weights: Sequence[int]) -> Span | None:
    known = [(span, weight) for span, weight in zip(spans, weights, strict=True) if span]
    whole = sum(weights)
    if len(known) < len(spans) or not whole:
        return None
    return Span(*(sum(getattr(span, end) * weight for span, weight in known) / whole for end in ("low", "high")))


def _shared(spans: Sequence[Span], whole: float) -> Span:
    return Span(sum(span.low for span in spans) / whole - TINY, sum(span.high for span in spans) / whole + TINY)


def hits(row: Row) -> Span | None:
    """How many of a class's samples are found: whole numbers between the bounds, the bounds alone if there is none."""
    if row.recall is None or row.support is None:
        return None
    span = row.recall.span
    low, high = whole_numbers(span, row.support)
    return Span(low, high) if low <= high else Span(span.low * row.support, span.high * row.support)


def whole_numbers(share: Span, whole: int) -> tuple[int, int]:
    """The first and last whole number whose share of `whole` lies in a span; first above last if there is none."""
    return math.ceil(share.low * whole - TINY), math.floor(share.high * whole + TINY)


def predictions(row: Row) -> Span | None:
    """How often a class is predicted: its hits by its precision."""
    found = hits(row)
    if found is None or row.precision is None:
        return None
    low, high = row.precision.span.low, row.precision.span.high
    return Span(found.low / high if high else 0.0, found.high / low if low else math.inf)


def _micro(rows: Sequence[Row]) -> dict[str, Span | None]:
    right = [span for row in rows if (span := hits(row))]
    answers = [span for row in rows if (span := predictions(row))]
    support = sum(row.support or 0 for row in rows)
    if len(answers) < len(rows):
        return dict.fromkeys(MEASURES)
    (low, high), (least, most) = ((sum(s.low for s in spans), sum(s.high for s in spans)) for spans in (right, answers))
    precision = Span(low / most if most else 0.0, high / least if least else 1.0)
    return {
        "precision": precision,
        "recall": _shared(right, support),
        "f1": Span(2 * low / (most + support) - TINY, 2 * high / (least + support) + TINY),
    }


def harmonic(precision: Span, recall: Span) -> Span:
    """Bounds of F1, which grows with both."""
    ends = ((precision.low, recall.low), (precision.high, recall.high))
    return Span(*(2 * p * r / (p + r) if p + r else 0.0 for p, r in ends))


def has_counts(row: Row) -> bool:
    """Whether whole numbers of hits h and predictions p give a row: P = h / p, R = h / s, F1 = 2 h / (p + s)."""
    if row.precision is None or row.recall is None or row.f1 is None or not row.support:
        return True
    first, last = whole_numbers(row.recall.span, row.support)
    if last - first > MOST_TRIED:
        return True
    precision, f1 = row.precision.span, row.f1.span
    if first <= 0 and f1.low <= 0 and (precision.low <= 0 or precision.high >= 1):
        return True  # no hits; what precision then is, is a matter of taste
    return any(_possible(h, precision, f1, row.support) for h in range(max(1, first), last + 1))


def _possible(h: int, precision: Span, f1: Span, support: int) -> bool:
    """Whether some whole number of predictions, at least h, gives precision and F1."""
    least = max(h, h / precision.high, 2 * h / f1.high - support)  # nothing is printed so small that these are 0
    most = min(h / precision.low if precision.low else math.inf, 2 * h / f1.low - support if f1.low else math.inf)
    return most == math.inf or math.ceil(least - TINY) <= math.floor(most + TINY)


def wilson(share: float, whole: float, z: float = 1.96) -> Span:
    """95 % interval of a share of so many samples (Wilson, JASA 1927)."""
    spread = z * z / whole
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / whole + spread / (4 * whole))
    return Span(max(0.0, middle - half), min(1.0, middle + half))
