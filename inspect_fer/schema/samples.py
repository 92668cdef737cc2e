"""Images with what is known of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from inspect_fer.errors import DataError
from inspect_fer.schema.shown import Shown


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
class Samples(Shown):
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
        chosen = torch.arange(len(self))[rows if isinstance(rows, slice) else index(rows)]
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


def index(rows: Tensor | list[int]) -> Tensor:
    """Rows as a tensor that indexes, also when there are none."""
    return rows if isinstance(rows, Tensor) else torch.tensor(rows, dtype=torch.int64)
