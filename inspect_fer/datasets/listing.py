"""What most datasets are on disk: pictures somewhere, and a list of what is known of each."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch

from inspect_fer.datasets.splits import ROLES, by_subject
from inspect_fer.errors import DataError, SplitError
from inspect_fer.images import ImageFiles
from inspect_fer.schema import LazyPixels, Samples

Entry = TypeVar("Entry")

UNLISTED = "picture that the list leaves out"
"""Why a picture is dropped that lies with the others; a list that ends too early leaves many of them."""


class Face(NamedTuple, Generic[Entry]):
    """One row of a dataset before it is read.

    entry: where its pixels are; name: the last part of its id; label: -1 where unknown; subject: the person shown
    dropped: why the row is left out, "" where it is kept
    """

    entry: Entry
    name: str
    label: int
    split: str = "all"
    subject: str | None = None
    dropped: str = ""


def gather(
    kind: str,
    faces: Iterable[Face[Entry]],
    wanted: Sequence[str],
    pixels: Callable[[Sequence[Entry]], LazyPixels],
    class_names: tuple[str, ...],
) -> Samples:
    """The faces of the wanted splits as samples that stay on disk, with the ids KIND/SPLIT/NAME.

    Raises DataError where there are none. Warns of pictures that the list leaves out.
    """
    asked = [face for face in faces if face.split in {*wanted, "all"}]
    chosen = [face for face in asked if not face.dropped]
    if not chosen:
        raise SplitError(f"This {kind} has no faces of the split {' or '.join(wanted)}.")
    subjects = tuple(face.subject for face in chosen if face.subject is not None)
    dropped = Counter(face.dropped for face in asked if face.dropped)
    if dropped[UNLISTED]:
        words = (
            f"{dropped[UNLISTED]} of {len(asked)} pictures of this {kind} are in no row of its list; was it cut short?"
        )
        warnings.warn(words, UserWarning, stacklevel=2)
    return Samples(
        ids=tuple(f"{kind}/{face.split}/{face.name}" for face in chosen),
        pixels=pixels([face.entry for face in chosen]),
        labels=torch.tensor([face.label for face in chosen]),
        class_names=class_names,
        subjects=subjects if len(subjects) == len(chosen) else None,
        dropped=+dropped,
    )


def split_by_person(faces: Sequence[Face[Entry]], wanted: Sequence[str], seed: int) -> list[Face[Entry]]:
    """Give every face the split of the person it shows, drawn from all who are shown in a row that is kept.

    All splits together can be had without knowing three people. Raises DataError for one split in that case.
    """
    people = {face.subject for face in faces if not face.dropped}
    if set(wanted) == set(ROLES) and (None in people or len(people) < 3):
        return list(faces)
    if None in people:
        unnamed = next(face.entry for face in faces if face.subject is None)
        raise SplitError(f"{unnamed} does not say whom it shows, so there is no split by person. Ask for split 'all'.")
    roles = by_subject((str(person) for person in people), seed=seed)
    return [face._replace(split=roles.get(str(face.subject), "train")) for face in faces]


def counts_of(faces: Iterable[Face[Entry]], class_names: Sequence[str]) -> dict[str, int]:
    """How many rows of each class are kept."""
    found = Counter(face.label for face in faces if not face.dropped)
    return {name: found[index] for index, name in enumerate(class_names)}


def pictures(paths: Sequence[Path], *, size: int | None, channels: int | None) -> ImageFiles:
    """Picture files, read when rows are asked for. Raises DataError at once where some are missing."""
    require(paths)
    return ImageFiles(paths, size=size, channels=channels)


def require(paths: Sequence[Path]) -> None:
    """Raise DataError where some of the pictures that a list names are not there."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(paths)} pictures are not there, the first is {missing[0]}.")


def below(root: Path, place: str) -> Path | None:
    """The file or folder of that relative path in `root` or up to two folders further down, None without one."""
    return next((path for levels in ("", "*/", "*/*/") for path in sorted(root.glob(levels + place))), None)
