"""Any tree of class folders: ROOT/CLASS/... or ROOT/SPLIT/CLASS/..., read lazily."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from inspect_fer.datasets.splits import OTHER_NAMES, ROLES, split_names
from inspect_fer.emotions import canonical
from inspect_fer.errors import DataError, SplitError
from inspect_fer.images import SUFFIXES, ImageFiles, image_files, read_image
from inspect_fer.schema import Samples


def load_folder(
    root: Path,
    split: str = "test",
    *,
    size: int | None = None,
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Samples:
    """Read the pictures below class folders; they stay on disk until they are used.

    size, channels: of the pixels, by default the first picture's
    class_names: the order of the label ids; by default the names of all splits' folders in alphabetical order, as
        `class_names` of the result records. A folder of pictures without class folders is read with unknown labels
        (-1).

    Raises DataError when there are no pictures, no such split, or a folder that is none of `class_names`.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder. Name one that holds a folder for each class.")
    paths = [(path, part) for part, folder in _parts(root, split) for path in image_files(folder)]
    if not paths:
        raise SplitError(f"There are no pictures below {root} ({split}).")
    folders = [_class_folder(path, root / part) for path, part in paths]
    names = _class_names({*folders, *_class_folders(root)}, class_names, root)
    ids = {canonical(name): index for index, name in enumerate(names)}
    return Samples(
        ids=tuple(f"folder/{path.relative_to(root).as_posix()}" for path, _ in paths),
        pixels=ImageFiles([path for path, _ in paths], size=size, channels=channels),
        labels=torch.tensor([-1 if folder is None else ids[canonical(folder)] for folder in folders]),
        class_names=names,
    )


def load_files(paths: Sequence[Path], *, size: int | None = None, channels: int | None = None) -> Samples:
    """Read single pictures, without labels. Raises DataError for one that cannot be read."""
    return Samples(
        ids=tuple(path.as_posix() for path in paths),
        pixels=torch.stack([read_image(path, size=size, channels=channels) for path in paths]),
        labels=torch.full((len(paths),), -1),
        class_names=(),
    )


def _parts(root: Path, split: str) -> list[tuple[str, Path]]:
    """The folders, relative and absolute, that make up the split: those named after it, or the root itself."""
    held: dict[str, str] = {}
    for folder in sorted(path.name for path in root.iterdir() if path.is_dir()):
        role = OTHER_NAMES.get(folder.lower(), folder.lower())
        if role in ROLES:
            held[role] = folder
    if held:
        wanted = split_names(split)
        found = [(held[role], root / held[role]) for role in wanted if role in held]
        if not found or (wanted != ROLES and len(found) < len(wanted)):
            raise SplitError(f"{root} has no split {split!r}; it has {', '.join(held)}.")
        return found
    if split_names(split) not in {("test",), ROLES}:
        raise SplitError(f"{root} is not split. To train on it, make {root}/train, {root}/select and {root}/test.")
    return [("", root)]


def _class_folder(path: Path, top: Path) -> str | None:
    parts = path.relative_to(top).parts
    return parts[0] if len(parts) > 1 else None


def _class_folders(root: Path) -> set[str]:
    """The class folders of every split that hold a picture, so that each split has the same classes."""
    folders = (path for _, top in _parts(root, "all") for path in top.iterdir() if path.is_dir())
    return {path.name for path in folders if any(image.suffix.lower() in SUFFIXES for image in path.rglob("*"))}


def _class_names(folders: Iterable[str | None], given: Sequence[str] | None, root: Path) -> tuple[str, ...]:
    found = sorted({folder for folder in folders if folder is not None})
    spellings = {canonical(folder): folder for folder in found}
    if len(spellings) < len(found):
        twice = next(folder for folder in found if spellings[canonical(folder)] != folder)
        raise DataError(
            f"{root} has two folders for one class: {twice!r} and {spellings[canonical(twice)]!r}. Merge them."
        )
    if given is None:
        return tuple(found)
    strange = [folder for folder in found if canonical(folder) not in {canonical(name) for name in given}]
    if strange:
        raise DataError(f"{root} has a folder {strange[0]!r}, which is none of the classes {', '.join(given)}.")
    return tuple(given)
