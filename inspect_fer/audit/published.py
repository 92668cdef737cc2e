"""What can be proved about a published table from its numbers alone."""

from collections.abc import Callable, Iterator
from typing import Any

from inspect_fer.audit import consistency, limits
from inspect_fer.audit.arithmetic import EXACT, computed
from inspect_fer.audit.identity import against, identity, with_support
from inspect_fer.audit.tables import Finding, Span, Table

TABLE_CHECKS: dict[str, Callable[[Table], Iterator[Finding]]] = {
    "identity": identity,
    "totals": consistency.totals,
    "classes": consistency.classes,
    "harmonic mean": consistency.harmonic_mean,
    "whole recalls": consistency.whole_recalls,
    "whole rows": consistency.whole_rows,
    "predictions": consistency.all_predictions,
    "averages": consistency.averages,
    "accuracy": consistency.accuracy,
    "normalised": limits.normalised,
    "classless": limits.classless,
    "unanswered": limits.unanswered,
    "absent": limits.absent,
    "baseline": limits.baseline,
    "few": limits.few,
}
WEIGHTS = ("error", "caution", "note")


def check_table(table: Table, split: str | None = None) -> list[Finding]:
    """Everything that the numbers of a table give away, errors first, and what is certain before what is likely.

    split: such as "fer2013:PublicTest"; the supports are compared with its counts, or taken from it when there are none

    Raises UnknownNameError for a split that is not known, DataError for one with other classes.
    """
    full = with_support(table, split) if split else table
    checks = [check for check in TABLE_CHECKS.values() if full is table or check is not identity]
    found = [finding for check in checks for finding in check(full)]
    if split:
        found.append(against(full, split, put_in=full is not table))
    if not consistency.KINDS & {finding.kind for finding in found}:
        found += consistency.agreement(full)
    if not any(finding.weight == "error" for finding in found):
        found.append(Finding("no error", "note", "certain", "Nothing in the table is provably wrong."))
    return sorted(found, key=lambda finding: (WEIGHTS.index(finding.weight), finding.strength != "certain"))


def scores_of(table: Table, split: str | None = None) -> dict[str, Any]:
    """The scores that follow from a table, as plain values: numbers, or [low, high] where rounding leaves bounds.

    split: gives the supports where a table has none
    """
    full = with_support(table, split) if split else table
    found, support = computed(full), full.support or [None] * len(table.class_names)
    by_class = {
        name: {**{measure: _plain(spans[place]) for measure, spans in found.classes.items() if spans}, "support": size}
        for place, (name, size) in enumerate(zip(table.class_names, support, strict=True))
    }
    means = {average: {name: _plain(span) for name, span in row.items()} for average, row in found.averages.items()}
    return {"n": found.total, "accuracy": _plain(found.accuracy), "per_class": by_class, "averages": means}


def _plain(span: Span | None) -> float | list[float] | None:
    if span is None:
        return None
    if span.high - span.low < EXACT:
        return round((span.low + span.high) / 2, 9)
    return [round(span.low, 6), round(span.high, 6)]
