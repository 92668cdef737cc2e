"""Whether the printed numbers of a table follow from one another within rounding."""

import math
from collections.abc import Iterable, Iterator, Mapping

from inspect_fer.audit.arithmetic import computed, harmonic, has_counts, predictions, whole_numbers
from inspect_fer.audit.tables import ConfusionTable, Finding, Row, Score, Span, Table, Weight, listing, number, samples
from inspect_fer.metrics import MEASURES

MOST_LISTED = 8
Means = Mapping[str, Mapping[str, Span | None]]
KINDS = {"totals", "class scores", "F1", "recall", "counts", "predictions", "averages", "accuracy", "cut off"}

Pair = tuple[str, Score | None, Span | None, str]
"""What a printed score is called, the score, what it must be, and what explains another value."""


def _grouped(kind: str, weight: Weight, intro: str, details: list[str]) -> Iterator[Finding]:
    """One finding for what is found several times."""
    if details:
        more = f"; and {len(details) - MOST_LISTED} more" if len(details) > MOST_LISTED else ""
        yield Finding(kind, weight, "certain", f"{intro}: {'; '.join(details[:MOST_LISTED])}{more}.")


def _compared(pairs: Iterable[Pair], kind: str, intro: str) -> Iterator[Finding]:
    """Findings for scores that are not what they must be; a digit cut off instead of rounded weighs less."""
    wrong: list[str] = []
    cut: list[str] = []
    for name, score, span, hint in pairs:
        if score and span and not score.span.meets(span):
            is_cut = Span(score.value, score.value + 2 * score.slack).meets(span)
            (cut if is_cut else wrong).append(f"{name} {score.text}, where {_shown(span, score)} follows{hint}")
    yield from _grouped(kind, "error", intro, wrong)
    yield from _grouped("cut off", "caution", "Printed digits are cut off instead of rounded", cut)


def _shown(span: Span, like: Score) -> str:
    """Bounds with two digits more than a printed score, as per cent when it is."""
    scale, sign = (100, "%") if like.text.endswith("%") else (1, "")
    digits = min(6, max(0, round(-math.log10(2 * like.slack * scale)) + 2))
    low, high = (f"{max(0, end) * scale:.{digits}f}" for end in (span.low, span.high))
    return f"{low}{sign}" if low == high else f"{low} to {high}{sign}"


def classes(table: Table) -> Iterator[Finding]:
    """Scores printed beside a matrix follow from its counts."""
    if isinstance(table, ConfusionTable):
        spans = computed(table).classes
        yield from _compared(
            (
                (f"{measure} of {name}", getattr(row, measure), spans[measure][place], "")
                for place, (name, row) in enumerate(_rows(table))
                for measure in MEASURES
            ),
            "class scores",
            "The scores of classes do not follow from the matrix",
        )


def _rows(table: Table) -> list[tuple[str, Row]]:
    return list(zip(table.class_names, table.printed.rows, strict=False))


def averages(table: Table) -> Iterator[Finding]:
    """Macro, weighted and micro averages follow from the rows or the matrix."""
    means = computed(table).averages
    source = "matrix" if isinstance(table, ConfusionTable) else "rows of the classes"
    yield from _compared(
        (
            (
                f"{average} {measure}",
                getattr(row, measure),
                means.get(average, {}).get(measure),
                _mistaken(average, row, measure, means),
            )
            for average, row in table.printed.averages.items()
            for measure in MEASURES
        ),
        "averages",
        f"Averages do not follow from the {source}",
    )


def _mistaken(average: str, row: Row, measure: str, means: Means) -> str:
    """Which other average a printed one is, if it is one."""
    score: Score | None = getattr(row, measure)
    if score is None:
        return ""
    spans = {f"{name} average": found.get(measure) for name, found in means.items() if name != average}
    if measure == "f1" and row.precision and row.recall:
        spans["harmonic mean of the averages"] = harmonic(row.precision.span, row.recall.span)
    others = [name for name, span in spans.items() if span and score.span.meets(span)]
    return f" (it is the {' or the '.join(others)})" if others else ""


def accuracy(table: Table) -> Iterator[Finding]:
    """The accuracy follows from the matrix, or from recall and support; and some number of right answers gives it."""
    found, score = computed(table), table.printed.accuracy
    source = "matrix" if isinstance(table, ConfusionTable) else "recalls and supports"
    mistakes = list(
        _compared([("accuracy", score, found.accuracy, "")], "accuracy", f"The accuracy is not that of the {source}")
    )
    yield from mistakes
    total = table.printed.total or (None if table.of_sets else found.total)
    if score and total and not mistakes:
        yield from _whole_accuracy(score, total)


