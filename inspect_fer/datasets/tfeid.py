"""TFEID, the Taiwanese Facial Expression Image Database. Chen and Yen, Brain Mapping Laboratory, National Yang-Ming
University, 2007.

Pictures are known by their names, such as m13_dfh_px.jpg: a female or male model, the view, gaze and intensity, and a
letter for the emotion. They may lie in class folders, whose names then count too. There are no official splits: they
are drawn by model, 60 % train, 20 % select, 20 % test.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inspect_fer.datasets.listing import Face, gather, pictures, split_by_person
from inspect_fer.datasets.splits import split_names
from inspect_fer.emotions import EMOTIONS, canonical
from inspect_fer.errors import DataError
from inspect_fer.images import image_files
from inspect_fer.schema import Samples

CLASSES = EMOTIONS["tfeid"]
NAME = re.compile(r"(?P<model>[fm]\d{2})_(?P<pose>[a-z]+)_(?P<letter>[a-z])x(_.*)?", re.IGNORECASE)
LETTERS = {
    "a": "anger",
    "c": "contempt",  # presumed, as n: no file list that shows them was seen
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "p": "surprise",
    "s": "sadness",
}


def load_tfeid(root: Path, split: str = "test", *, size: int = 480, channels: int = 1, seed: int = 0) -> Samples:
    """Read a split: "train", "select", "test" by model (`subjects`), or "all".

    size, channels: of the pixels, cropped about the centre
    seed: of the split by model

    Raises DataError for a picture that names no emotion, or whose name and folder contradict each other.
    """
    wanted = split_names(split)
    faces = list(_faces(root))
    if not faces:
        raise DataError(f"There are no pictures below {root}; TFEID's are called like m13_dfh_px.jpg.")
    read = partial(pictures, size=size, channels=channels)
    return gather("tfeid", split_by_person(faces, wanted, seed), wanted, read, CLASSES)


def _faces(root: Path) -> Iterator[Face[Path]]:
    for path in image_files(root):
        name, folder = NAME.fullmatch(path.stem), canonical(path.parent.name)
        said = {LETTERS.get(name["letter"].lower())} if name else set()
        said |= {folder} & set(CLASSES) if path.parent != root else set()
        if len(said) != 1 or None in said:
            contradiction = f"says {' and '.join(map(str, sorted(said, key=str)))}" if len(said) > 1 else "says nothing"
            raise DataError(
                f"{path} {contradiction} of its emotion; TFEID's pictures are called like m13_dfh_px.jpg or lie in a "
                f"folder called after one of {', '.join(CLASSES)}."
            )
        emotion = CLASSES.index(str(said.pop()))
        if name:
            yield Face(path, path.stem, emotion, subject=name["model"].lower())
        else:
            yield Face(path, path.relative_to(root).as_posix(), emotion)
