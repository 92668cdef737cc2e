"""Augmentation of whole batches: every sample draws its own change, all are applied at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.training.config import Augment

ERASED_AREA = (0.02, 0.2)  # share of the image, as in Zhong et al., AAAI 2020, arXiv:1708.04896, halved for faces


def augment(images: Tensor, options: Augment, generator: torch.Generator) -> Tensor:
    """Change normalised images (N, C, H, W) at random; what comes in from outside is 0, the mean grey.

    generator: on the CPU, so that the draws do not depend on the device. Returns new images of the same shape.
    """
    if options.flip or options.shift or options.rotate or options.scale:
        grid = F.affine_grid(_affine(len(images), options, generator).to(images), list(images.shape), False)  # noqa: FBT003
        images = F.grid_sample(images, grid, align_corners=False)
    return _erase(images, options.erase, generator) if options.erase else images


def _affine(count: int, options: Augment, generator: torch.Generator) -> Tensor:
    """(N, 2, 3) matrices from output to input positions, both in -1..1."""
    mirror = 1 - 2 * (torch.rand(count, generator=generator) < options.flip).float()
    angle = _symmetric(count, math.radians(options.rotate), generator)
    zoom = 1 + _symmetric(count, options.scale, generator)
    across, down = (_symmetric(count, 2 * options.shift, generator) for _ in range(2))
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    return torch.stack((mirror * cos, -sin, across, mirror * sin, cos, down), dim=1).view(count, 2, 3)


def _symmetric(count: int, reach: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(count, generator=generator) - 1) * reach


def _erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    chosen, area, ratio, x, y = torch.rand(5, count, generator=generator)
    low, high = ERASED_AREA
    side = (low + (high - low) * area).sqrt()
    stretch = torch.exp((2 * ratio - 1) * math.log(2))  # aspect ratios of 1:4 to 4:1 in area terms
    tall, wide = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    inside_rows = _between(torch.arange(height) / height, y * (1 - tall), tall)
    inside_columns = _between(torch.arange(width) / width, x * (1 - wide), wide)
    hole = inside_rows[:, :, None] & inside_columns[:, None] & (chosen < probability)[:, None, None]
    return images.masked_fill(hole[:, None].to(images.device), 0)


def _between(places: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """(N, len(places)) bool."""
    return (places >= start[:, None]) & (places < (start + length)[:, None])
