"""Region occlusion: cover whole regions of the image. Zeiler and Fergus, ECCV 2014, arXiv:1311.2901, section 4.2."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_fill, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.regions import Regions, as_maps, check_regions, footprint_of, region_masks, region_names
from inspect_fer.schema import Classifier, Footprint


def logits_without(network: nn.Module, images: Tensor, fill: Tensor, hidden: Tensor) -> Tensor:
    """The logits of each image under each of these masks, as many covered images at a time as memory allows.

    images, fill: (N, C, H, W); hidden (M, H, W) bool, True where the fill stands. Returns (N, M, K).
    """
    logits = torch.cat([logits_of(network, batch) for batch in _covered(images, fill, hidden)])
    return logits.view(len(images), len(hidden), -1)


def _covered(images: Tensor, fill: Tensor, hidden: Tensor) -> Iterator[Tensor]:
    """Yield each image under each of the masks in turn."""
    for jobs in torch.arange(len(images) * len(hidden), device=images.device).split(at_once()):
        image, mask = jobs // len(hidden), jobs % len(hidden)
        yield torch.where(hidden[mask][:, None], fill[image], images[image])


def region_occlusion(network: nn.Module, images: Tensor, fill: Tensor, masks: Tensor) -> Tensor:
    """By how much each logit falls when a mask's pixels are covered, one mask at a time.

    images, fill: (N, C, H, W); masks (R, H, W) bool, any set of them. Returns (N, K, R).
    """
    clean = logits_of(network, images)
    return (clean[:, None] - logits_without(network, images, fill, masks)).transpose(1, 2)


def of_targets(values: Tensor, targets: Tensor) -> Tensor:
    """Of values (N, K, R) those of the targets (N, T): (N, T, R)."""
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, targets.to(values.device)]


@dataclass(frozen=True)
class RegionOcclusion:
    """By how much the target's logit falls when a region of the image is covered.

    regions: "grid" of rows x columns, "face" (parts of an aligned face, approximate), or a tuple of rectangles
        (name, top, left, bottom, right) in fractions of the image, of which a pixel belongs to the first that holds it
    rows, columns: of the grid
    fill: a value in network-input units, "mean" of the image per channel, or "blur"
    """

    regions: Regions = "grid"
    rows: int = 6
    columns: int = 6
    fill: Fill = 0.0

    own_passes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_regions("Region occlusion", self.regions, self.rows, self.columns)
        check_fill("Region occlusion", self.fill)

    def footprint(self, input_size: tuple[int, int, int]) -> Footprint:
        """The rectangles of a grid; maps of other regions have a cell per pixel. Raises ConfigError."""
        return footprint_of(self.regions, self.rows, self.columns, input_size)

    def passes(self, _setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(1 + len(region_names(self.regions, self.rows, self.columns)))

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W), targets (N, T). Returns (N, T, rows, columns), or (N, T, H, W) with a value a region."""
        height, width = images.shape[2:]
        masks = region_masks(self.regions, self.rows, self.columns, (height, width)).to(images.device)
        with leave_no_trace(model.network), torch.no_grad():
            falls = region_occlusion(model.network, images, filled(images, self.fill), masks)
            return as_maps(of_targets(falls, targets), self.regions, masks, self.rows)
