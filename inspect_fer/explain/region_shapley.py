"""Exact Shapley values of regions. Shapley, 1953; of an input Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874."""

from dataclasses import dataclass
from math import factorial
from typing import ClassVar

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace
from inspect_fer.errors import ConfigError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_fill, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.region_occlusion import logits_without, of_targets
from inspect_fer.explain.regions import Regions, as_maps, check_regions, footprint_of, region_masks, region_names
from inspect_fer.schema import Classifier, Footprint

MOST = 10
"""With that many regions there are 1,024 subsets; each further one doubles them."""


def subsets(players: int) -> Tensor:
    """Every subset of that many players, (2^R, R) bool; subset s holds player i where bit i of s is set."""
    return (torch.arange(2**players)[:, None] >> torch.arange(players)) & 1 == 1


def shapley_values(worth: Tensor) -> Tensor:
    """Share what all players reach together: phi_i = sum over S without i of |S|! (R-|S|-1)! / R! (v(S+i) - v(S)).

    worth (N, 2^R, K) of each subset in the order of `subsets`. Returns (N, K, R); the sum over players is v(all) - v().
    """
    players = worth.shape[1].bit_length() - 1
    held = subsets(players).to(worth.device)
    sizes = held.sum(dim=1).tolist()
    joins = [factorial(size - 1) * factorial(players - size) / factorial(players) if size else 0.0 for size in sizes]
    lacks = [
        factorial(size) * factorial(players - size - 1) / factorial(players) if size < players else 0.0
        for size in sizes
    ]
    gain, loss = (worth.new_tensor(each)[:, None] for each in (joins, lacks))
    return torch.einsum("sr,nsk->nkr", torch.where(held, gain, -loss), worth)


@dataclass(frozen=True)
class RegionShapley:
    """How much of the target's logit each region brings in, exact: over every subset of the regions.

    The values of an image's regions add up to its logit less that of the image wholly covered. R regions take 2^R
    passes for all classes, so there are at most ten.

    regions: "grid" of rows x columns, "face" (parts of an aligned face, approximate), or a tuple of rectangles
        (name, top, left, bottom, right) in fractions of the image, of which a pixel belongs to the first that holds it
    rows, columns: of the grid
    fill: what stands where a region is absent: a value in network-input units, "mean" of the image, or "blur"
    """

    regions: Regions = "face"
    rows: int = 3
    columns: int = 3
    fill: Fill = 0.0

    own_passes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_regions("Region Shapley", self.regions, self.rows, self.columns)
        check_fill("Region Shapley", self.fill)
        if (count := len(region_names(self.regions, self.rows, self.columns))) > MOST:
            raise ConfigError(f"Region Shapley takes at most {MOST} regions, background included, not {count}.")

    def footprint(self, input_size: tuple[int, int, int]) -> Footprint:
        """The rectangles of a grid; maps of other regions have a cell per pixel. Raises ConfigError."""
        return footprint_of(self.regions, self.rows, self.columns, input_size)

    def passes(self, _setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(2 ** len(region_names(self.regions, self.rows, self.columns)))

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W), targets (N, T). Returns (N, T, rows, columns), or (N, T, H, W) with a value a region."""
        height, width = images.shape[2:]
        masks = region_masks(self.regions, self.rows, self.columns, (height, width)).to(images.device)
        owner = masks.int().argmax(dim=0)  # each pixel is in one region
        with leave_no_trace(model.network), torch.no_grad():
            fill, held = filled(images, self.fill), subsets(len(masks)).to(images.device).split(at_once())
            parts = [logits_without(model.network, images, fill, ~some[:, owner]) for some in held]
            worth = torch.cat(parts, dim=1)
            values = of_targets(shapley_values(worth.double()), targets)
            return as_maps(values, self.regions, masks, self.rows)
