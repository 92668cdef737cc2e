"""The data that flows through the library.

Letters: N images, K classes, T targets explained per image, C channels, H x W image, h x w feature map.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import CheckpointError, DataError

Output = Literal["softmax", "sigmoid"]
Tick = Callable[[int, int], None]
"""Told about progress: how many are done, and of how many."""

MAX_SIDE = 1024
"""The largest image side a network may ask for."""

HEALTH = (
    "ok",
    "all zero",
    "constant",
    "no positive evidence",
    "not finite",
    "a single cell",
    "saturated softmax",
)
"""What can be said of a map; `Explanation.health` holds indices into this tuple."""

SATURATED = 0.9999
"""From this confidence on the softmax hardly moves: a probability's gradient is below 1e-4 of the logit's."""


class LazyPixels(Protocol):
    """Pixels that stay on disk until rows of them are asked for."""

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""

    def __getitem__(self, rows: Tensor | slice, /) -> Tensor:
        """Read rows: (n, C, H, W) uint8."""

    def select(self, rows: Tensor, /) -> "LazyPixels":
        """Keep only these rows, still on disk."""


@dataclass(frozen=True)
class Samples:
    """Faces with their labels. Slices, index lists and boolean masks give fewer of them.

    ids: one name a sample, such as "fer2013/PrivateTest/32298"
    pixels: (N, C, H, W) uint8, in memory or read from disk when rows are asked for
    labels: (N,) int64, -1 where unknown
    class_names: K names, in the order of the label ids
    votes: (N, K) float32, each row a distribution over the classes, or None
    evidence: (N, H, W) bool, the pixels that carry the expression (synthetic faces only), or None
    subjects: one name a sample of the person shown, or None
    truth: what is known beside the label (synthetic faces only), one (N,) tensor each: "label" before any planted
        error, "watermark", "duplicate" (bool)
    dropped: how many rows of the source were left out, by reason
    source: the dataset's KIND:PATH ("spec"), split and options, with which the same samples can be read again
    """

    ids: tuple[str, ...]
    pixels: Tensor | LazyPixels
    labels: Tensor
    class_names: tuple[str, ...]
    votes: Tensor | None = None
    evidence: Tensor | None = None
    subjects: tuple[str, ...] | None = None
    truth: Mapping[str, Tensor] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = {"pixels": self.pixels.shape[0], "labels": len(self.labels), "ids": len(self.ids)}
        if len(set(rows.values())) != 1:
            raise DataError(f"Samples need as many ids as pixels and labels, but there are {rows}.")
        if len(set(self.ids)) != len(self.ids):
            twice = next(name for name, count in Counter(self.ids).items() if count > 1)
            raise DataError(f"Samples need ids that differ, but {twice} occurs more than once.")
        if len(self.labels) and not -1 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.class_names):
            low, high = int(self.labels.min()), int(self.labels.max())
            names = ", ".join(self.class_names)
            raise DataError(f"Labels run from {low} to {high}, but the {len(self.class_names)} classes are {names}.")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: int | slice | Tensor | list[int]) -> Self:
        rows = [rows] if isinstance(rows, int) else rows
        chosen = torch.arange(len(self))[rows if isinstance(rows, slice) else _index(rows)]
        pixels = self.pixels[chosen] if isinstance(self.pixels, Tensor) else self.pixels.select(chosen)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in chosen.tolist()),
            pixels=pixels,
            labels=self.labels[chosen],
            votes=None if self.votes is None else self.votes[chosen],
            evidence=None if self.evidence is None else self.evidence[chosen],
            subjects=None if self.subjects is None else tuple(self.subjects[row] for row in chosen.tolist()),
            truth={name: values[chosen] for name, values in self.truth.items()},
        )

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield the pixels in order, at most `size` rows at a time, (n, C, H, W) uint8."""
        for start in range(0, len(self), size):
            yield self.pixels[start : start + size]

    def find(self, ids: tuple[str, ...]) -> Self:
        """Return the samples of these ids, in this order. Raises DataError when one is missing."""
        rows = {name: row for row, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in rows]
        if missing:
            raise DataError(f"{len(missing)} of {len(ids)} samples are not in this dataset, the first is {missing[0]}.")
        return self[[rows[name] for name in ids]]

    def counts(self) -> dict[str, int]:
        """How many samples each class has."""
        found = torch.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return dict(zip(self.class_names, found.tolist(), strict=True))


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
class Classifier:
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


@dataclass(frozen=True)
class Prediction:
    """What a network answered: logits (N, K) float32, with the labels (N,) beside them, -1 where unknown."""

    ids: tuple[str, ...]
    logits: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    output: Output = "softmax"
    threshold: float = 0.5

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def probabilities(self) -> Tensor:
        """(N, K), in 0..1; rows add up to 1 for softmax networks."""
        return self.logits.sigmoid() if self.output == "sigmoid" else self.logits.softmax(dim=1)

    @cached_property
    def predicted(self) -> Tensor:
        """(N,) int64, the most probable class."""
        return self.logits.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """(N,) probability of the predicted class."""
        return self.probabilities.amax(dim=1)

    @cached_property
    def loss(self) -> Tensor:
        """(N,) cross-entropy in nats of the label, NaN where it is unknown."""
        losses = F.cross_entropy(self.logits, self.labels.clamp(min=0), reduction="none")
        return losses.where(self.labels >= 0, torch.nan)

    @cached_property
    def wrong(self) -> Tensor:
        """(N,) bool, True where the label is known and another class was predicted."""
        return (self.labels >= 0) & (self.predicted != self.labels)


