"""Picture files to pixels: one place that opens images, with the limits that hostile files call for."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Self

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import DataError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 50_000_000
MODES = {1: "L", 3: "RGB"}
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def read_image(source: Path | IO[bytes], *, size: int | None = None, channels: int | None = None) -> Tensor:
    """Read one picture as (C, H, W) uint8, upright, grey (1 channel) or RGB (3).

    size: crop to a square about the centre and resize to size x size, antialiased; None keeps the picture's own size
    channels: 1, 3, or None for the picture's own

    Raises DataError for what is no picture, is empty, or has more than MAX_PIXELS pixels.
    """
    name = str(source) if isinstance(source, Path) else str(getattr(source, "name", "the file"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(source)
        with picture:
            width, height = picture.size
            if not 0 < width * height <= MAX_PIXELS:
                raise DataError(f"{name} has {width} x {height} pixels; pictures may have 1 to {MAX_PIXELS:,}.")
            return _pixels(ImageOps.exif_transpose(picture), size, channels)
    except BOMBS as problem:
        raise DataError(f"{name} has too many pixels; pictures may have 1 to {MAX_PIXELS:,}.") from problem
    except UnidentifiedImageError as problem:
        raise DataError(f"{name} cannot be read as a picture: it is none, or it is cut short.") from problem
    except (OSError, SyntaxError, ValueError) as problem:  # Pillow raises these for damaged files
        raise DataError(f"{name} cannot be read as a picture: {problem}.") from problem


def _pixels(picture: Image.Image, size: int | None, channels: int | None) -> Tensor:
    if picture.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight
        picture = Image.fromarray((np.asarray(picture, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    grey = picture.mode in {"1", "L", "LA"}
    mode = MODES.get(channels or (1 if grey else 3))
    if mode is None:
        raise DataError(f"Pictures are read with 1 or 3 channels, not {channels}.")
    picture = picture.convert(mode)
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


class ImageFiles:
    """Pictures that stay on disk until rows of them are asked for; shape (N, C, H, W)."""

    def __init__(self, paths: Sequence[Path], *, size: int | None = None, channels: int | None = None) -> None:
        told = None if size is None or channels is None else torch.Size((channels, size, size))
        self._image = told or read_image(paths[0], size=size, channels=channels).shape
        self.paths = tuple(paths)
        self.size, self.channels = size, self._image[0]

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return torch.Size((len(self.paths), *self._image))

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Read rows: (n, C, H, W) uint8. Raises DataError for a file that is unreadable or of another size."""
        chosen = range(len(self.paths))[rows] if isinstance(rows, slice) else torch.as_tensor(rows).tolist()
        if not len(chosen):
            return torch.empty(0, *self._image, dtype=torch.uint8)
        return torch.stack([self._read(self.paths[row]) for row in chosen])

    def _read(self, path: Path) -> Tensor:
        pixels = read_image(path, size=self.size, channels=self.channels)
        if pixels.shape != self._image:
            (_, height, width), (_, first_height, first_width) = pixels.shape, self._image
            raise DataError(
                f"{path} has {width} x {height} pixels, the first picture {first_width} x {first_height}. "
                "Give a size to bring all to one."
            )
        return pixels

    def select(self, rows: Tensor) -> Self:
        """Keep only these rows, still on disk."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"paths": tuple(self.paths[row] for row in rows.tolist())}
        return other


def image_files(folder: Path) -> Iterator[Path]:
    """Every picture below a folder, sorted, hidden files left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    yield from sorted(found)


def fit(pixels: Tensor, *, size: int | None, channels: int | None) -> Tensor:
    """Bring pixels (N, C, H, W) uint8 to size x size (antialiased) and to 1 or 3 channels; None leaves them."""
    if channels == 3 and pixels.shape[1] == 1:
        pixels = pixels.expand(-1, 3, -1, -1)
    elif channels == 1 and pixels.shape[1] == 3:
        weights = torch.tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)  # luma of ITU-R BT.601, as Pillow's "L"
        pixels = (pixels * weights).sum(1, keepdim=True).round().to(torch.uint8)
    elif channels not in {None, pixels.shape[1]}:
        raise DataError(f"Images of {pixels.shape[1]} channels cannot be turned into {channels}.")
    if size is not None and tuple(pixels.shape[2:]) != (size, size):
        pixels = torch.cat([_resized(part, size) for part in pixels.split(1024)])
    return pixels


def _resized(pixels: Tensor, size: int) -> Tensor:
    resized = F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def centre_crop(images: Tensor, side: int) -> Tensor:
    """Cut side x side pixels from the middle of images (N, C, H, W)."""
    top, left = (images.shape[2] - side) // 2, (images.shape[3] - side) // 2
    return images[:, :, top : top + side, left : left + side]


def ten_crops(images: Tensor, side: int) -> Tensor:
    """Cut the four corners and the centre from images (N, C, H, W), then mirror them: (N, 10, C, side, side).

    Krizhevsky et al., NIPS 2012, section 4.1. Float images that are no larger are enlarged by a ninth before.
    """
    if images.shape[-1] <= side:
        images = F.interpolate(images, (round(side * 10 / 9),) * 2, mode="bilinear")
    corners = (images[:, :, rows, columns] for rows in _ends(side) for columns in _ends(side))
    crops = torch.stack([*corners, centre_crop(images, side)], dim=1)
    return torch.cat([crops, crops.flip(-1)], dim=1)


def _ends(side: int) -> tuple[slice, slice]:
    return slice(None, side), slice(-side, None)
