"""From the cells of a file to a table: a classification report, a confusion matrix, or tables of sets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from inspect_fer.audit.grid import Grid, class_names, count, is_number, plain_number, read_grid, scores
from inspect_fer.audit.tables import FLOAT, ConfusionTable, ReportTable, Row, Score, Table
from inspect_fer.emotions import relabelling
from inspect_fer.errors import DataError

COLUMNS = {
    "precision": {"precision", "prec", "p"},
    "recall": {"recall", "rec", "r", "sensitivity"},
    "f1": {"f1", "f1-score", "f-score", "f1score"},
    "support": {"support", "n", "count", "total", "all", "sum"},
}
SCORES = {"precision", "recall", "f1"}
AVERAGE = re.compile(r"(macro|micro|weighted|samples)[\s-]*(avg|average|mean)?\.?")
SETS = ("tn", "fp", "fn", "tp")


def read_table(path: str | Path) -> Table:
    """Read a published table.

    Understood are confusion matrices (rows true; names above, before, or both), tables TN, FP, FN, TP a class, and
    scikit-learn's classification report, as pandas saves it or as text; with commas, semicolons or tabs. Below a
    matrix may stand `accuracy,.54` and `macro avg,.50,.47,.47` (precision, recall, F1), beside it scores and totals.

    Raises DataError for what is none of these.
    """
    try:
        return _table(read_grid(Path(path)))
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem


def _table(grid: Grid) -> Table:
    if set(SETS) <= {cell.lower() for cell in grid[0]}:
        return _sets(grid)
    if {"precision", "recall"} <= {_column(row[0]) for row in grid}:
        grid = [list(column) for column in zip(*grid, strict=True)]  # pandas saves a report lying on its side
    columns = _columns(grid)
    classes = sum(_kind(row[0]) == "class" for row in grid[1:])
    if len(SCORES & columns.keys()) > 1 and len(grid[0]) - 1 - len(columns) != classes:
        return _report(grid, columns)
    return _matrix(grid)


def _column(text: str) -> str | None:
    plain = re.sub(r"[\s_]+", "-", text.strip().lower())
    return next((name for name, spellings in COLUMNS.items() if plain in spellings), None)


def _columns(grid: Grid) -> dict[str, int]:
    """Where precision, recall, F1 and support stand; a column called like a row is a class."""
    names = {row[0] for row in grid[1:] if _kind(row[0]) == "class"}
    found = [(_column(cell), place) for place, cell in enumerate(grid[0]) if cell not in names]
    return {name: place for name, place in reversed(found) if name}


def _kind(name: str) -> str:
    """What a row of this name is: a class, an average by its name, the accuracy or the total."""
    plain = name.strip().lower()
    if average := AVERAGE.fullmatch(plain):
        return average[1]
    if plain == "avg / total":  # scikit-learn before 0.20
        return "weighted"
    if plain in {"accuracy", "acc"}:
        return "accuracy"
    return "total" if plain in {"total", "all", "sum"} else "class"


def _sets(grid: Grid) -> ConfusionTable:
    head = [cell.lower() for cell in grid[0]]
    name_place = next((place for place, cell in enumerate(head) if cell not in SETS), None)
    names = class_names([str(at) if name_place is None else row[name_place] for at, row in enumerate(grid[1:])])
    cells = [[row[head.index(mark)] for mark in SETS] for row in grid[1:]]
    return ConfusionTable(names, _counts(names, cells).view(-1, 2, 2), ReportTable(names))


def _counts(names: Sequence[str], cells: Grid) -> torch.Tensor:
    """Counts of the rows of a matrix. Raises DataError when a cell holds none, or all are 0."""
    found = [[count(cell, f"the row {name}") for cell in row] for name, row in zip(names, cells, strict=True)]
    empty = next((name for name, row in zip(names, found, strict=True) if None in row), None)
    if empty is not None:
        raise DataError(f"a count is missing in the row {empty}.")
    if not any(map(any, found)):
        raise DataError("all its counts are 0.")
    return torch.tensor(found)


def _report(grid: Grid, columns: Mapping[str, int]) -> ReportTable:
    name_place = min(set(range(len(grid[0]))) - set(columns.values()), default=None)
    if name_place is None:
        raise DataError("its rows have no names. A report has a column with the names of the classes.")
    rows = [(row[name_place], _four(row, columns)) for row in grid[1:]]
    return _from_rows([row for row in rows if _kind(row[0]) == "class"], rows)


def _four(row: Sequence[str], columns: Mapping[str, int]) -> list[str]:
    """The cells of precision, recall, F1 and support, empty where there is no such column."""
    return [row[columns[name]] if name in columns else "" for name in COLUMNS]


def _from_rows(classes: Sequence[tuple[str, list[str]]], others: Sequence[tuple[str, list[str]]]) -> ReportTable:
    """A report from names and four cells each: those of the classes, then among others the averages."""
    names = class_names([name for name, _ in classes])
    cells = [cell for _, row in classes for cell in row[:3]]
    printed = scores(cells, "a class")
    rows = tuple(
        _row(printed[3 * place : 3 * place + 3], count(row[3], f"the support of {name}"))
        for place, (name, (_, row)) in enumerate(zip(names, classes, strict=True))
    )
    drops_zeros = len({len(cell.partition(".")[2]) for cell in cells if "." in cell}) > 1
    finest = min((score.slack for score in printed if score), default=1.0) if drops_zeros else 1.0
    table = ReportTable(names, rows)
    per_cent = any(score.text.endswith("%") for score in printed if score)
    for name, row in others:
        table = _with_line(table, _kind(name), row, finest, per_cent=per_cent)
    return table


def _row(found: Sequence[Score | None], support: int | None) -> Row:
    precision, recall, f1 = found
    return Row(precision, recall, f1, support)


def _with_line(table: ReportTable, kind: str, cells: Sequence[str], finest: float, *, per_cent: bool) -> ReportTable:
    """Add the row of an average, of the accuracy, or of totals.

    finest: slack of a file that drops zeros; per_cent: as the scores of the classes are
    """
    if kind == "class":
        return table
    if kind == "total":
        return replace(table, total=count(cells[3], "the row of totals"))
    read = scores(cells[:3], f"the row {kind}", per_cent=per_cent)
    found = [score and replace(score, slack=min(score.slack, finest)) for score in read]
    if kind != "accuracy":
        support = count(cells[3], f"the support of {kind}")
        return replace(table, averages={**table.averages, kind: _row(found, support)})
    repeated = not is_number(cells[3]) or float(plain_number(cells[3]).rstrip("%")) <= 1  # pandas puts accuracy there
    total = table.total if repeated else count(cells[3], "the support of the accuracy")
    return replace(table, accuracy=next((score for score in found if score), None), total=total)


def _matrix(grid: Grid) -> Table:
    head, rows = _head(grid)
    wide = len(rows[0]) > len(rows)
    named = any(not is_number(row[0]) for row in rows) or (wide and not (head and _column(head[-1])))
    columns = _columns([head, *rows]) if head and (named or wide) else {}
    lines = [row for row in rows if not named or _kind(row[0]) == "class"]
    places = [place for place in range(named, len(rows[0])) if place not in columns.values()]
    if len(places) != len(lines):
        raise DataError(
            f"it has {len(lines)} rows of classes and {len(places)} columns. A confusion matrix is square; a report "
            "has columns precision, recall, f1-score, support."
        )
    above = [head[place] for place in places] if head else None
    before = [row[0] for row in lines] if named else None
    names = class_names(before or above or [str(place) for place in range(len(places))])
    if before and above:
        places = [places[at] for at in _same_order(before, above)]
    cells = [[row[place] for place in places] for row in lines]
    if share := _normalised(names, cells):
        return share
    others = [row for row in rows if row not in lines]
    beside = [(name, _four(row, columns)) for name, row in zip(names, lines, strict=True)]
    below = [(row[0], _four(row, columns) if columns.keys() >= SCORES else _first(row)) for row in others]
    return ConfusionTable(names, _counts(names, cells), _from_rows(beside, below))


def _first(row: Sequence[str]) -> list[str]:
    """The scores in a row below a matrix, moved to the front; totals are left out."""
    if _kind(row[0]) == "total":
        return [""] * 4
    printed = [cell for cell in row[1:] if cell]
    return [*printed[:3], *[""] * (4 - len(printed[:3]))]


def _head(grid: Grid) -> tuple[list[str] | None, Grid]:
    """The row of names above a matrix, if there is one, and the rows below it."""
    first, rows = grid[0], grid[1:]
    words = any(cell and not is_number(cell) for cell in first[1:])
    beside = _numbered(first[1:]) and not is_number(first[0])
    if not words and not beside and not (_numbered(first) and len(rows) == len(first)):
        return None, grid
    if not first[-1] and any(row[-1] for row in rows):
        first = ["", *first[:-1]]  # names begin above the first name, as R writes them
    return first, rows


def _numbered(cells: Sequence[str]) -> bool:
    """Whether cells count up from 0 or 1."""
    return any(list(cells) == [str(place + start) for place in range(len(cells))] for start in (0, 1))


def _same_order(before: Sequence[str], above: Sequence[str]) -> list[int]:
    """Where the class of each row stands above; by place where the columns only have numbers."""
    rows, columns = class_names(before), class_names(above)
    order = relabelling(rows, columns)
    if sorted(order) == list(range(len(above))):
        return order
    if _numbered(above) or _numbered(before):
        return list(range(len(above)))
    there, here = ", ".join(columns[:10]), ", ".join(rows[:10])
    raise DataError(f"its rows are called {here}, its columns {there}. Give both one set of names.")


def _normalised(names: tuple[str, ...], cells: Grid) -> ReportTable | None:
    """Recall of a matrix of shares whose rows add up to 1, precision where its columns do; None for counts."""
    printed = [cell for row in cells for cell in row]
    if not all(map(is_number, printed)) or not _are_shares([plain_number(cell) for cell in printed]):
        return None
    found = [score or Score("0", 0.0, 0.0) for score in scores(printed, "the matrix")]
    values = torch.tensor([score.value for score in found]).view(len(names), -1)
    near = len(names) * found[0].slack + FLOAT
    diagonal = found[:: len(names) + 1]
    if bool(((values.sum(1) - 1).abs() <= near).all()):
        return ReportTable(names, tuple(Row(recall=score) for score in diagonal), form="normalised matrix")
    if bool(((values.sum(0) - 1).abs() <= near).all()):
        return ReportTable(names, tuple(Row(precision=score) for score in diagonal), form="normalised matrix")
    raise DataError("its cells are shares, but neither rows nor columns add up to 1. Give the counts.")


def _are_shares(cells: Sequence[str]) -> bool:
    """Whether cells are per cent or broken numbers up to 100; others are counts, right or wrong."""
    values = [float(cell.rstrip("%")) for cell in cells]
    broken = any("%" in cell for cell in cells) or not all(map(float.is_integer, values))
    return broken and 0 <= min(values) <= max(values) <= 100