def _whole_accuracy(score: Score, total: int) -> Iterator[Finding]:
    first, last = whole_numbers(score.span, total)
    if first <= last:
        return
    near = listing([f"{number(hits)} right are {hits / total:.4%}" for hits in (last, first)])
    says = f"No number of right answers among {samples(total)} gives an accuracy of {score.text}: {near}."
    fewer, most = whole_numbers(score.span, total - 1)
    is_cut = first / total < score.value + 2 * score.slack
    ways = ["the last digit is cut off instead of rounded"] * is_cut
    ways += [f"there were {number(total - 1)} samples, as when a row is taken for a header"] * (fewer <= most)
    either = f" {'Either ' if len(ways) > 1 else 'Perhaps '}{', or '.join(ways)}." if ways else ""
    yield Finding("accuracy", "caution" if is_cut else "error", "certain", says + either)


def harmonic_mean(table: Table) -> Iterator[Finding]:
    """Every F1 of a report is the harmonic mean of its precision and recall."""
    if isinstance(table, ConfusionTable):
        return
    named = [*_rows(table), *((name, row) for name, row in table.averages.items() if name == "micro")]
    yield from _compared(
        (
            (
                f"{name} ({row.precision.text}, {row.recall.text})",
                row.f1,
                harmonic(row.precision.span, row.recall.span),
                "",
            )
            for name, row in named
            if row.precision and row.recall
        ),
        "F1",
        "F1 is not the harmonic mean of precision and recall",
    )


def whole_recalls(table: Table) -> Iterator[Finding]:
    """Recall times support is a whole number of found samples."""
    if isinstance(table, ConfusionTable):
        return
    odd = []
    for name, row in _rows(table):
        if row.recall and row.support:
            first, last = whole_numbers(row.recall.span, row.support)
            if first > last:
                shares = [(hits, hits / row.support) for hits in (last, first)]
                near = listing([f"{hits} are {_shown(Span(share, share), row.recall)}" for hits, share in shares])
                odd.append(f"{name} {row.recall.text} of {samples(row.support)} ({near})")
    yield from _grouped("recall", "error", "Recall times support is no whole number of samples", odd)


def whole_rows(table: Table) -> Iterator[Finding]:
    """Some number of hits and of predictions gives precision, recall and F1 together."""
    if isinstance(table, ConfusionTable):
        return
    odd = [
        f"{name} {row.precision.text}, {row.recall.text}, {row.f1.text} of {samples(row.support)}"
        for name, row in _rows(table)
        if row.precision and row.recall and row.f1 and row.support and not has_counts(row)
    ]
    said = {finding.kind for check in (harmonic_mean, whole_recalls) for finding in check(table)}
    if not said:
        yield from _grouped("counts", "error", "No counts of hits and predictions give precision, recall and F1", odd)


def all_predictions(table: Table) -> Iterator[Finding]:
    """The classes' predictions, hits by precision, add up to the samples, where every sample has one class."""
    if isinstance(table, ConfusionTable) or table.of_sets or not (table.accuracy and table.support):
        return
    spans = [predictions(row) for row in table.rows]
    known = [span for span in spans if span]
    low, high = sum(span.low for span in known), sum(span.high for span in known)
    total = sum(table.support)
    if len(known) == len(spans) and not low - 1 <= total <= high + 1:
        yield Finding(
            "predictions",
            "error",
            "certain",
            f"By recall, support and precision the classes are predicted {number(low)} to {number(high)} times in all, "
            f"but there are {samples(total)}: the columns cannot belong together.",
        )


def totals(table: Table) -> Iterator[Finding]:
    """Printed supports and totals agree with the counts."""
    if table.support is None:
        return
    odd = [
        f"{name} {number(row.support)}, the row has {number(counted)}"
        for (name, row), counted in zip(_rows(table), table.support, strict=False)
        if row.support is not None and row.support != counted
    ]
    whole = sum(table.support)
    printed = {
        "the total": None if table.of_sets else table.printed.total,
        **{k: row.support for k, row in table.printed.averages.items()},
    }
    odd += [
        f"{name} {number(value)}, the classes have {number(whole)}"
        for name, value in printed.items()
        if value is not None and value != whole
    ]
    if isinstance(table, ConfusionTable) and table.of_sets:
        sizes = table.matrix.sum((1, 2)).tolist()
        usual = max(set(sizes), key=sizes.count)
        odd += [
            f"{name} {number(size)} samples, other classes {number(usual)}"
            for name, size in zip(table.class_names, sizes, strict=True)
            if size != usual
        ]
    yield from _grouped("totals", "error", "Totals do not add up", odd)


def agreement(table: Table) -> Iterator[Finding]:
    """Say which printed numbers agree; for a table in which none contradicts another."""
    printed = table.printed
    rows = [row for _, row in _rows(table)]
    checked = ["the scores of the classes"] * any(row.precision and row.recall and row.f1 for row in rows)
    checked += ["supports"] * any(row.support and row.recall for row in rows)
    checked += [f"{name} averages" for name in printed.averages if name in computed(table).averages]
    checked += ["accuracy"] * bool(printed.accuracy)
    if len(checked) > 1 or (checked and isinstance(table, ConfusionTable)):
        yield Finding("agreement", "note", "certain", f"Within rounding, {listing(checked)} follow from one another.")
