"""Maps that explain answers, and what can be said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.schema.samples import index
from inspect_fer.schema.shown import Shown

HEALTH = (
    "ok",
    "all zero",
    "constant",
    "no positive evidence",
    "not finite",
    "a single cell",
    "saturated softmax",
    "sign turned",
)
"""What can be said of a map; `Explanation.health` holds indices into this tuple."""

SATURATED = 0.9999
"""From this confidence on the softmax hardly moves: a probability's gradient is below 1e-4 of the logit's."""

FULL = 0.99
"""In pictures of maps as fine as the image full colour starts here: one peak would leave all other pixels blank."""


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


def _cover(windows: tuple[tuple[int, int], ...], length: int) -> Tensor:
    """(length, windows): 1 where a window covers a position."""
    cover = torch.zeros(length, len(windows))
    for window, (start, stop) in enumerate(windows):
        cover[start:stop, window] = 1
    return cover


@dataclass(frozen=True)
class Explanation(Shown):
    """Maps of one method for one set of samples.

    maps: (N, T, h, w) float32, raw and signed, at the method's own resolution
    targets: (N, T) int64, the classes explained
    method: {"name": registry name, **options}
    layer: the dotted name of the layer that was read, "" for methods that read none
    input_size: (C, H, W) of the network's input
    class_free: the method's map does not depend on the target
    relative: only differences between places count; a place that does not matter has the mean of the map
    fusion: how the maps of several layers became one, "" where one layer was read
    turned: (N, T) bool, where the method divided by a negative score, so that the map shows with a plus what speaks
        against the class; None for methods that do not divide by a score
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
    turned: Tensor | None = None
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
        if self.turned is not None:
            code[self.turned] = HEALTH.index("sign turned")
        code[low == high] = HEALTH.index("constant")
        code[(low == 0) & (high == 0)] = HEALTH.index("all zero")
        if self.maps.shape[2:].numel() == 1:  # then whatever it holds says nothing of places
            code[:] = HEALTH.index("a single cell")
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

    def centred(self) -> Tensor:
        """The maps at the size of the input, (N, T, H, W), 0 where a place does not matter."""
        maps = self.upsampled()
        return maps - maps.mean(dim=(2, 3), keepdim=True) if self.relative else maps

    @property
    def fine(self) -> bool:
        """Whether each pixel has a value of its own; fused maps are coarse ones made large."""
        return tuple(self.maps.shape[2:]) == self.input_size[1:] and not self.fusion

    def evidence(self) -> Tensor:
        """What a picture shows, (N, T, H, W): `centred`, of fine maps up to the 99th percentile of each map's size."""
        return _bounded(self.centred()) if self.fine else self.centred()

    def only(self, columns: list[int]) -> Self:
        """The same explanation of fewer classes: those that stand in these columns of `targets`."""
        turned = None if self.turned is None else self.turned[:, columns]
        return replace(self, maps=self.maps[:, columns], targets=self.targets[:, columns], turned=turned)

    def of(self, rows: Tensor | list[int]) -> Self:
        """The same explanation of fewer samples, in the order of `rows`."""
        chosen = index(rows)
        ids = tuple(self.ids[row] for row in chosen.tolist())
        sure, turned = (None if each is None else each[chosen] for each in (self.confidence, self.turned))
        maps, targets = self.maps[chosen], self.targets[chosen]
        return replace(self, ids=ids, maps=maps, targets=targets, confidence=sure, turned=turned)


def _bounded(maps: Tensor) -> Tensor:
    """Maps (N, T, H, W) whose |values| end where the share FULL of them does.

    As they are where that would be zero, and where not all values are finite.
    """
    sizes = maps.abs().flatten(2)
    limit = sizes.kthvalue(ceil(FULL * sizes.shape[2]), dim=2).values
    limit = limit.where((limit > 0) & sizes.isfinite().all(dim=2), torch.inf)[:, :, None, None]
    return maps.clamp(-limit, limit)
