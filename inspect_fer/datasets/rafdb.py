"""RAF-DB, basic emotions. Li, Deng and Du, CVPR 2017; Li and Deng, IEEE TIP 2019.

Two layouts: the publisher's `basic` folder (EmoLabel/list_patition_label.txt and Image/aligned) and Kaggle's
(train/1..7 and test/1..7, with train_labels.csv and test_labels.csv). Ids on disk run from 1 to 7. The publisher
splits into train and test; `select` is a tenth of every class of train, held out by the picture's name, the same in
both layouts, and `train` the rest. `train_all` is the publisher's whole list.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inspect_fer.datasets.known import warn_of_order
from inspect_fer.datasets.listing import UNLISTED, Face, below, gather, pictures
from inspect_fer.datasets.splits import WHOLE_TRAIN, held_out, split_names
from inspect_fer.datasets.tables import class_ids, read_csv, read_lines
from inspect_fer.emotions import EMOTIONS, FIRST_ID
from inspect_fer.errors import DataError
from inspect_fer.images import image_files
from inspect_fer.schema import Samples

LIST = "EmoLabel/list_patition_label.txt"  # the spelling is the publisher's
CLASSES = EMOTIONS["rafdb"]
HELD_OUT = 0.1


class _Row(NamedTuple):
    path: Path
    id: str


_Lists = dict[str, list[_Row]]


def load_rafdb(root: Path, split: str = "test", *, size: int = 100, channels: int = 3) -> Samples:
    """Read the aligned faces of a split: "train", "select", "test", "train_all", "all".

    size, channels: of the pixels; the publisher's are 100 and 3

    Raises DataError for what is missing, or an id outside 1 to 7. Warns when the classes hold the published numbers of
    rows in another order.
    """
    wanted = split_names(split, groups=WHOLE_TRAIN)
    listing = below(root, LIST)
    rows, held = _official(listing) if listing else _kaggle(root)
    faces = [*_listed(rows, "train_all", root), *_listed(rows, "test", root)]
    listed = {face.entry for face in faces}
    faces += [
        Face(path, path.stem, -1, "test" if path.name.startswith("test") else "train", dropped=UNLISTED)
        for path in held
        if path not in listed
    ]
    return gather("rafdb", faces, wanted, partial(pictures, size=size, channels=channels), CLASSES)


def _listed(rows: _Lists, split: str, root: Path) -> Iterable[Face[Path]]:
    own = rows[split]
    names = [row.path.stem.removesuffix("_aligned") for row in own]
    where = f"{root}, {split.removesuffix('_all')} list"
    labels = class_ids([row.id for row in own], CLASSES, where=where, title="RAF-DB", first=FIRST_ID["rafdb"]).tolist()
    warn_of_order("rafdb", [split], {name: labels.count(index) for index, name in enumerate(CLASSES)})
    chosen = held_out(names, labels, HELD_OUT) if split == "train_all" else [False] * len(own)
    for row, name, label, select in zip(own, names, labels, chosen, strict=True):
        yield Face(row.path, name, label, "select" if select else split.removesuffix("_all"))


def _official(listing: Path) -> tuple[_Lists, list[Path]]:
    """The rows of the list, and every picture there is."""
    rows: dict[str, list[_Row]] = {"train_all": [], "test": []}
    aligned = listing.parents[1] / "Image" / "aligned"
    for number, line in enumerate(read_lines(listing)):
        name, _, label = line.strip().rpartition(" ")
        split = {"train": "train_all", "test": "test"}.get(name.partition("_")[0])
        if split is None:
            raise DataError(f"{listing}, row {number}: expected a line such as train_00001.jpg 5, found {line[:60]!r}.")
        rows[split].append(_Row(aligned / f"{Path(name).stem}_aligned.jpg", label))
    return rows, list(image_files(aligned))


def _kaggle(root: Path) -> tuple[_Lists, list[Path]]:
    folder = below(root, "train/1")
    if folder is None:
        raise DataError(
            f"{root} holds neither {LIST} nor the folders train/1 to train/7 and test/1 to test/7 of RAF-DB."
        )
    top = folder.parents[1]
    train, test = _by_name(top / "train"), _by_name(top / "test")
    rows = {"train_all": _kaggle_rows(top, "train", train), "test": _kaggle_rows(top, "test", test)}
    return rows, [*train.values(), *test.values()]


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in image_files(folder):
        other = found.setdefault(path.name, path)
        if other != path:
            raise DataError(f"{path} lies in folder {other.parent.name} as well; a picture of RAF-DB has one label.")
    return found


def _kaggle_rows(top: Path, split: str, held: dict[str, Path]) -> list[_Row]:
    """The pictures of train/1..7, or as the csv lists them; where both speak they must agree."""
    tables = [folder / f"{split}_labels.csv" for folder in (top, top.parent)]
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        return [_Row(path, path.parent.name) for path in held.values()]
    rows = read_csv(table, ["image", "label"], title="RAF-DB on Kaggle")
    for number, (name, label) in enumerate(zip(rows["image"], rows["label"], strict=True)):
        if name not in held:
            raise DataError(f"{table}, row {number}: there is no {name} in the folders 1 to 7 of {top / split}.")
        folder = held[name].parent.name
        if str(label) != folder:
            raise DataError(f"{table}, row {number}: {name} has the label {label} but lies in folder {folder}.")
    return [_Row(held[name], held[name].parent.name) for name in rows["image"]]
