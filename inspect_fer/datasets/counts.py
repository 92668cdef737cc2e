"""How many faces of each class every split of a dataset holds. Labels are read for it, pictures are not."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from inspect_fer.datasets import DATASETS, options_of, viewed
from inspect_fer.datasets.spec import Part, overlap, own_options, played, split_spec
from inspect_fer.datasets.splits import ROLES
from inspect_fer.datasets.synthetic import list_synthetic
from inspect_fer.emotions import relabelling
from inspect_fer.errors import DataError, SplitError
from inspect_fer.schema import Samples

LISTS: dict[str, Callable[..., Samples]] = {**DATASETS, "synthetic": list_synthetic}
"""What reads a dataset without its pictures: most leave them on disk, FER2013 maps them from the cache."""
MANY = 100_000
"""Where more files lie, finding the labels of all takes longer than what they are counted for."""


class Counts(NamedTuple):
    """How many faces of a split have each class as their label, and how many have none or another."""

    classes: Mapping[str, int]
    unlabelled: int = 0
    own: bool = False
    """Whether it is (a part of) the split that was asked for."""

    @property
    def total(self) -> int:
        """All faces."""
        return sum(self.classes.values()) + self.unlabelled


def count_labels(labels: torch.Tensor, class_names: Sequence[str], *, own: bool = False) -> Counts:
    """Count labels (N,), -1 where there is none."""
    found = torch.bincount(labels + 1, minlength=len(class_names) + 1).tolist()
    return Counts(dict(zip(class_names, found[1:], strict=True)), found[0], own)


def split_counts(spec: str, split: str, class_names: Sequence[str], **options: Any) -> dict[str, Counts]:
    """Count the labels of every split of a dataset, by the split's own name, or where datasets are joined by its role.

    spec, split, options: as for `samples`; those whose split it is are marked as `own`
    class_names: the classes to count, matched by canonical name

    A split that does not exist is left out. Raises DataError where the dataset cannot be read, or is spread over more
    than MANY files.
    """
    parts = split_spec(spec, DATASETS)
    chosen = options_of(parts, options)
    for part in parts:
        _require_few(part)
    found = {}
    for role in ROLES:
        held = [one for part, own in zip(parts, chosen, strict=True) for one in _listed(part, role, own)]
        if held:
            table = torch.cat([_as(faces, class_names) for faces in held])
            asked = (overlap(played(split, own) or "", played(role, own) or "") for own in chosen)
            name = _name(held[0], role, chosen[0]) if len(parts) == 1 else role
            found[name] = count_labels(table, class_names, own=any(asked))
    return found


def _listed(part: Part, role: str, chosen: Mapping[str, Any]) -> Iterator[Samples]:
    """The samples of one dataset that play a role, if there are any."""
    known, own = own_options(DATASETS[part.kind]), played(role, chosen)
    if own is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # who read the faces was told
        try:
            found = LISTS[part.kind](part.place, own, **{name: chosen[name] for name in chosen if name in known})
            found = viewed(found, chosen["classes"]) if "classes" in chosen else found
        except SplitError:
            return
    if len(found):
        yield found


def _as(faces: Samples, class_names: Sequence[str]) -> torch.Tensor:
    """Labels (N,) as ids of these classes, -1 for others."""
    return torch.tensor([*relabelling(faces.class_names, class_names), -1])[faces.labels]


def _name(faces: Samples, role: str, chosen: Mapping[str, Any]) -> str:
    """What the dataset calls a split, as its ids have it, else what it is for."""
    if role in chosen:
        return f"{role} ({chosen[role]})"
    names = {name.split("/")[1] for name in faces.ids}
    return next((name for name in names if len(names) == 1 and overlap(name, role)), role)


def _require_few(part: Part) -> None:
    if isinstance(part.place, Path):
        files = (name for _, _, names in os.walk(part.place) for name in names)
        if next(islice(files, MANY, None), None) is not None:
            raise DataError(f"{part.place} holds more than {MANY:,} files, whose labels are not counted.")
