"""What a network is, and how it wants its input."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from types import NoneType
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from inspect_fer.errors import CheckpointError, DataError
from inspect_fer.schema.shown import Shown

Output = Literal["softmax", "sigmoid"]

MAX_SIDE = 1024
"""The largest image side a network may ask for."""


@dataclass(frozen=True)
class ModelCard:
    """What a network is and what it expects; it travels in the checkpoint.

    input_size: (C, H, W); mean, std: one value a channel, of pixels scaled to 0..1
    output: "softmax", or "sigmoid" with its `threshold` on the probability for networks trained on votes
    read_size: side at which pictures are read before their centre is cut to input_size; 0 where that is the same
    cam_layer: dotted name of the layer that CAM methods read, "" when the network has none
    scores: per split, per score name; history: one entry an epoch of the training
    """

    architecture: str
    class_names: tuple[str, ...]
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cam_layer: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    output: Output = "softmax"
    threshold: float = 0.5
    dataset: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()
    note: str = ""
    licence: str = ""
    date: str = ""
    read_size: int = 0

    def __post_init__(self) -> None:
        names, size = self.class_names, self.input_size
        if not names or len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"Class names must be words that differ, not {list(names)}.")
        if len(size) != 3 or not all(type(side) is int and 0 < side <= MAX_SIDE for side in size):
            raise CheckpointError(f"The input size is (channels, height, width) of 1 to {MAX_SIDE}, not {list(size)}.")
        if type(self.read_size) is not int or (self.read_size and not max(size[1:]) <= self.read_size <= MAX_SIDE):
            raise CheckpointError(f"The read size is 0 or from {max(size[1:])} to {MAX_SIDE}, not {self.read_size!r}.")
        numbers = all(_is_number(value) for value in (*self.mean, *self.std, self.threshold))
        if not numbers or len(self.mean) != size[0] or len(self.std) != size[0] or min(self.std) <= 0:
            raise CheckpointError(
                f"A network of {size[0]} channels needs {size[0]} means and as many positive standard deviations, "
                f"not {list(self.mean)} and {list(self.std)}."
            )
        if self.output not in {"softmax", "sigmoid"} or not 0 <= self.threshold <= 1:
            raise CheckpointError(
                f"A network's output is softmax or sigmoid with a threshold of 0 to 1, not {self.output!r} with "
                f"{self.threshold}."
            )

    def scale(self, pixels: Tensor) -> Tensor:
        """Turn pixels (N, C, H, W) uint8 of any height and width into float32 by mean and std, where they lie."""
        mean, std = (torch.tensor(values, device=pixels.device).view(-1, 1, 1) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a card from plain values. Raises CheckpointError for missing, unknown or ill-typed entries."""
        if not isinstance(values, Mapping):
            raise CheckpointError(f"A model card is a table of entries, not {values!r}.")
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise CheckpointError(f"A model card has no entry {unknown[0]!r}. It knows: {', '.join(sorted(known))}.")
        for kind, names in _CARD_KINDS.items():
            wrong = [name for name in names if name in values and not isinstance(values[name], kind)]
            if wrong:
                raise CheckpointError(f"The model card's {wrong[0]} is of the wrong kind: {values[wrong[0]]!r}.")
        tuples = {
            name: tuple(values[name])
            for name in ("class_names", "input_size", "mean", "std", "history")
            if name in values
        }
        try:
            return cls(**{**values, **tuples})
        except TypeError as problem:
            needed = [entry.name for entry in fields(cls) if entry.default is entry.default_factory is MISSING]
            lacking = ", ".join(name for name in needed if name not in values)
            raise CheckpointError(f"The model card is incomplete; it lacks {lacking or problem}.") from problem


_CARD_KINDS: dict[type | tuple[type, ...], tuple[str, ...]] = {
    str: ("architecture", "cam_layer", "output", "dataset", "note", "licence", "date"),
    (list, tuple): ("class_names", "input_size", "mean", "std", "history"),
    Mapping: ("options", "recipe", "scores"),
    (int, NoneType): ("seed",),
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


@dataclass(frozen=True)
class Classifier(Shown):
    """A network with its card: input (N, C, H, W) float -> logits (N, K).

    origin: the name or path it came from, or ""
    """

    network: nn.Module
    card: ModelCard
    origin: str = ""

    @property
    def device(self) -> torch.device:
        """Where the network's weights lie."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn pixels (N, C, H, W) uint8 into network input of the same shape, float32, on the network's device.

        Raises DataError where the channels or the size are not the network's.
        """
        if tuple(pixels.shape[1:]) != self.card.input_size:
            wanted, given = " x ".join(map(str, self.card.input_size)), " x ".join(map(str, pixels.shape[1:]))
            raise DataError(
                f"The network takes images of {wanted} (channels, height, width), these are {given}. "
                f"Read them with size={self.card.input_size[1]} and channels={self.card.input_size[0]}."
            )
        return self.card.scale(pixels.to(self.device))
