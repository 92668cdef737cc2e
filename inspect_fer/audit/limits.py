"""What a table cannot show: classes that are never answered, the baseline, few samples, rows without any class."""

from collections.abc import Iterator

from inspect_fer.audit.arithmetic import computed, hits, wilson
from inspect_fer.audit.supports import recognise
from inspect_fer.audit.tables import ConfusionTable, Finding, ReportTable, Span, Table, listing, number, samples
from inspect_fer.metrics import per_class

FEW = 100
"""The recall of a class with fewer samples is given with its interval."""
RARE = 0.05
"""A class with a smaller share may go unanswered for its rarity."""
MOST_LISTED = 8


def unanswered(table: Table) -> Iterator[Finding]:
    """Classes that are never answered (or never rightly), the accuracy they leave, and what may be the reason."""
    if table.support is None:
        return
    rows = [row for row in zip(table.class_names, table.support, _never(table), strict=True) if row[1]]
    lost = [(name, size) for name, size, never in rows if never]
    found = [(name, size) for name, size, never in rows if not never]
    if not lost or table.of_sets or len(found) != 1:
        yield from _lost(table, lost, sum(table.support))
        return
    name, size = found[0]
    why = "the baseline, not a result" if size == max(table.support) else "a constant answer"
    yield Finding("one answer", "caution", "certain", f"No class but {name} is ever answered rightly: {why}.")


def _never(table: Table) -> list[bool]:
    """For each class, whether none of its samples is found."""
    if isinstance(table, ConfusionTable):
        return [not right for right in per_class(table.matrix).hits.tolist()]
    return [(found := hits(row)) is not None and found.high < 1 for row in table.rows]


def _never_predicted(table: Table, names: list[str]) -> bool:
    """Whether a matrix shows that some classes are not even predicted wrongly."""
    if not isinstance(table, ConfusionTable):
        return False
    times = dict(zip(table.class_names, per_class(table.matrix).predicted.tolist(), strict=True))
    return not any(times[name] for name in names)


def _lost(table: Table, lost: list[tuple[str, int]], whole: int) -> Iterator[Finding]:
    if not lost:
        return
    seen = "never predicted" if _never_predicted(table, [name for name, _ in lost]) else "never found"
    words = [f"{name} ({samples(size)})" for name, size in lost]
    limit = "" if table.of_sets else f" So accuracy cannot exceed {1 - sum(dict(lost).values()) / whole:.2%}."
    subject = f"{listing(words)} {'is' if len(lost) == 1 else 'are'}"
    yield Finding("unanswered", "caution", "certain", f"{subject} {seen}.{limit}")
    name, size = lost[0]
    if len(lost) == 1 and name == table.class_names[-1] and (size > RARE * whole or not (table.support or [1])[0]):
        yield Finding(
            "label shift",
            "caution",
            "likely",
            f"{name} stands last and is the only class {seen}. Labels that count from 1 under a network whose outputs "
            "count from 0 do this: the last label has no output, and the first output no label.",
        )


def absent(table: Table) -> Iterator[Finding]:
    """Classes without samples, which pull every macro average down."""
    empty = [name for name, size in zip(table.class_names, table.support or (), strict=False) if not size]
    if empty:
        says = (
            f"{listing(empty)} {'has' if len(empty) == 1 else 'have'} no samples, but may count as 0 in macro averages."
        )
        yield Finding("absent", "caution", "certain", says)


def baseline(table: Table) -> Iterator[Finding]:
    """The accuracy with its interval, beside that of always answering with the commonest class."""
    bounds = _accuracy(table)
    if table.support is None or bounds is None:
        return
    whole, commonest = sum(table.support), max(table.support)
    match = recognise(table.support, table.class_names)
    interval = wilson((bounds.low + bounds.high) / 2, whole / (match.times if match else 1))
    name = table.class_names[table.support.index(commonest)]
    above = interval.low > commonest / whole
    says = (
        f"Accuracy is {_printed(table, bounds)} of {samples(whole)} (95 % interval {_interval(interval)}), "
        f"{'' if above else 'not clearly '}above the {commonest / whole:.2%} of always answering {name}."
    )
    yield Finding("baseline", "note" if above else "caution", "certain", says)


