"""What the supports of a table give away: its dataset and split, its class names, and whether rows count repeatedly."""

from collections.abc import Iterator
from dataclasses import replace

from inspect_fer.audit.known_counts import SPLITS, WITHOUT_FERPLUS, splits_of
from inspect_fer.audit.supports import Match, recognise
from inspect_fer.audit.tables import ConfusionTable, Finding, ReportTable, Table, listing, number, samples
from inspect_fer.emotions import CANONICAL, canonical, relabelling
from inspect_fer.errors import DataError
from inspect_fer.lookup import lookup

SMALLEST, MOST_EPOCHS = 50, 1000
"""A balanced set is traced to a smallest class of at least so many images, and to so many epochs at most."""


def identity(table: Table) -> Iterator[Finding]:
    """Name the split that the supports belong to, and what is wrong with names or counts then."""
    if table.support is None:
        return
    match, turned = recognise(table.support, table.class_names), _recognise_columns(table)
    if turned and not (match and match.exact):
        says = (
            f"Not the rows but the columns are {_counts_of(turned)}: here rows are predicted classes, precision is "
            "recall, and recall precision."
        )
        yield Finding("transposed", "error", turned.strength, says)
        yield from _names(turned, table.class_names)
    elif match is None:
        yield _unknown(table.support)
    else:
        yield Finding("split", "note" if match.exact else "caution", match.strength, _belongs(match))
        yield from _names(match, table.class_names)
        yield from _pooled(match)


def _recognise_columns(table: Table) -> Match | None:
    if not isinstance(table, ConfusionTable) or table.of_sets:
        return None
    predicted = tuple(table.matrix.sum(0).tolist())
    match = recognise(predicted, table.class_names) if len(set(predicted)) > 1 else None
    return match if match and match.exact else None


def _counts_of(match: Match) -> str:
    times = f"{match.times} times " if match.times > 1 else ""
    return f"{times}the counts of {match.split} ({samples(match.total)})"


def _belongs(match: Match) -> str:
    gaps = [(emotion, gap) for emotion, gap in zip(match.emotions, match.missing, strict=True) if gap]
    if not gaps:
        return f"The supports are {_counts_of(match)}."
    if min(match.missing) < 0:
        odd = listing([f"{emotion} has {number(abs(gap))} too {'many' if gap < 0 else 'few'}" for emotion, gap in gaps])
        return f"The supports are near {_counts_of(match)}, but {odd}: rows were changed, or a number is mistyped."
    lost = sum(match.missing)
    reason = " For as many rows FER+ names no image." if WITHOUT_FERPLUS.get(match.split) == lost else ""
    return (
        f"The supports are {_counts_of(match)} less {samples(lost)} "
        f"({listing([f'{emotion} {number(gap)}' for emotion, gap in gaps])}).{reason}"
    )


def _names(match: Match, names: tuple[str, ...]) -> Iterator[Finding]:
    pairs = [pair for pair in zip(names, match.emotions, strict=True) if pair[0] not in match.ambiguous]
    wrong = [f"{name} is {emotion}" for name, emotion in pairs if canonical(name) != emotion]
    right = [name for name, emotion in pairs if canonical(name) == emotion]
    unsure = f" Equal counts leave open which is which of {listing(list(match.ambiguous))}." if match.ambiguous else ""
    if match.permuted:
        kept = f"; right {'is' if len(right) == 1 else 'are'} {listing(right)}" if right else ""
        says = f"The class names are permuted. By the supports, printed {listing(wrong)}{kept}."
        yield Finding("class names", "error", match.strength, says + (unsure or " No other order fits."))
    elif wrong:
        yield Finding("class names", "note", match.strength, f"By the supports, {listing(wrong)}.{unsure}")


def _pooled(match: Match) -> Iterator[Finding]:
    if match.times > 1:
        says = (
            f"Every support is {match.times} times that of the split: predictions of {match.times} epochs or runs are "
            f"pooled, or every row counts {match.times} times. The scores are those of no single network."
        )
        yield Finding("pooled", "error", match.strength, says)


def _unknown(support: tuple[int, ...]) -> Finding:
    if len(set(support)) > 1:
        return Finding("split", "note", "likely", "The supports are those of no split that is known here.")
    stories = (_story(support[0], split, min(counts.values())) for split, counts in splits_of(len(support)))
    found = next((story for story in stories if story), "")
    says = f"Every class has {samples(support[0])}, so the supports do not tell the dataset. {found}".strip()
    return Finding("balanced", "caution" if found else "note", "likely", says)


def _story(size: int, split: str, smallest: int) -> str | None:
    """How a balanced set may have been made from a split's smallest class: copies of each image, epochs pooled.

    Round numbers are believed (a multiple of 5 of epochs, and of copies beside the original), others are chance.
    """
    if size % smallest or smallest < SMALLEST:
        return None
    factor = size // smallest
    epochs = next((e for e in (1, *range(5, MOST_EPOCHS + 1, 5)) if factor % e == 0 and factor // e % 5 == 1), 0)
    if not epochs:
        return None
    copies = factor // epochs
    parts = [f"{copies} versions of each image"] * (copies > 1) + [f"{epochs} epochs pooled"] * (epochs > 1)
    product = " x ".join(number(part) for part in (epochs, copies, smallest) if part > 1)
    made = f", {', '.join(parts)}: {number(size)} = {product}" if parts else ""
    return f"It may be {split}, each class reduced to the smallest, {smallest}{made}."


def against(table: Table, split: str, *, put_in: bool) -> Finding:
    """Compare the supports with those of a split that the user names; put_in: they were taken from it."""
    if put_in or table.support is None:
        says = (
            f"No supports are printed; those of {split} are taken." if put_in else "There are no supports to compare."
        )
        return Finding("given split", "note", "certain", says)
    wanted = wanted_support(table.class_names, split)
    pairs = zip(table.class_names, table.support, wanted, strict=True)
    odd = [f"{name} {number(has)} instead of {number(want)}" for name, has, want in pairs if has != want]
    if not odd:
        return Finding("given split", "note", "certain", f"The supports are those of {split}, as asked.")
    totals = f"In all {number(sum(table.support))} instead of {number(sum(wanted))}."
    return Finding(
        "given split", "error", "certain", f"The supports are not those of {split}: {listing(odd)}. {totals}"
    )


def wanted_support(names: tuple[str, ...], split: str) -> tuple[int, ...]:
    """What a split holds of each class: by name, or by the order of its ids where no name is an emotion.

    Raises UnknownNameError for a split, DataError for a class that is not known.
    """
    counts = lookup(SPLITS, split, "split")
    order = relabelling(names, list(counts))
    if not any(canonical(name) in CANONICAL for name in names) and len(names) == len(counts):
        order = list(range(len(names)))
    if min(order) < 0 or len(set(order)) < len(order):
        raise DataError(f"{split} has the classes {', '.join(counts)}; the table has {', '.join(names)}.")
    return tuple(list(counts.values())[place] for place in order)


def with_support(table: Table, split: str) -> Table:
    """The table with the supports of a split, where it prints none."""
    if not isinstance(table, ReportTable) or table.support or not table.rows:
        return table
    supports = wanted_support(table.class_names, split)
    rows = tuple(replace(row, support=support) for row, support in zip(table.rows, supports, strict=True))
    return replace(table, rows=rows)
