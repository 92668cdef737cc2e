"""RISE, randomised input sampling. Petsiuk, Das and Saenko, BMVC 2018, arXiv:1806.07421."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.errors import ConfigError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_between, check_count, check_fill, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.schema import Classifier, probabilities_of

Score = Literal["probability", "logit"]

DRAWN = 128
"""So many masks are drawn at a time, whatever the memory budget: a seed gives the same masks under each."""


def random_masks(masks: int, cells: int, keep: float, seed: int, size: tuple[int, int]) -> Iterator[Tensor]:
    """Yield the masks (n, H, W) of section 3.2, values 0 to 1, float32, as many at a time as memory allows.

    Each is a grid of cells x cells, 1 with probability `keep`, up-sampled bilinearly to one cell more than the image
    and cut at a random place of its own within a cell.
    """
    generator = torch.Generator().manual_seed(seed)
    cell = [ceil(side / cells) for side in size]
    large = [(cells + 1) * side for side in cell]
    for start in range(0, masks, DRAWN):
        drawn = min(DRAWN, masks - start)
        grids = torch.rand(drawn, 1, cells, cells, generator=generator, dtype=torch.float32) < keep
        shifts = torch.stack([torch.randint(side, (drawn,), generator=generator) for side in cell], dim=1)
        for grid, shift in zip(grids.split(at_once()), shifts.split(at_once()), strict=True):
            smooth = F.interpolate(grid.float(), size=large, mode="bilinear", align_corners=False)
            rows, columns = (shift[:, axis, None] + torch.arange(size[axis]) for axis in (0, 1))
            yield smooth[torch.arange(len(grid))[:, None, None], 0, rows[:, :, None], columns[:, None, :]]


def rise(scores: Tensor, masks: Tensor, keep: float) -> Tensor:
    """Mean of the masks, each weighted by the score that it lets through (eq. 6), over the chance of a pixel.

    scores (N, M, T), masks (M, H, W). Returns (N, T, H, W), in units of the score.
    """
    return torch.einsum("nmt,mhw->nthw", scores, masks) / (len(masks) * keep)


@dataclass(frozen=True)
class Rise:
    """The target's score, expected over random masks that let a pixel through.

    Every pixel gets some score, even one that does not matter; pictures show what it has above or below the mean.

    masks: how many; cells: of a mask's grid, along each side; keep: the chance of a cell to be let through
    score: "probability" as published, or "logit"
    fill: what stands under a mask: 0 as published, a value in network-input units, "mean" of the image, or "blur"
    """

    masks: int = 2000
    cells: int = 7
    keep: float = 0.5
    seed: int = 0
    score: Score = "probability"
    fill: Fill = 0.0

    own_passes: ClassVar[bool] = True
    relative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("RISE", "masks", self.masks)
        check_count("RISE", "cells", self.cells)
        check_count("RISE", "seed", self.seed, least=0)
        check_fill("RISE", self.fill)
        check_between("RISE", "keep", self.keep, 0, 1)
        if self.keep in (0, 1):
            raise ConfigError(f"RISE learns nothing from masks that keep {'all' if self.keep else 'no'} cells.")
        if self.score not in ("probability", "logit"):
            raise ConfigError(f"RISE scores by 'probability' or 'logit', not {self.score!r}.")

    def passes(self, _setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.masks)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), in units of the score."""
        fill, size = filled(images, self.fill), (images.shape[2], images.shape[3])
        maps = images.new_zeros(*targets.shape, *size)
        with leave_no_trace(model.network), torch.no_grad():
            for drawn in random_masks(self.masks, self.cells, self.keep, self.seed, size):
                masks = drawn.to(images)
                for index, (image, under) in enumerate(zip(images, fill, strict=True)):
                    seen = masks[:, None] * image + (1 - masks[:, None]) * under
                    scores = self._scores(model, seen)[:, targets[index].to(images.device)]
                    maps[index] += rise(scores[None], masks, self.keep)[0] * (len(masks) / self.masks)
        return maps

    def _scores(self, model: Classifier, images: Tensor) -> Tensor:
        """(n, K) of these images."""
        logits = logits_of(model.network, images).to(images)
        return logits if self.score == "logit" else probabilities_of(logits, model.card.output)
