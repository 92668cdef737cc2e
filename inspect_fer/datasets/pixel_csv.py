"""The csv format of FER2013: `emotion,pixels,Usage`, a face a row, its 48 x 48 grey values joined by spaces."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspect_fer.datasets.splits import FER2013_SPLITS
from inspect_fer.datasets.tables import class_ids, read_csv
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError

SIDE = 48
CACHE_VERSION = 2


@dataclass(frozen=True)
class Table:
    """The complete file: pixels (N, 1, 48, 48) uint8, labels (N,) int64, -1 unlabelled, usage (N,) index of a split."""

    pixels: Tensor
    labels: Tensor
    usage: Tensor

    def rows_of(self, splits: Sequence[str]) -> Tensor:
        """(N,) bool, True where a row belongs to one of these FER2013 splits."""
        return torch.isin(self.usage, torch.tensor([FER2013_SPLITS.index(name) for name in splits]))


def read_table(path: Path) -> Table:
    """Read the complete file of FER2013, from the user's cache when its content was read before."""
    cached = _cache_file(path)
    if cached.is_file():
        try:
            return Table(**load_file(cached))
        except (SafetensorError, OSError, TypeError):
            cached.unlink(missing_ok=True)
    table = parse(path)
    _store(table, cached)
    return table


def _cache_file(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}. Name fer2013.csv or its folder.") from problem
    suffix = "labelled" if not path.name.startswith("test.") else "unlabelled"
    return user_cache_path("inspect_fer") / "fer2013" / f"{digest[:32]}-{suffix}-{CACHE_VERSION}.safetensors"


def _store(table: Table, cached: Path) -> None:
    """Keep the table for the next time; a cache that cannot be written costs time, nothing else."""
    aside = cached.with_suffix(f".{os.getpid()}.part")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        save_file({"pixels": table.pixels, "labels": table.labels, "usage": table.usage}, aside)
        aside.replace(cached)
    except (OSError, SafetensorError):
        with suppress(OSError):
            aside.unlink()


def parse(path: Path, class_names: Sequence[str] = EMOTIONS["fer2013"], *, title: str = "FER2013") -> Table:
    """Parse a csv file as it is, without the cache. Raises DataError for what is damaged, naming the row."""
    rows = read_csv(path, ["pixels"], title=title, optional=["emotion", "Usage"])
    pixels = _parse_pixels(rows["pixels"], path)
    if "emotion" in rows:
        labels = class_ids(rows["emotion"].tolist(), class_names, where=path, title=title, column="emotion")
    else:
        labels = torch.full((len(rows),), -1)
    return Table(pixels, labels, _parse_usage(rows, path, title))


def _parse_pixels(column: "pd.Series[str]", path: Path) -> Tensor:
    pixels = np.empty((len(column), SIDE * SIDE), np.uint8)
    for row, text in enumerate(column):
        values = _numbers(text)
        if values.size != SIDE * SIDE or values.min() < 0 or values.max() > 255:
            raise DataError(
                f"{path}, row {row}: expected {SIDE * SIDE} pixels of 0 to 255, found {_described(values)}. "
                "Is the file cut short?"
            )
        pixels[row] = values
    return torch.from_numpy(pixels).view(-1, 1, SIDE, SIDE)


def _numbers(text: object) -> NDArray[np.int64]:
    try:
        return np.fromstring(str(text), np.int64, sep=" ")
    except ValueError:
        return np.empty(0, np.int64)


def _described(values: NDArray[np.int64]) -> str:
    return f"{values.size} of {values.min()} to {values.max()}" if values.size else "something else"


def _parse_usage(rows: pd.DataFrame, path: Path, title: str) -> Tensor:
    if "Usage" not in rows:  # train.csv is the Training split; test.csv comes without labels
        return torch.full((len(rows),), 0 if "emotion" in rows else 2)
    usage = rows["Usage"].astype("string").str.strip()
    bad = ~usage.isin(FER2013_SPLITS).to_numpy(bool)
    if bad.any():
        row = int(np.argmax(bad))
        says = "nothing" if pd.isna(usage.iloc[row]) else usage.iloc[row]
        raise DataError(f"{path}, row {row}: Usage says {says}; {title} has {', '.join(FER2013_SPLITS)}.")
    return torch.tensor(usage.map(FER2013_SPLITS.index).to_numpy(np.int64))
