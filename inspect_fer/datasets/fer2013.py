"""FER2013. Goodfellow et al., ICONIP 2013, arXiv:1307.0414; the ICML 2013 challenge on Kaggle.

Read from any file or folder it is passed on in: `fer2013.csv`, `icml_face_data.csv` (spaced header, other column
order), `train.csv` and `test.csv` (no Usage column), each plain or `.gz`, and the folders `train` and `test` of class
folders. Rows are numbered from 0 over the complete file, so that FER+ votes can be joined by row.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inspect_fer.datasets.known import checked
from inspect_fer.datasets.listing import Face, gather, pictures
from inspect_fer.datasets.pixel_csv import SIDE, read_table
from inspect_fer.datasets.splits import FER2013_SPLITS, split_names
from inspect_fer.datasets.votes import VOTES, read_votes
from inspect_fer.emotions import EMOTIONS, canonical
from inspect_fer.errors import DataError, SplitError
from inspect_fer.images import image_files
from inspect_fer.schema import Samples

NAMES = ("fer2013.csv", "fer2013.csv.gz", "icml_face_data.csv", "icml_face_data.csv.gz", "train.csv", "train.csv.gz")


def load_fer2013(path: Path, split: str = "test", *, named: bool = False) -> Samples:
    """Read a split ("Training", "PublicTest", "PrivateTest", "all"; also train, select, test).

    path: one of the csv files, or a folder that holds one or the class folders
    named: keep only the rows to which FER+ gives an image name, as source 000 does; `fer2013new.csv` lies beside the
        csv

    Raises DataError for what is missing, cut short or out of range, naming the row. Warns when the classes hold the
    published numbers of rows in another order.
    """
    wanted = split_names(split, FER2013_SPLITS)
    source = find_csv(path) if path.is_dir() else path
    if source is not None:
        return _from_csv(source, wanted, named=named)
    if named:
        raise DataError(f"{path} holds no fer2013.csv; rows without a name in FER+ are known by their place in it.")
    return checked(_from_folders(path, wanted), "fer2013", wanted)


def find_csv(folder: Path) -> Path | None:
    """The csv file of FER2013 in a folder, None where there is none."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _from_csv(source: Path, wanted: Sequence[str], *, named: bool) -> Samples:
    table = read_table(source)
    rows = table.rows_of(wanted)
    if not rows.any():
        raise SplitError(f"{source} holds no rows of {' or '.join(wanted)}.")
    kept, dropped = rows, {}
    if named:
        _, has_name = read_votes(source.with_name(VOTES), table.usage)
        kept, dropped = rows & has_name, {"no image name in FER+": int((rows & ~has_name).sum())}
    numbers = kept.nonzero().flatten()
    usage = table.usage[numbers].tolist()
    found = Samples(
        ids=tuple(f"fer2013/{FER2013_SPLITS[use]}/{row}" for use, row in zip(usage, numbers.tolist(), strict=True)),
        pixels=table.pixels[numbers],
        labels=table.labels[numbers],
        class_names=EMOTIONS["fer2013"],
        dropped=dropped,
    )
    return found if named else checked(found, "fer2013", wanted)


def _from_folders(root: Path, wanted: tuple[str, ...]) -> Samples:
    """The folder layout: train/CLASS/Training_N.jpg and test/CLASS/{PublicTest,PrivateTest}_N.jpg."""
    found = [(path, _split_of(path, root)) for path in image_files(root)]
    chosen = [(path, split) for path, split in found if split in wanted]
    if not chosen:
        held = ", ".join(sorted({split for _, split in found if split})) or "no file named Training_N, PublicTest_N ..."
        kind = SplitError if any(split for _, split in found) else DataError
        raise kind(f"{root} holds no fer2013.csv and, as class folders, no {' or '.join(wanted)}; it has {held}.")
    ids = {name: index for index, name in enumerate(EMOTIONS["fer2013"])}
    strange = [path for path, _ in chosen if canonical(path.parent.name) not in ids]
    if strange:
        raise DataError(f"{strange[0]} lies in a folder that names no emotion of FER2013: {', '.join(ids)}.")
    faces = [Face(path, path.stem, ids[canonical(path.parent.name)], split) for path, split in chosen if split]
    return gather("fer2013", faces, wanted, partial(pictures, size=SIDE, channels=1), EMOTIONS["fer2013"])


def _split_of(path: Path, root: Path) -> str | None:
    """The split that a picture's name, or else its folder, stands for; a merged "test" folder alone decides nothing."""
    name = re.match(r"(Training|PublicTest|PrivateTest)", path.stem)
    if name:
        return name.group(1)
    top = path.relative_to(root).parts[0].lower()
    return {"train": "Training", "training": "Training", "publictest": "PublicTest", "privatetest": "PrivateTest"}.get(
        top
    )
