"""Lists on disk: csv files and what stands in them, checked before anything is believed."""

import csv
import gzip
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from inspect_fer.errors import DataError


def read_csv(path: Path, columns: Sequence[str], *, title: str, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read a csv file, plain or gzip, with a header that holds at least `columns`.

    Raises DataError for a file that is cut short, has no header, lacks a column, names one of them twice, or has no
    rows.
    """
    with _readable(path):
        header = _check_header(path, columns, [*columns, *optional], title)
        with _opened(path) as file:
            rows = pd.read_csv(file, header=0, names=header, index_col=False, low_memory=False)
    if rows.empty:
        raise DataError(f"{path} has a header and no rows.")
    return rows


def read_headless(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a csv file that has no header, under the names `columns`. Raises DataError for one that is damaged."""
    with _readable(path):
        return pd.read_csv(path, header=None, names=list(columns), index_col=False, low_memory=False)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a csv file into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path} is cut short or no gzip file: {problem}. Copy or download it again.") from problem
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}. Name the file, or its folder.") from problem
    except (ValueError, csv.Error, pd.errors.ParserWarning) as problem:  # pandas' own errors are ValueErrors
        raise DataError(_damage(path, str(problem).strip())) from problem


def _damage(path: Path, problem: str) -> str:
    """What pandas says of a file, with the row counted from 0 as everywhere here."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", problem)
    if found is None:
        return f"{path} is not a csv file: {problem.rstrip('.')}."
    columns, line, held = map(int, found.groups())
    return f"{path}, row {line - 2}: expected {columns} columns, found {held}. Is the file damaged?"


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _check_header(path: Path, columns: Sequence[str], known: Sequence[str], title: str) -> list[str]:
    with _opened(path) as file:
        line = file.readline().decode("utf-8-sig", "replace")
    header = [name.strip() for name in next(csv.reader([line]), [])]
    if not header:
        raise DataError(f"{path} is not a csv file: its first line is empty.")
    if any(re.fullmatch(r"[-\d][\d\s.,]*", name) for name in header):
        raise DataError(
            f"{path} has no header: a row of data is in its first line and would be lost. Put the line "
            f"{','.join(known)} before it."
        )
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r}; it has the columns {', '.join(header[:4])[:80]}. {title} has "
            f"{', '.join(known)} in its first line."
        )
    twice = [name for name in known if header.count(name) > 1]
    if twice:
        raise DataError(f"{path} has two columns called {twice[0]!r}; keep the one that is meant.")
    return [name if header.count(name) == 1 else f"{name} {place}" for place, name in enumerate(header)]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that hold something. Raises DataError where it cannot be read."""
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as text: {problem}.") from problem


def class_ids(
    values: Sequence[object],
    names: Sequence[str],
    *,
    where: object,
    title: str,
    column: str = "id",
    first: int = 0,
    beyond: int = 0,
) -> Tensor:
    """Turn the ids of a list on disk into labels (N,) from 0.

    where, title, column: what messages call the list, the dataset and the value
    first: the id of the first class on disk
    beyond: how many ids after those of `names` are in use, for what shows no emotion; they come back as K, K + 1 ...

    Raises DataError for anything else, with the row, and says so where all ids would fit if counted from another
    number. Warns when every class occurs but the first, in fifty rows or more: the ids may have been shifted by one.
    """
    last = first + len(names) + beyond - 1
    numbers = np.asarray(pd.to_numeric(pd.Series(list(values), dtype=object), errors="coerce"), np.float64)
    bad = ~np.isin(numbers, range(first, last + 1))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{where}, row {row}: {column} {values[row]!s} is not a label; {title} has {first} to {last}, "
            f"{first} {names[0]} ... {first + len(names) - 1} {names[-1]}.{_shifted(numbers, first, last)}"
        )
    labels = torch.from_numpy(numbers.astype(np.int64) - first)
    if len(labels) >= 50 and set(labels.tolist()) >= set(range(1, len(names))) and not (labels == 0).any():
        warnings.warn(
            f"{where}: no row has the id {first} ({names[0]}), although every other class occurs. If the ids were "
            f"counted from {first + 1}, every label is wrong by one.",
            UserWarning,
            stacklevel=2,
        )
    return labels


def _shifted(numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]", first: int, last: int) -> str:
    for by, word in ((-1, "subtracted from"), (1, "added to")):
        if np.isin(numbers + by, range(first, last + 1)).all():
            return f" All ids would fit with 1 {word} them: were they renumbered?"
    return ""
