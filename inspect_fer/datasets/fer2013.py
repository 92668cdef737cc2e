"""FER2013. Goodfellow et al., ICONIP 2013, arXiv:1307.0414; the ICML 2013 challenge on Kaggle.

Read from any file or folder it is passed on in: `fer2013.csv`, `icml_face_data.csv` (spaced header, other column
order), `train.csv` and `test.csv` (no Usage column), each plain or `.gz`, and the folders `train` and `test` of class
folders. Rows are numbered from 0 over the complete file, so that FER+ votes can be joined by row.
"""

import gzip
import hashlib
import os
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspect_fer.datasets.splits import FER2013_SPLITS, split_names
from inspect_fer.emotions import EMOTIONS, canonical
from inspect_fer.errors import DataError
from inspect_fer.images import ImageFiles, image_files
from inspect_fer.schema import Samples

SIDE = 48
NAMES = ("fer2013.csv", "fer2013.csv.gz", "icml_face_data.csv", "icml_face_data.csv.gz", "train.csv", "train.csv.gz")
CACHE_VERSION = 1


@dataclass(frozen=True)
class Table:
    """The complete file: pixels (N, 1, 48, 48) uint8, labels (N,) int64, -1 unlabelled, usage (N,) index of a split."""

    pixels: Tensor
    labels: Tensor
    usage: Tensor


def load_fer2013(path: Path, split: str = "test") -> Samples:
    """Read a split ("Training", "PublicTest", "PrivateTest", "all"; also train, select, test).

    path: one of the csv files, or a folder that holds one or the class folders. Raises DataError for what is missing,
    cut short or out of range, naming the row.
    """
    wanted = split_names(split, FER2013_SPLITS)
    source = find_csv(path) if path.is_dir() else path
    if source is None:
        return _from_folders(path, wanted)
    table = read_table(source)
    rows = torch.isin(table.usage, torch.tensor([FER2013_SPLITS.index(name) for name in wanted])).nonzero().flatten()
    if not len(rows):
        raise DataError(f"{source} holds no rows of {' or '.join(wanted)}.")
    usage = table.usage[rows].tolist()
    return Samples(
        ids=tuple(f"fer2013/{FER2013_SPLITS[use]}/{row}" for use, row in zip(usage, rows.tolist(), strict=True)),
        pixels=table.pixels[rows],
        labels=table.labels[rows],
        class_names=EMOTIONS["fer2013"],
    )


def find_csv(folder: Path) -> Path | None:
    """The csv file of FER2013 in a folder, None where there is none."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read_table(path: Path) -> Table:
    """Read the complete file, from the user's cache when its content was read before."""
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


def parse(path: Path) -> Table:
    """Parse a csv file as it is, without the cache."""
    rows = _read_csv(path)
    if "pixels" not in rows:
        raise DataError(
            f"{path} has the columns {', '.join(map(str, rows.columns[:4]))[:80]}; FER2013 has emotion, pixels and "
            "Usage in its first line."
        )
    if rows.empty:
        raise DataError(f"{path} has a header and no rows.")
    return Table(_parse_pixels(rows["pixels"], path), _parse_labels(rows, path), _parse_usage(rows, path))


def _read_csv(path: Path) -> pd.DataFrame:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return pd.read_csv(file).rename(columns=lambda name: str(name).strip())
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path} is cut short or no gzip file: {problem}. Copy or download it again.") from problem
    except (OSError, ValueError) as problem:  # pandas' own errors are ValueErrors
        raise DataError(f"{path} is not a csv file: {str(problem).strip()}.") from problem


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


def _numbers(text: object) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    try:
        return np.fromstring(str(text), np.int64, sep=" ")
    except ValueError:
        return np.empty(0, np.int64)


def _described(values: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> str:
    return f"{values.size} of {values.min()} to {values.max()}" if values.size else "something else"


def _parse_labels(rows: pd.DataFrame, path: Path) -> Tensor:
    if "emotion" not in rows:
        return torch.full((len(rows),), -1)
    labels = pd.to_numeric(rows["emotion"], errors="coerce")
    bad = ~labels.isin(range(len(EMOTIONS["fer2013"])))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{path}, row {row}: emotion {rows['emotion'].iloc[row]!s} is not a label; FER2013 has 0 to 6, "
            "0 anger ... 6 neutral."
        )
    return torch.tensor(labels.to_numpy(np.int64))


def _parse_usage(rows: pd.DataFrame, path: Path) -> Tensor:
    if "Usage" not in rows:  # train.csv is the Training split; test.csv comes without labels
        return torch.full((len(rows),), 0 if "emotion" in rows else 2)
    usage = rows["Usage"].astype("string").str.strip()
    unknown = sorted(set(usage.dropna()) - set(FER2013_SPLITS)) or (["nothing"] if usage.isna().any() else [])
    if unknown:
        raise DataError(f"{path}: Usage says {unknown[0]}; FER2013 has {', '.join(FER2013_SPLITS)}.")
    return torch.tensor(usage.map(FER2013_SPLITS.index).to_numpy(np.int64))


def _from_folders(root: Path, wanted: tuple[str, ...]) -> Samples:
    """The folder layout: train/CLASS/Training_N.jpg and test/CLASS/{PublicTest,PrivateTest}_N.jpg."""
    found = [(path, _split_of(path, root)) for path in image_files(root)]
    chosen = [(path, split) for path, split in found if split in wanted]
    if not chosen:
        held = ", ".join(sorted({split for _, split in found if split})) or "no file named Training_N, PublicTest_N ..."
        raise DataError(f"{root} holds no fer2013.csv and, as class folders, no {' or '.join(wanted)}; it has {held}.")
    ids = {name: index for index, name in enumerate(EMOTIONS["fer2013"])}
    labels = [ids.get(canonical(path.parent.name), -1) for path, _ in chosen]
    if -1 in labels:
        path = chosen[labels.index(-1)][0]
        raise DataError(f"{path} lies in a folder that names no emotion of FER2013: {', '.join(ids)}.")
    return Samples(
        ids=tuple(f"fer2013/{split}/{path.stem}" for path, split in chosen),
        pixels=ImageFiles([path for path, _ in chosen], size=SIDE, channels=1),
        labels=torch.tensor(labels),
        class_names=EMOTIONS["fer2013"],
    )


def _split_of(path: Path, root: Path) -> str | None:
    """The split that a picture's name, or else its folder, stands for; a merged "test" folder alone decides nothing."""
    name = re.match(r"(Training|PublicTest|PrivateTest)", path.stem)
    if name:
        return name.group(1)
    top = path.relative_to(root).parts[0].lower()
    return {"train": "Training", "training": "Training", "publictest": "PublicTest", "privatetest": "PrivateTest"}.get(
        top
    )
