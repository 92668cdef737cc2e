"""Where channels and places lie in what a layer gives: maps, maps with channels last, tokens on a grid of patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from torch import Tensor, nn

from inspect_fer.errors import NetworkError

Size = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """How to read a layer's output.

    axis: the one of the channels
    grid: (h, w) of the places; None for features (N, F), which have none
    leading: so many tokens stand before those of the patches and for no place, such as the class token
    """

    axis: int
    grid: Size | None
    leading: int = 0


def layout_of(network: nn.Module, shape: Sequence[int], size: Size) -> Layout | None:
    """Tell how a layer's output of this shape, (N, ...), is to be read, given images of `size` (H, W); None if unknown.

    Maps (N, C, h, w), or (N, h, w, C) where only these h and w are in the image's proportion; features (N, F); tokens
    (N, n, D), row by row on the grid that the patch embedding cuts, where fewer than that may lead, else on the grid in
    the image's proportion of n or, behind a class token, n - 1.
    """
    if len(shape) == 2:
        return Layout(1, None)
    if len(shape) == 4:
        last = _proportional(shape[1:3], size) and not _proportional(shape[2:4], size)
        return Layout(3, (shape[1], shape[2])) if last else Layout(1, (shape[2], shape[3]))
    if len(shape) != 3:
        return None
    patches = _patches(network, size)
    if patches and 0 <= (leading := shape[1] - patches[0] * patches[1]) < patches[0] * patches[1]:
        return Layout(2, patches, leading)
    grids = {leading: _grid(shape[1] - leading, size) for leading in (0, 1)}
    return next((Layout(2, grid, leading) for leading, grid in grids.items() if grid), None)


def checked_layout(network: nn.Module, layer: str, output: Tensor, images: Tensor) -> Layout:
    """The layout of what a layer gives for images (N, C, H, W). Raises NetworkError where it cannot be known."""
    size, gives = (images.shape[2], images.shape[3]), " x ".join(map(str, output.shape))
    if len(output) != len(images):
        raise NetworkError(
            f"Layer {layer!r} gives {gives} for {len(images)} images, not one row an image (parts of images, perhaps); "
            "name the block around it."
        )
    found = layout_of(network, output.shape, size)
    if found is None:
        raise NetworkError(
            f"Layer {layer!r} gives {gives}: neither maps (N, C, h, w) nor features (N, F), nor tokens (N, n, D) that "
            f"fill a grid of patches of {size[0]} x {size[1]} images; name another layer."
        )
    return found


def as_maps(output: Tensor, layout: Layout) -> Tensor:
    """Lay a layer's output out as maps (N, C, h, w); leading tokens are left out, features (N, F) stay as they are."""
    if output.ndim == 3 and layout.grid:
        maps: Tensor = output[:, layout.leading :].transpose(1, 2).unflatten(2, layout.grid)
        return maps
    return output.movedim(layout.axis, 1)


def _patches(network: nn.Module, size: Size) -> Size | None:
    """The grid that the first convolution cuts the image into, where it is a patch embedding, whose patches touch."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride or max(first.stride) == 1 or first.padding != (0, 0):
        return None
    down, across = first.stride
    return size[0] // down, size[1] // across


def _proportional(grid: Sequence[int], size: Size) -> bool:
    return grid[0] * size[1] == grid[1] * size[0]


def _grid(count: int, size: Size) -> Size | None:
    """The grid of so many cells that is in the image's proportion, or None."""
    h = isqrt(max(0, count) * size[0] // size[1])
    return (h, count // h) if h and count % h == 0 and _proportional((h, count // h), size) else None
