"""Several datasets as one."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from inspect_fer.datasets.labels import labelled_as
from inspect_fer.datasets.lazy import one_after_another
from inspect_fer.errors import DataError
from inspect_fer.schema import Samples


def tags(kinds: Sequence[str]) -> list[str]:
    """A name for each part: its kind, with a number from the second of a kind on ("folder", "folder.2")."""
    seen = Counter[str]()
    found = []
    for kind in kinds:
        seen[kind] += 1
        found.append(kind if seen[kind] == 1 else f"{kind}.{seen[kind]}")
    return found


def combined(parts: Sequence[tuple[str, Samples]], class_names: tuple[str, ...]) -> Samples:
    """Put samples after one another, under one order of the classes; each part is known by its tag.

    Ids begin with the tag, and so do subjects and the reasons in `dropped`. Votes, evidence, subjects and planted
    truth are kept where every part has them. Pixels stay on disk where one part's do. Raises DataError for pictures of
    different sizes.
    """
    _require_one_size(parts)
    faces = [(tag, labelled_as(samples, class_names)) for tag, samples in parts]
    only = [samples for _, samples in faces]
    shared = set.intersection(*(set(samples.truth) for samples in only))
    return Samples(
        ids=tuple(f"{tag}/{name.partition('/')[2]}" for tag, samples in faces for name in samples.ids),
        pixels=one_after_another([samples.pixels for samples in only]),
        labels=torch.cat([samples.labels for samples in only]),
        class_names=class_names,
        votes=_joined([samples.votes for samples in only]),
        evidence=_joined([samples.evidence for samples in only]),
        subjects=_subjects(faces),
        truth={name: torch.cat([samples.truth[name] for samples in only]) for name in sorted(shared)},
        dropped={f"{tag}: {reason}": count for tag, samples in faces for reason, count in samples.dropped.items()},
    )


def _require_one_size(parts: Sequence[tuple[str, Samples]]) -> None:
    shapes = {tag: tuple(samples.pixels.shape[1:]) for tag, samples in parts}
    if len(set(shapes.values())) > 1:
        held = ", ".join(f"{tag} {' x '.join(map(str, shape))}" for tag, shape in shapes.items())
        raise DataError(
            f"The datasets hold pictures of different sizes: {held}. Give size and channels for all of them."
        )


def _joined(tensors: Sequence[Tensor | None]) -> Tensor | None:
    held = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(held) if len(held) == len(tensors) else None


def _subjects(faces: Sequence[tuple[str, Samples]]) -> tuple[str, ...] | None:
    if any(samples.subjects is None for _, samples in faces):
        return None
    return tuple(f"{tag}/{name}" for tag, samples in faces for name in samples.subjects or ())
