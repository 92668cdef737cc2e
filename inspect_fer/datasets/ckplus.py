"""CK+. Lucey et al., CVPR Workshops 2010; after Kanade, Cohn and Tian, FG 2000.

Three layouts. The publisher's tree holds sequences from a neutral face to the peak of an expression
(cohn-kanade-images/S005/001/S005_001_00000011.png) and, for 327 of 593, an emotion (Emotion/S005/001/..._emotion.txt),
which belongs to the peak. CK+48 holds the last three frames of each as class folders. `ckextended.csv` holds 920 rows
in the form of fer2013.csv, with class ids of its own and without names of people.

The publisher gives no splits. Those of the first two layouts are drawn by person, 60 % train, 20 % select, 20 % test:
frames of one person are nearly alike. `ckextended.csv` can only be split by its own Usage column, which may show one
person twice.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inspect_fer.datasets.known import checked, warn_of_order
from inspect_fer.datasets.listing import Face, below, counts_of, gather, pictures, split_by_person
from inspect_fer.datasets.pixel_csv import SIDE, parse
from inspect_fer.datasets.splits import FER2013_SPLITS, split_names
from inspect_fer.datasets.tables import class_ids, read_lines
from inspect_fer.emotions import EMOTIONS, canonical
from inspect_fer.errors import DataError, SplitError
from inspect_fer.images import fit, image_files
from inspect_fer.schema import Samples

CSV, IMAGES = "ckextended.csv", "cohn-kanade-images"
CLASSES = EMOTIONS["ckplus"]
SHOWN = CLASSES[1:]  # all but neutral, which no sequence is labelled with
FRAME = re.compile(r"(?P<sequence>(?P<subject>S\d+)_\d+)_\d+")
PEAK_SIZE = 480
"""The side of a square that all of the publisher's 640 x 480 and 640 x 490 pictures hold."""


def load_ckplus(
    path: Path,
    split: str = "test",
    *,
    frames: int | None = None,
    neutral: bool = False,
    size: int | None = None,
    channels: int = 1,
    seed: int = 0,
) -> Samples:
    """Read a split: "train", "select", "test" by person (`subjects`), or "all".

    path: the folder of one of the layouts, or ckextended.csv
    frames: how many last frames of a labelled sequence are read; by default 1, in CK+48 all three
    neutral: read the first frame of each labelled sequence as well, as neutral (publisher's tree); without it, neutral
        is none of the classes
    size, channels: of the pixels, cropped about the centre; by default 480, in CK+48 and the csv 48, and grey
    seed: of the split by person

    Raises DataError for what is missing or contradicts itself. Warns when the classes hold the published numbers of
    rows in another order.
    """
    if frames is not None and frames < 1:
        raise DataError(f"frames is how many last frames of a sequence are read, 1 or more, not {frames}.")
    source = path if path.is_file() else below(path, CSV)
    images = below(path, IMAGES)
    if images is None and (neutral or (source and frames)):
        raise DataError(
            f"{path} holds no sequences from a neutral face on; neutral and frames need the folder {IMAGES}."
        )
    if images is None and source is not None:
        return _from_csv(source, split, size, channels)
    wanted = split_names(split)
    names = CLASSES if neutral else SHOWN
    faces = list(_sequences(path, images, frames or 1, names) if images else _class_folders(path, frames))
    if not neutral and frames in {None, 1 if images else None}:
        warn_of_order("ckplus" if images else "ckplus48", ["all"], counts_of(faces, names))
    read = partial(pictures, size=size or (PEAK_SIZE if images else SIDE), channels=channels)
    return gather("ckplus", split_by_person(faces, wanted, seed), wanted, read, names)


