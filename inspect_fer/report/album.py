"""The pictures of a report: one file of a face, one strip of its maps, shared by all pages."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.render import enlarge
from inspect_fer.render.sheets import picture

SIDE = 96
"""Faces are stored this high and wide, maps at most so; the browser enlarges them."""
COARSE, FINE = 32, 48
"""Side of the stored tiles of maps of few cells, which are smooth, and of others of the size of a small face."""


def face_bytes(pixels: Tensor) -> bytes:
    """A face (C, H, W) uint8 as WebP."""
    return _webp(enlarge(pixels[None], (SIDE, SIDE))[0].round().byte().numpy())


def strip_bytes(tiles: Sequence[np.ndarray]) -> bytes:
    """Tiles (S, S, 4) uint8 of one size beside one another, each with a border of its own edge, as WebP.

    The border keeps a browser that enlarges one tile from mixing in its neighbour.
    """
    return _webp(np.concatenate([np.pad(tile, ((1, 1), (1, 1), (0, 0)), mode="edge") for tile in tiles], axis=1))


def one_size(tiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Enlarge the smaller of some square tiles to the size of the largest."""
    side = max(map(len, tiles), default=1)
    return [tile if len(tile) == side else np.asarray(picture(tile).resize((side, side))) for tile in tiles]


def tile_side(cells: int) -> int:
    """Side of the tiles that hold maps of so many cells along a side."""
    if cells <= COARSE / 4:
        return COARSE
    return FINE if cells <= FINE else SIDE


def tile_of(evidence: Tensor, side: int) -> Tensor:
    """Maps (N, T, H, W) at the size of a tile."""
    if tuple(evidence.shape[2:]) == (side, side):
        return evidence
    return F.interpolate(evidence.float(), size=(side, side), mode="bilinear", antialias=True)


def place_of(tile: int, count: int, side: int) -> tuple[float, float, float]:
    """Width, left and top of a strip of `count` tiles in percent of a box that shall show this tile alone."""
    whole = side + 2
    return 100 * count * whole / side, -100 * (tile * whole + 1) / side, -100 / side


def _webp(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    quality = 75 if pixels.shape[-1] == 4 else 86  # maps are smooth, and their strength is kept without loss
    picture(pixels).save(buffer, format="webp", quality=quality, method=2)
    return buffer.getvalue()
