"""Which classes to explain: what the user says, as ids (N, T)."""

import reprlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

import torch
from torch import Tensor

from inspect_fer.emotions import relabelling
from inspect_fer.errors import TargetError
from inspect_fer.lookup import no_such_name

Targets: TypeAlias = str | int | Sequence[int | str] | Tensor
""" "predicted", "label", "all", a class by id or name for every image, one an image (N,), or several (N, T)."""

WORDS = ("predicted", "label", "all")


def resolve_targets(targets: Targets, labels: Tensor, classes: int, names: Sequence[str] = ()) -> Tensor | None:
    """Class ids (N, T) int64, or None for "predicted", which the logits will tell.

    labels: (N,), -1 where unknown; names: of the classes, in their order. Raises TargetError for a word, a number of
    classes, an id or a type that does not fit N images and K classes, and for unknown labels.
    """
    if isinstance(targets, str) and (targets in WORDS or relabelling([targets], names)[0] < 0):
        return _of_word(targets, labels, classes, names)
    possible = (
        f"Give 'predicted', 'label', 'all', a class by name or by id (0 to {classes - 1}), or one for each of the "
        f"{len(labels)} images, or a row of several for each."
    )
    ids = _as_ids(_numbered(targets, names), possible)
    if ids.ndim == 0:
        ids = ids.expand(len(labels))
    if ids.ndim not in (1, 2) or len(ids) != len(labels) or not ids.numel():
        given = " x ".join(map(str, ids.shape)) if ids.numel() != 0 or ids.ndim > 1 else "none"
        raise TargetError(
            f"{len(labels)} images need {len(labels)} targets, or as many rows of them, not {given}. {possible}"
        )
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= classes:
        raise TargetError(
            f"There is no class {low if low < 0 else high}: the {classes} classes are 0 to {classes - 1}."
        )
    return ids.reshape(len(labels), -1)


def predicted(logits: Tensor) -> Tensor:
    """The most probable class of each row of logits (N, K), as targets (N, 1)."""
    return logits.argmax(dim=1, keepdim=True)


def _of_word(word: str, labels: Tensor, classes: int, names: Sequence[str]) -> Tensor | None:
    if word not in WORDS:
        raise TargetError(
            f"{no_such_name(word, (*WORDS, *names), 'target')} Class ids (int) and tensors of them do as well."
        )
    if word == "all":
        return torch.arange(classes).expand(len(labels), classes)
    if word == "label" and (labels < 0).any():
        unknown = int((labels < 0).sum())
        raise TargetError(f"{unknown} of {len(labels)} images have no label to explain; use 'predicted' or class ids.")
    return labels[:, None] if word == "label" else None


def _numbered(targets: Any, names: Sequence[str]) -> Any:
    """The same with class names as ids, in sequences of sequences too. Raises TargetError for a name that is none."""
    if isinstance(targets, str):
        if (found := relabelling([targets], names)[0]) < 0:
            raise TargetError(f"{no_such_name(targets, names, 'class')} Class ids (int) do as well.")
        return found
    return [_numbered(each, names) for each in targets] if isinstance(targets, Sequence) else targets


def _as_ids(targets: Any, possible: str) -> Tensor:
    """A tensor of whole numbers, or TargetError that says what is possible."""
    try:
        whole = isinstance(targets, Integral) and not isinstance(targets, bool)
        ids = torch.as_tensor(int(targets) if whole else targets)
    except (TypeError, ValueError, RuntimeError) as problem:
        given = " ".join(reprlib.repr(targets).split())
        raise TargetError(f"Targets are classes, as many for each image, not {given}. {possible}") from problem
    if not ids.numel():
        return ids.to("cpu", torch.int64)
    if ids.dtype == torch.bool or ids.is_floating_point() or ids.is_complex():
        kind = "yes and no" if ids.dtype == torch.bool else "broken numbers"
        raise TargetError(f"Targets are classes; these are {kind} ({ids.dtype}). {possible}")
    return ids.detach().to("cpu", torch.int64)
