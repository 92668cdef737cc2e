"""AffectNet. Mollahosseini, Hasani and Mahoor, IEEE Transactions on Affective Computing 2017, arXiv:1708.03985.

Two layouts. The old one: Manually_Annotated_Images with training.csv and validation.csv, whose rows hold the box of
the face, to which pictures are cropped as they are read. The new one: train_set and val_set with images/N.jpg, cropped
already, and annotations/N_exp.npy. (Class folders, such as Kaggle's "FER AffectNet", are read as `folder:`.)

Rows of the ids 8 none, 9 uncertain and 10 non-face show no emotion; they are dropped and counted. `test` is the
publisher's validation list, on which papers report; `select` is a twentieth of every class of the training list, held
out by name, `train` the rest, `train_all` the whole of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from inspect_fer.datasets.lazy import Box, LazyRows, read_crops
from inspect_fer.datasets.listing import UNLISTED, Face, below, gather, pictures, require
from inspect_fer.datasets.splits import WHOLE_TRAIN, held_out, split_names
from inspect_fer.datasets.tables import class_ids, read_csv
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError, SplitError
from inspect_fer.images import image_files
from inspect_fer.schema import LazyPixels, Samples

CLASSES = EMOTIONS["affectnet"]
BEYOND = ("none", "uncertain", "non-face")
HELD_OUT = 0.05
IMAGES = "Manually_Annotated_Images"
BOX = ("face_x", "face_y", "face_width", "face_height")
COLUMNS = ("subDirectory_filePath", *BOX, "expression")
LISTS = {"train": "training.csv", "test": "validation.csv"}
NOWHERE = (0.0, 0.0, 0.0, 0.0)
SETS = {"train": "train_set", "test": "val_set"}


def load_affectnet(root: Path, split: str = "test", *, size: int = 224, channels: int = 3) -> Samples:
    """Read a split: "train", "select", "test" (the publisher's validation list), "train_all", "all".

    size, channels: of the pixels; of the old layout, of the face box

    Raises DataError for what is missing, damaged or no id from 0 to 10.
    """
    wanted = split_names(split, groups=WHOLE_TRAIN)
    lists = [name for name, splits in (("train", {"train", "select"}), ("test", {"test"})) if splits & set(wanted)]
    sets = below(root, SETS[lists[0]])
    if sets is not None:
        faces = [face for name in lists for face in _set(sets.with_name(SETS[name]), name)]
        return gather("affectnet", faces, wanted, partial(pictures, size=size, channels=channels), CLASSES)
    images = below(root, IMAGES)
    if images is None:
        kind = SplitError if any(below(root, name) for name in SETS.values()) else DataError
        raise kind(f"{root} holds neither {IMAGES} with {' and '.join(LISTS.values())} nor {SETS[lists[0]]}.")
    rows = [face for name in lists for face in _list(root, images, name)]
    if "train" in lists and below(root, LISTS["test"]):  # a picture in neither list belongs to the longer one
        others = [] if "test" in lists else _list(root, images, "test")
        left = set(image_files(images)) - {face.entry[0] for face in chain(rows, others)}
        rows += [Face((path, NOWHERE), path.stem, -1, "train", dropped=UNLISTED) for path in left]
    return gather("affectnet", rows, wanted, partial(_cropped, size=size, channels=channels), CLASSES)


def _list(root: Path, images: Path, name: str) -> Iterator[Face[tuple[Path, Box]]]:
    """The rows of training.csv or validation.csv, each with its face box."""
    source = below(root, LISTS[name])
    if source is None:
        raise SplitError(f"{root} holds {IMAGES} but no {LISTS[name]}.")
    rows = read_csv(source, COLUMNS, title="AffectNet")
    places = rows["subDirectory_filePath"].astype(str).tolist()
    boxes = rows[list(BOX)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    for row, face in enumerate(_faces([images / place for place in places], places, rows["expression"], source, name)):
        if not face.dropped and np.isnan(boxes[row]).any():
            raise DataError(f"{source}, row {row}: expected numbers for {', '.join(BOX)}, one is missing.")
        left, top, width, height = boxes[row].tolist()
        entry = face.entry, (left, top, width, height)
        yield Face(entry, face.name, face.label, face.split, dropped=face.dropped)


def _set(folder: Path, name: str) -> Iterator[Face[Path]]:
    """The pictures of train_set or val_set with their annotations."""
    found = {path.stem: path for path in image_files(folder / "images")}
    notes = {path.stem.removesuffix("_exp"): path for path in (folder / "annotations").glob("*_exp.npy")}
    if not notes:
        raise DataError(f"{folder} holds no annotations/N_exp.npy.")
    both = sorted(found.keys() & notes.keys())
    yield from _faces([found[stem] for stem in both], both, [_expression(notes[stem]) for stem in both], folder, name)
    for stem in sorted(found.keys() ^ notes.keys()):
        reason = "picture without annotation" if stem in found else "annotation without picture"
        yield Face(folder / "images" / stem, stem, -1, name, dropped=reason)


def _expression(path: Path) -> object:
    try:
        return np.load(path, allow_pickle=False).item()
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path} is not one number as numpy saves it: {problem}.") from problem


def _faces(
    paths: Sequence[Path], names: Sequence[str], ids: Iterable[object], where: Path, split: str
) -> Iterator[Face[Path]]:
    """Rows of one list; of the training list a share is held out for `select`."""
    labels = class_ids(list(ids), CLASSES, where=where, title="AffectNet", beyond=len(BEYOND)).tolist()
    chosen = held_out(names, labels, HELD_OUT) if split == "train" else [False] * len(names)
    for path, name, label, select in zip(paths, names, labels, chosen, strict=True):
        dropped = BEYOND[label - len(CLASSES)] if label >= len(CLASSES) else ""
        yield Face(path, name, label, "select" if select else split, dropped=dropped)


def _cropped(entries: Sequence[tuple[Path, Box]], *, size: int, channels: int) -> LazyPixels:
    require([path for path, _ in entries])
    read = partial(read_crops, size=size, channels=channels)
    return LazyRows(entries, read, torch.Size((channels, size, size)))