def _accuracy(table: Table) -> Span | None:
    """The accuracy, as the counts have it, or as printed, or as the recalls let it lie."""
    score = table.printed.accuracy
    if score and not table.of_sets and not isinstance(table, ConfusionTable):
        return score.span
    return computed(table).accuracy


def _printed(table: Table, bounds: Span) -> str:
    """The accuracy with the digits that it has."""
    if not isinstance(table, ConfusionTable) and table.accuracy:
        return table.accuracy.text
    low, high = f"{bounds.low:.2%}", f"{bounds.high:.2%}"
    return low if low == high else f"{low} to {high}"


def _interval(span: Span) -> str:
    return f"{span.low:.1%} to {span.high:.1%}"


def few(table: Table) -> Iterator[Finding]:
    """Classes with so few samples that their recall is a guess."""
    recalls = computed(table).classes["recall"]
    rows = zip(table.class_names, table.support or (), recalls, strict=False)
    words = [
        f"{name} {_interval(wilson((span.low + span.high) / 2, size))} ({number(size)})"
        for name, size, span in sorted(rows, key=lambda row: row[1])
        if span and 0 < size < FEW
    ]
    if words:
        more = f"; and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
        says = f"Recall of classes with few samples, as 95 % intervals: {'; '.join(words[:MOST_LISTED])}{more}."
        yield Finding("few samples", "note", "certain", says)


def classless(table: Table) -> Iterator[Finding]:
    """Samples of a table of sets that belong to no class, so that no answer finds anything in them."""
    whole = int(table.matrix[0].sum()) if isinstance(table, ConfusionTable) else table.total
    if not table.of_sets:
        return
    without = whole - sum(table.support) if whole and table.support else 0
    if whole and without > 0:
        says = (
            f"The supports add up to {number(whole - without)} only: at least {number(without)} of {samples(whole)} "
            f"({without / whole:.1%}) have no true class. There, naming nothing is exactly right and any answer wrong."
        )
        yield Finding("no true class", "error", "certain", says)
    elif not isinstance(table, ConfusionTable):
        yield from _classless_report(table)


def _classless_report(table: ReportTable) -> Iterator[Finding]:
    """Recall averaged over samples is 0 for those without a class, so it falls short of the micro average."""
    each = table.averages["samples"].recall
    micro = table.averages["micro"].recall if "micro" in table.averages else None
    if each is None or micro is None or each.span.high >= 0.9 * micro.span.low:
        return
    low, high = 1 - each.span.high / micro.span.low, 1 - each.span.low / micro.span.high
    says = (
        f"Recall is {each.text} on average over samples, {micro.text} over labels. With one class a sample these are "
        f"equal; so {low:.0%} to {high:.0%} of the samples seem to have no true class, and count as 0."
    )
    yield Finding("no true class", "error", "likely", says)


def normalised(table: Table) -> Iterator[Finding]:
    """A matrix of shares, or one that may be."""
    if table.form == "normalised matrix":
        only = "recall" if table.printed.rows[0].recall else "precision"
        axis = "rows" if only == "recall" else "columns"
        advice = "" if table.support else " Name the split, and its supports are put in."
        yield Finding(
            "normalised",
            "caution",
            "certain",
            f"The {axis} add up to 1. Only {only} can be read from such a matrix, no other score and no count.{advice}",
        )
    elif isinstance(table, ConfusionTable) and not table.of_sets and _maybe_shares(table):
        yield Finding(
            "percentages",
            "caution",
            "likely",
            "Every row adds up to 100 or nearly: these may be percentages, not counts. Then recall alone can be read.",
        )


def _maybe_shares(table: ConfusionTable) -> bool:
    """Whether the rows add up to 100 within rounding, and are no set known to be like this."""
    near = all(abs(size - 100) <= len(table.support) / 2 for size in table.support)
    return near and recognise(table.support, table.class_names) is None
