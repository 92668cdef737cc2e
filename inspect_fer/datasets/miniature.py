"""Miniatures of every layout that a dataset is found in on disk, with synthetic faces: for tests and smoke runs."""

from collections.abc import Callable
from pathlib import Path

from inspect_fer.datasets.miniature_face import Artist
from inspect_fer.datasets.miniature_lists import (
    write_ckextended,
    write_fer2013,
    write_fer2013_folders,
    write_ferplus,
    write_ferplus_folders,
    write_icml,
)
from inspect_fer.datasets.miniature_trees import (
    write_affectnet,
    write_affectnet_new,
    write_ckplus,
    write_ckplus48,
    write_disfa,
    write_folder,
    write_rafdb,
    write_rafdb_kaggle,
    write_tfeid,
    write_tfeid_folders,
)
from inspect_fer.errors import DataError
from inspect_fer.lookup import lookup

LAYOUTS: dict[str, Callable[[Path, Artist], str]] = {
    "fer2013": write_fer2013,
    "fer2013-icml": write_icml,
    "fer2013-folders": write_fer2013_folders,
    "ferplus": write_ferplus,
    "ferplus-folders": write_ferplus_folders,
    "rafdb": write_rafdb,
    "rafdb-kaggle": write_rafdb_kaggle,
    "ckplus": write_ckplus,
    "ckplus48": write_ckplus48,
    "ckextended": write_ckextended,
    "tfeid": write_tfeid,
    "tfeid-folders": write_tfeid_folders,
    "disfa": write_disfa,
    "affectnet": write_affectnet,
    "affectnet-new": write_affectnet_new,
    "folder": write_folder,
}


def write_miniature(layout: str, root: Path, *, per_class: int = 3, seed: int = 0) -> str:
    """Write a miniature tree of one of LAYOUTS below `root` and return the name, KIND:PATH, that reads it.

    per_class: faces of each class in every list of the publisher; where people are split, so many in `train`
    seed: of the faces

    Every split holds faces. Raises UnknownNameError for another layout, DataError for fewer than two faces a class or a
    folder that is not empty.
    """
    write = lookup(LAYOUTS, layout, "miniature layout")
    if per_class < 2:
        raise DataError(f"A miniature has 2 faces a class or more, so that some can be held out, not {per_class}.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} is there already. A miniature is written into a folder of its own.")
    root.mkdir(parents=True, exist_ok=True)
    return write(root, Artist(per_class, seed))