@dataclass(frozen=True)
class Footprint:
    """Which pixels a cell of a map stands for.

    Without windows the h x w cells tile the image evenly. With windows, cell (i, j) stands for the pixel rows
    rows[i] = (start, stop) and the pixel columns columns[j], which may overlap.
    """

    rows: tuple[tuple[int, int], ...] = ()
    columns: tuple[tuple[int, int], ...] = ()

    def upsample(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Spread maps (N, T, h, w) over `size` pixels: (N, T, H, W).

        Cells that tile the image are interpolated (bilinear, align_corners=False); each pixel under windows gets the
        mean over the windows that cover it, zero where none does.
        """
        if not self.rows:
            return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        down, across = _cover(self.rows, size[0]).to(maps), _cover(self.columns, size[1]).to(maps)
        covering = down.sum(1)[:, None] * across.sum(1)
        return (down @ maps @ across.T) / covering.clamp(min=1)


def _index(rows: Tensor | list[int]) -> Tensor:
    """Rows as a tensor that indexes, also when there are none."""
    return rows if isinstance(rows, Tensor) else torch.tensor(rows, dtype=torch.int64)


def _cover(windows: tuple[tuple[int, int], ...], length: int) -> Tensor:
    """(length, windows): 1 where a window covers a position."""
    cover = torch.zeros(length, len(windows))
    for window, (start, stop) in enumerate(windows):
        cover[start:stop, window] = 1
    return cover


@dataclass(frozen=True)
class Explanation:
    """Maps of one method for one set of samples.

    maps: (N, T, h, w) float32, raw and signed, at the method's own resolution
    targets: (N, T) int64, the classes explained
    method: {"name": registry name, **options}
    layer: the dotted name of the layer that was read, "" for methods that read none
    input_size: (C, H, W) of the network's input
    class_free: the method's map does not depend on the target
    relative: only differences between places count; a place that does not matter has the mean of the map
    fusion: how the maps of several layers became one, "" where one layer was read
    confidence: (N,) probability of the class that the network predicts, or None where that was not kept
    deviation: how far the maps of the fast, half-precise network lie from the exact ones on the first images: length of
        the difference over length of the exact maps; None for exact maps
    same_as: other methods explained in the same call whose maps are these, up to one positive factor a map
    broken_layer: where a map is not finite, the layer whose output first was not; "gradients" where all were finite
    """

    ids: tuple[str, ...]
    maps: Tensor
    targets: Tensor
    method: Mapping[str, Any]
    layer: str
    input_size: tuple[int, int, int]
    footprint: Footprint = Footprint()
    class_free: bool = False
    relative: bool = False
    fusion: str = ""
    confidence: Tensor | None = None
    deviation: float | None = None
    same_as: tuple[str, ...] = ()
    broken_layer: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def health(self) -> Tensor:
        """(N, T) int8, per map an index into HEALTH: the gravest of what can be said of it."""
        low, high = self.maps.flatten(2).aminmax(dim=2)
        code = torch.zeros_like(low, dtype=torch.int8)
        if self.confidence is not None:
            code[self.confidence > SATURATED] = HEALTH.index("saturated softmax")
        code[high <= 0] = HEALTH.index("no positive evidence")
        code[low == high] = HEALTH.index("a single cell" if self.maps.shape[2:].numel() == 1 else "constant")
        code[(low == 0) & (high == 0)] = HEALTH.index("all zero")
        code[~self.maps.isfinite().flatten(2).all(dim=2)] = HEALTH.index("not finite")
        return code

    def remark(self, row: int, column: int) -> str:
        """What is wrong with a map, in words; "" where nothing is."""
        return self.words(int(self.health[row, column]))

    def words(self, code: int) -> str:
        """What an entry of `health` says; "" for "ok"."""
        found = HEALTH[code]
        where = f" from {self.broken_layer} on" if found == "not finite" and self.broken_layer else ""
        return "" if found == "ok" else found + where

    def upsampled(self) -> Tensor:
        """The maps at the size of the input, (N, T, H, W) float32; see Footprint.upsample."""
        return self.footprint.upsample(self.maps, self.input_size[1:])

    def evidence(self) -> Tensor:
        """What a picture shows, (N, T, H, W): the maps at the size of the input, 0 where a place does not matter."""
        maps = self.upsampled()
        return maps - maps.mean(dim=(2, 3), keepdim=True) if self.relative else maps

    def of(self, rows: Tensor | list[int]) -> Self:
        """The same explanation of fewer samples, in the order of `rows`."""
        chosen = _index(rows)
        ids = tuple(self.ids[row] for row in chosen.tolist())
        sure = None if self.confidence is None else self.confidence[chosen]
        return replace(self, ids=ids, maps=self.maps[chosen], targets=self.targets[chosen], confidence=sure)


@dataclass(frozen=True)
class Run:
    """A run on disk, opened: where it is, what made it, and what it holds (see `inspect_fer.runs`)."""

    folder: Path
    manifest: Mapping[str, Any]
    prediction: Prediction
    explanations: Mapping[str, Explanation]
    metrics: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.prediction)
