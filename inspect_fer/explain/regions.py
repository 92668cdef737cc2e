"""Regions of an image that are covered as a whole: a grid of rectangles, the parts of an aligned face, or one's own."""

from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from inspect_fer.errors import ConfigError
from inspect_fer.explain.fills import check_count
from inspect_fer.schema import Footprint

Rectangle: TypeAlias = tuple[str, float, float, float, float]
"""Name, top, left, bottom and right as fractions of the image; one name may have several rectangles."""

Regions: TypeAlias = Literal["grid", "face"] | tuple[Rectangle, ...]

FACE: tuple[Rectangle, ...] = (
    ("forehead", 0.05, 0.15, 0.24, 0.85),
    ("brows", 0.24, 0.10, 0.34, 0.90),
    ("eyes", 0.34, 0.10, 0.48, 0.90),
    ("nose", 0.48, 0.35, 0.66, 0.65),
    ("left cheek", 0.48, 0.08, 0.74, 0.35),
    ("right cheek", 0.48, 0.65, 0.74, 0.92),
    ("mouth", 0.66, 0.26, 0.88, 0.74),
    ("chin", 0.88, 0.26, 1.00, 0.74),
)
"""Parts of a frontal face whose crop ends at the chin, as in FER2013 and RAF-DB; left and right as seen in the picture.

Fixed fractions fit aligned faces, and those approximately: a turned or tilted head is elsewhere."""

BACKGROUND = "background"


def check_regions(method: str, regions: Regions, rows: int, columns: int) -> None:
    """Raise ConfigError for regions that are neither "grid", "face" nor rectangles within the image."""
    check_count(method, "rows", rows)
    check_count(method, "columns", columns)
    if isinstance(regions, str) and regions in ("grid", "face"):
        return
    if not isinstance(regions, tuple) or not regions or not all(map(_is_rectangle, regions)):
        raise ConfigError(
            f"{method} takes the regions 'grid', 'face', or a tuple of tuples (name, top, left, bottom, right) in "
            f"fractions of the image, not {regions!r}."
        )
    if any(name == BACKGROUND for name, *_ in regions):
        raise ConfigError(f"{method} calls {BACKGROUND!r} what no rectangle holds; give the region another name.")


def _is_rectangle(entry: object) -> bool:
    if not isinstance(entry, tuple):
        return False
    match entry:
        case (
            str(),
            int() | float() as top,
            int() | float() as left,
            int() | float() as bottom,
            int() | float() as right,
        ):
            return 0 <= top < bottom <= 1 and 0 <= left < right <= 1
    return False


def region_names(regions: Regions, rows: int, columns: int) -> tuple[str, ...]:
    """The names of the regions, in the order of their masks."""
    if regions == "grid":
        return tuple(f"row {row + 1}, column {column + 1}" for row in range(rows) for column in range(columns))
    return (*dict.fromkeys(name for name, *_ in rectangles(regions)), BACKGROUND)


def rectangles(regions: Regions) -> tuple[Rectangle, ...]:
    """The rectangles of regions that are not a grid."""
    return regions if isinstance(regions, tuple) else FACE


def region_masks(regions: Regions, rows: int, columns: int, size: tuple[int, int]) -> Tensor:
    """Masks (R, H, W) bool, each pixel in one: the first rectangle that holds it, else the background.

    Raises ConfigError for a grid, or a rectangle of one's own, finer than the pixels.
    """
    if regions == "grid":
        return _grid_masks(grid_footprint(rows, columns, size), size)
    names = region_names(regions, rows, columns)
    owner = torch.full(size, len(names) - 1)
    for name, *sides in reversed(rectangles(regions)):
        top, left, bottom, right = (round(side * size[axis % 2]) for axis, side in enumerate(sides))
        if isinstance(regions, tuple) and (top == bottom or left == right):
            raise ConfigError(
                f"The region {name!r} holds none of the {size[0]} x {size[1]} pixels of the image; make it larger than "
                f"{1 / size[0]:.3f} of the height and {1 / size[1]:.3f} of the width."
            )
        owner[top:bottom, left:right] = names.index(name)
    return owner == torch.arange(len(names))[:, None, None]


def grid_footprint(rows: int, columns: int, size: tuple[int, int]) -> Footprint:
    """Rectangles that share an image evenly. Raises ConfigError where they would be finer than its pixels."""
    if rows > size[0] or columns > size[1]:
        raise ConfigError(
            f"A grid of {rows} x {columns} is finer than the {size[0]} x {size[1]} pixels of the image; give at most "
            f"{size[0]} rows and {size[1]} columns."
        )
    return Footprint(_shares(rows, size[0]), _shares(columns, size[1]))


def footprint_of(regions: Regions, rows: int, columns: int, input_size: tuple[int, int, int]) -> Footprint:
    """The rectangles of a grid; maps of other regions have a cell per pixel. Raises what region_masks raises."""
    size = input_size[1:]
    if regions == "grid":
        return grid_footprint(rows, columns, size)
    region_masks(regions, rows, columns, size)
    return Footprint()


def _shares(parts: int, length: int) -> tuple[tuple[int, int], ...]:
    edges = [part * length // parts for part in range(parts + 1)]
    return tuple(pairwise(edges))


def _grid_masks(places: Footprint, size: tuple[int, int]) -> Tensor:
    down, across = inside(places.rows, size[0]), inside(places.columns, size[1])
    return (down[:, None, :, None] & across[None, :, None, :]).flatten(0, 1)


def inside(spans: tuple[tuple[int, int], ...], length: int, device: torch.device | None = None) -> Tensor:
    """(spans, length) bool, True where a span (start, stop) covers a position."""
    bounds, positions = torch.tensor(spans, device=device), torch.arange(length, device=device)
    return (bounds[:, :1] <= positions) & (positions < bounds[:, 1:])


def spread(values: Tensor, masks: Tensor) -> Tensor:
    """Give each pixel the mean of the values (N, T, R) of the masks (R, H, W) that hold it: (N, T, H, W)."""
    held = masks.to(values)
    return torch.einsum("ntr,rhw->nthw", values, held) / held.sum(dim=0).clamp(min=1)


def as_maps(values: Tensor, regions: Regions, masks: Tensor, rows: int) -> Tensor:
    """Maps of values (N, T, R): (N, T, rows, columns) of a grid, else (N, T, H, W), each pixel with its region's."""
    return values.unflatten(2, (rows, -1)) if regions == "grid" else spread(values, masks)
