"""Pixels that stay where they are until rows of them are asked for: crops, video frames, several datasets in a row."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from inspect_fer.errors import DataError
from inspect_fer.images import centre_crop, fit, read_image
from inspect_fer.schema import LazyPixels

Entry = TypeVar("Entry")
Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


class LazyRows(Generic[Entry]):
    """Pixels of shape (N, C, H, W): an entry a row, and a function that reads some entries, (n, C, H, W) uint8."""

    def __init__(
        self, entries: Sequence[Entry], read: Callable[[Sequence[Entry]], Tensor], image: torch.Size | None = None
    ) -> None:
        self.entries, self.read = tuple(entries), read
        self._image = read(self.entries[:1]).shape[1:] if image is None else image

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return torch.Size((len(self.entries), *self._image))

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Read rows: (n, C, H, W) uint8. Raises DataError for what cannot be read."""
        chosen = self.entries[rows] if isinstance(rows, slice) else self._chosen(rows)
        return self.read(chosen) if chosen else torch.empty(0, *self._image, dtype=torch.uint8)

    def select(self, rows: Tensor) -> "LazyRows[Entry]":
        """Keep only these rows, still unread."""
        return LazyRows(self._chosen(rows), self.read, self._image)

    def _chosen(self, rows: Tensor) -> tuple[Entry, ...]:
        return tuple(self.entries[row] for row in torch.as_tensor(rows).tolist())


def fitted(pixels: Tensor | LazyPixels, *, size: int | None, channels: int | None) -> Tensor | LazyPixels:
    """The same pictures at another size or number of channels; those on disk are brought to it as they are read."""
    if isinstance(pixels, Tensor):
        return fit(pixels, size=size, channels=channels)
    count, *held = pixels.shape
    wanted = torch.Size((channels or held[0], size or held[1], size or held[2]))
    read = partial(_read_fitted, pixels, size=size, channels=channels)
    return pixels if wanted == torch.Size(held) else LazyRows(range(count), read, wanted)


def _read_fitted(pixels: LazyPixels, rows: Sequence[int], *, size: int | None, channels: int | None) -> Tensor:
    return fit(pixels[torch.tensor(rows)], size=size, channels=channels)


def centred(pixels: Tensor | LazyPixels, side: int) -> Tensor | LazyPixels:
    """The middle of the same pictures, side x side; those on disk are cut as they are read."""
    if isinstance(pixels, Tensor):
        return centre_crop(pixels, side)
    count, channels, *_ = pixels.shape
    return LazyRows(range(count), partial(_read_centred, pixels, side=side), torch.Size((channels, side, side)))


def _read_centred(pixels: LazyPixels, rows: Sequence[int], *, side: int) -> Tensor:
    return centre_crop(pixels[torch.tensor(rows)], side)


def one_after_another(parts: Sequence[Tensor | LazyPixels]) -> Tensor | LazyPixels:
    """The pictures of several datasets in a row, in memory where all of them are. They must be of one size."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        return torch.cat(tensors)
    places = [(part, row) for part, pixels in enumerate(parts) for row in range(pixels.shape[0])]
    return LazyRows(places, partial(_read_places, parts), torch.Size(parts[0].shape[1:]))


def _read_places(parts: Sequence[Tensor | LazyPixels], places: Sequence[tuple[int, int]]) -> Tensor:
    """Read each part once, whatever the order of the places."""
    asked = defaultdict(list)
    for row, (part, place) in enumerate(places):
        asked[part].append((row, place))
    found = torch.empty(len(places), *parts[0].shape[1:], dtype=torch.uint8)
    for part, pairs in asked.items():
        rows, wanted = torch.tensor(pairs).unbind(1)
        found[rows] = parts[part][wanted]
    return found


def read_crops(entries: Sequence[tuple[Path, Box]], *, size: int, channels: int) -> Tensor:
    """Read the part of each picture that its box encloses, (n, channels, size, size) uint8."""
    return torch.cat([_read_crop(path, box, size, channels) for path, box in entries])


def _read_crop(path: Path, box: Box, size: int, channels: int) -> Tensor:
    pixels = read_image(path, channels=channels)
    left, top, right, bottom = (round(edge) for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    face = pixels[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not face.numel():
        across, down = pixels.shape[2], pixels.shape[1]
        raise DataError(
            f"{path} has {across} x {down} pixels; its face box {left}..{right}, {top}..{bottom} is outside."
        )
    return fit(square(face[None]), size=size, channels=None)


def square(pixels: Tensor) -> Tensor:
    """The largest square about the centre of pixels (N, C, H, W)."""
    return centre_crop(pixels, min(pixels.shape[2:]))