def _sequences(root: Path, images: Path, frames: int, names: tuple[str, ...]) -> Iterator[Face[Path]]:
    """The publisher's tree: the last frames of every sequence with its emotion, and the first when asked."""
    notes = sorted(root.rglob("*_emotion.txt"))
    emotions = {path.stem.rsplit("_", 2)[0]: path for path in notes}
    if len(emotions) < len(notes):
        twice = next(path for path in notes if emotions[path.stem.rsplit("_", 2)[0]] != path)
        raise DataError(f"{twice} is one of two emotions of its sequence; CK+ has at most one.")
    if not emotions:
        raise DataError(f"{root} holds {IMAGES} but no *_emotion.txt; unpack Emotion_labels.zip of CK+ beside it.")
    for name, paths in _by_sequence(images).items():
        subject = name.partition("_")[0]
        if name not in emotions:
            yield Face(paths[-1], paths[-1].stem, -1, subject=subject, dropped="sequence without an emotion")
            continue
        label, peaks = _emotion(emotions.pop(name), names), paths[-frames:]
        if "neutral" in names and paths[0] not in peaks:
            yield Face(paths[0], paths[0].stem, names.index("neutral"), subject=subject)
        yield from (Face(path, path.stem, label, subject=subject) for path in peaks)
    if emotions:
        raise DataError(f"{next(iter(emotions.values()))} belongs to a sequence that is not in {images}.")


def _by_sequence(root: Path) -> dict[str, list[Path]]:
    """The frames below a folder by their sequence, in the order of time. Raises DataError for other names."""
    found = defaultdict(list)
    for path in image_files(root):
        name = FRAME.fullmatch(path.stem)
        if name is None:
            raise DataError(f"{path} is not called like a frame of CK+, such as S005_001_00000011.png.")
        found[name["sequence"]].append(path)
    return {name: sorted(paths, key=lambda path: path.stem) for name, paths in sorted(found.items())}


def _emotion(path: Path, names: tuple[str, ...]) -> int:
    lines = read_lines(path)
    if len(lines) != 1:
        raise DataError(f"{path} holds {len(lines)} lines; an emotion of CK+ is one number such as 3.0000000e+00.")
    return int(class_ids([lines[0].strip()], names, where=path, title="CK+", first=CLASSES.index(names[0])))


def _class_folders(root: Path, frames: int | None) -> Iterator[Face[Path]]:
    """CK+48: class folders of the last three frames of each sequence."""
    sequences = _by_sequence(root)
    if not sequences:
        raise DataError(f"{root} holds neither {IMAGES} nor {CSV} nor the class folders of CK+48.")
    ids = {name: index for index, name in enumerate(SHOWN)}
    for paths in sequences.values():
        emotions = {canonical(path.parent.name) for path in paths}
        if len(emotions) > 1 or not emotions <= set(ids):
            raise DataError(f"{paths[0]} lies in {' and '.join(sorted(emotions))}; CK+48 has {', '.join(SHOWN)}.")
        for place, path in enumerate(paths):
            late = frames is None or place >= len(paths) - frames
            label, subject = ids[canonical(path.parent.name)], path.stem.partition("_")[0]
            yield Face(path, path.stem, label, subject=subject, dropped="" if late else "earlier frame of its sequence")


def _from_csv(source: Path, split: str, size: int | None, channels: int) -> Samples:
    """The rows of ckextended.csv by its Usage column, under the class names of CK+."""
    wanted = split_names(split, FER2013_SPLITS)
    names = EMOTIONS["ckextended"]
    table = parse(source, names, title="ckextended.csv")
    rows = table.rows_of(wanted).nonzero().flatten()
    if not len(rows):
        raise SplitError(f"{source} holds no rows of {' or '.join(wanted)}.")
    usage = table.usage[rows].tolist()
    found = Samples(
        ids=tuple(f"ckplus/{FER2013_SPLITS[use]}/{row}" for use, row in zip(usage, rows.tolist(), strict=True)),
        pixels=fit(table.pixels[rows], size=size, channels=channels),
        labels=table.labels[rows],
        class_names=names,
    )
    return checked(found, "ckextended", ["all"]) if len(rows) == len(table.usage) else found
