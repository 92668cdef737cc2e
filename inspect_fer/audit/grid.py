"""From a file of any usual form to cells, and from cells to names and numbers."""

import csv
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from inspect_fer.audit.tables import Score
from inspect_fer.errors import DataError

LARGEST_FILE = 2_000_000
LARGEST_COUNT = 10**9
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?", re.IGNORECASE | re.ASCII)
THOUSANDS = re.compile(r"\d{1,3}([,' ]\d{3})+", re.ASCII)
DECIMAL_COMMA = re.compile(r"(\d*),(\d+ ?%?)", re.ASCII)
MISSING = {"", "-", "nan", "none", "n/a"}
SIDE = re.compile(r"^(true|actual|predicted|pred)[\s:_-]+(?=\S)", re.IGNORECASE)

Grid = list[list[str]]


def read_grid(path: Path) -> Grid:
    """Read the cells of a file, all rows equally long; lines that are empty or begin with # are left out.

    Cells lie between tabs, semicolons, commas or upright bars, or else between blanks. Raises DataError.
    """
    lines = [line for line in _text(path).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    mark = next((mark for mark in "\t;|," if 2 * sum(mark in line for line in lines) > len(lines)), None)
    if mark is None:
        return _even(_by_columns([line.strip("[] ").split() for line in lines]))
    if mark == "|":
        lines = [line.strip().removeprefix("|").removesuffix("|") for line in lines if set(line) - set("|:- ")]
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    except csv.Error as problem:
        raise DataError(f"it cannot be read as a table: {problem}.") from problem
    if mark in "\t;":
        rows = [
            [DECIMAL_COMMA.sub(r"\1.\2", cell) if DECIMAL_COMMA.fullmatch(cell) else cell for cell in row]
            for row in rows
        ]
    return _even(rows)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(f"it has {size / 1e6:.0f} MB, a table of scores is a small file.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise DataError(f"it cannot be read ({problem.strerror}). Name a file with a table.") from problem
    except UnicodeDecodeError as problem:
        raise DataError("it is not text in UTF-8. Save the table as CSV.") from problem
    if "\0" in text:
        raise DataError("it is not text. Save the table as CSV.")
    return text


def _even(rows: Grid) -> Grid:
    """Rows of one length, without empty columns at the end (or before upright bars)."""
    width = max((len(row) for row in rows), default=0)
    padded = [row + [""] * (width - len(row)) for row in rows]
    filled = [place for place in range(width) if any(row[place] for row in padded)]
    if len(padded) < 2 or len(filled) < 2:
        raise DataError("it holds no table. A table has a row for each class, and more than one column.")
    return [row[: filled[-1] + 1] for row in padded]


def _by_columns(rows: Grid) -> Grid:
    """The lines of a pasted report: its numbers belong under the last columns, the words before them are one name."""
    head = next((row for row in rows if "precision" in row and "recall" in row), None)
    if head is None:
        return rows
    body = []
    for row in rows[rows.index(head) + 1 :]:
        words = max([place for place, cell in enumerate(row[-len(head) :]) if not _is_cell(cell)], default=-1)
        first = len(row) - len(row[-len(head) :]) + words + 1
        body.append([" ".join(row[:first]), *[""] * (len(head) - len(row) + first), *row[first:]])
    return [["", *head], *body]


def _is_cell(text: str) -> bool:
    return is_number(text) or text.lower() in MISSING


def is_number(text: str) -> bool:
    """Whether a cell holds a number, with or without a sign of per cent."""
    plain = text.rstrip("%").strip()
    return bool(NUMBER.fullmatch(plain) or THOUSANDS.fullmatch(plain))


def plain_number(text: str) -> str:
    """A number without the marks between its thousands."""
    return re.sub("[,' ]", "", text) if THOUSANDS.fullmatch(text) else text


def name_of(text: str) -> str:
    """A name as printed, without what could steer a terminal and without "true" or "predicted" before it."""
    return SIDE.sub("", "".join(letter if letter.isprintable() else "?" for letter in text))[:60]


def class_names(cells: Sequence[str]) -> tuple[str, ...]:
    """The classes' names. Raises DataError when there are too few or too many of them, or two of one name."""
    names = tuple(map(name_of, cells))
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f"two classes have the name {twice!r}.")
    if not 2 <= len(names) <= 500:
        raise DataError(f"it has {len(names)} rows of classes. A table has 2 to 500.")
    return names


def count(text: str, where: str) -> int | None:
    """The whole number in a cell, None where nothing is printed. Raises DataError for anything else."""
    if text.lower() in MISSING:
        return None
    plain = plain_number(text)
    value = Decimal(plain) if NUMBER.fullmatch(plain) else Decimal(-1)
    if not 0 <= value <= LARGEST_COUNT or value != int(value):
        raise DataError(f"{where} holds {name_of(text)!r}, where a count is wanted: a whole number.")
    return int(value)


def scores(cells: Sequence[str], where: str, *, per_cent: bool = False) -> list[Score | None]:
    """The shares printed in cells of one kind; None where nothing is printed. Raises DataError.

    All are percentages when one is above 1 or has the sign, or where those beside them are (`per_cent`). The longest
    tells how many digits were kept, because many programs leave zeros at the end out.
    """
    plain = [cell.rstrip("%").strip() for cell in cells]
    wrong = next((cell for cell in plain if not _is_cell(cell)), None)
    if wrong is not None:
        raise DataError(f"{where} holds {name_of(wrong)!r}, where a score is wanted.")
    found = [None if cell.lower() in MISSING else Decimal(plain_number(cell)) for cell in plain]
    values = [value for value in found if value is not None]
    scale = 100 if per_cent or any("%" in cell for cell in cells) or any(value > 1 for value in values) else 1
    outside = next((value for value in values if not 0 <= value <= scale), None)
    if outside is not None:
        raise DataError(f"{where} holds {float(outside):g}; scores lie from 0 to 1, or from 0 to 100 %.")
    slack = 0.5 * 10.0 ** -max(map(_digits, values), default=0) / scale
    sign = "%" if scale == 100 else ""
    return [
        None if value is None else Score(cell + sign, float(value) / scale, slack)
        for cell, value in zip(plain, found, strict=True)
    ]


def _digits(value: Decimal) -> int:
    """Digits after the point; more than 15 say nothing, a float holds no more."""
    exponent = value.as_tuple().exponent
    return min(15, max(0, -exponent)) if isinstance(exponent, int) else 0
