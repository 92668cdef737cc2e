"""Augmentation of whole batches: every sample draws its own change, all are applied at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.images import centre_crop, ten_crops
from inspect_fer.training.config import Augment

Draws = dict[str, Tensor]
"""What each sample of a batch drew, by kind; N rows each."""


def augment(
    images: Tensor,
    options: Augment,
    generator: torch.Generator,
    *,
    side: int | None = None,
    share: slice = slice(None),
    of: int | None = None,
) -> Tensor:
    """Change normalised images (N, C, H, W) at random; what comes in from outside is 0, `mean` of the card.

    side: of the network's input, to which larger images are cropped: from the centre, or ten times where asked
    generator: on the CPU, so that the draws do not depend on the device
    share, of: where the images are these rows of a larger batch of so many, whose every sample draws the same then

    Returns (N, C, side, side), or (10 N, C, side, side) with the ten crops of a sample one after the other.
    """
    drawn = {
        kind: values[share].to(images.device) for kind, values in draw(options, of or len(images), generator).items()
    }
    if "affine" in drawn:
        grid = F.affine_grid(drawn["affine"], list(images.shape), False)  # noqa: FBT003
        images = F.grid_sample(images, grid, align_corners=False)
    if "light" in drawn:
        gain, lift = drawn["light"].T[:, :, None, None, None]
        images = images * (1 + gain) + lift
    if options.ten_crops:
        images = ten_crops(images, side or images.shape[-1]).flatten(0, 1)
    elif side is not None and images.shape[-1] > side:
        images = centre_crop(images, side)
    return erase(images, options, drawn["erase"].flatten(0, 1)) if "erase" in drawn else images


def draw(options: Augment, count: int, generator: torch.Generator) -> Draws:
    """Draw the changes of `count` samples: "affine" (N, 2, 3), "light" (N, 2), "erase" (N, crops, 5), where asked."""
    drawn: Draws = {}
    if options.flip or options.shift or options.rotate or options.scale or options.skew:
        drawn["affine"] = _affine(count, options, generator)
    if options.brightness or options.contrast:
        reach = (options.contrast, options.brightness)
        drawn["light"] = torch.stack([_symmetric(count, most, generator) for most in reach], dim=1)
    if options.erase:
        crops = 10 if options.ten_crops else 1
        drawn["erase"] = torch.rand(5, count * crops, generator=generator).T.view(count, crops, 5)
    return drawn


def erase(images: Tensor, options: Augment, drawn: Tensor) -> Tensor:
    """Put a rectangle of 0 over some of the images (N, C, H, W); drawn (N, 5) in 0..1."""
    chosen, area, ratio, x, y = drawn.T
    side = (options.erase_least + (options.erase_most - options.erase_least) * area).sqrt()
    stretch = torch.exp((2 * ratio - 1) * math.log(2))  # aspect ratios of 1:4 to 4:1 in area terms
    tall, wide = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    places = [torch.arange(length, device=images.device) / length for length in images.shape[2:]]
    inside_rows = _between(places[0], y * (1 - tall), tall)
    inside_columns = _between(places[1], x * (1 - wide), wide)
    hole = inside_rows[:, :, None] & inside_columns[:, None] & (chosen < options.erase)[:, None, None]
    return images.masked_fill(hole[:, None], 0)


def randaugment(pixels: Tensor, options: Augment) -> Tensor:
    """RandAugment on pixels (N, C, H, W) uint8, each sample by itself; draws from torch's global stream."""
    from torchvision.transforms import v2  # takes seconds, and other recipes do without

    change = v2.RandAugment(options.randaugment, options.randaugment_magnitude)
    return torch.stack([change(face) for face in pixels])


def mixed(images: Tensor, shares: Tensor, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    """Mix images (N, C, H, W) with one another, and their shares (N, K) of the classes alike.

    mixup, cutmix: alpha of their beta distributions; with both, a draw decides. Draws from torch's global stream.
    """
    from torchvision.transforms import v2

    kinds = [kind(alpha=float(alpha)) for kind, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix)) if alpha]
    images, shares = kinds[int(torch.randint(len(kinds), ()))](images, shares)
    return images, shares


def _affine(count: int, options: Augment, generator: torch.Generator) -> Tensor:
    """(N, 2, 3) matrices from output to input positions, both in -1..1."""
    mirror = 1 - 2 * (torch.rand(count, generator=generator) < options.flip).float()
    angle = _symmetric(count, math.radians(options.rotate), generator)
    zoom = 1 + _symmetric(count, options.scale, generator)
    across, down = (_symmetric(count, 2 * options.shift, generator) for _ in range(2))
    if options.chance < 1:
        moved, turned = (torch.rand(2, count, generator=generator) < options.chance).float()
        moved = turned if options.jointly else moved
        angle, across, down = angle * turned, across * moved, down * moved
    lean = _symmetric(count, math.radians(options.skew), generator).tan() if options.skew else torch.zeros(count)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    rows = (mirror * cos, mirror * cos * lean - sin, across, mirror * sin, mirror * sin * lean + cos, down)
    return torch.stack(rows, dim=1).view(count, 2, 3)


def _symmetric(count: int, reach: float, generator: torch.Generator) -> Tensor:
    return (2 * torch.rand(count, generator=generator) - 1) * reach


def _between(places: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """(N, len(places)) bool."""
    return (places >= start[:, None]) & (places < (start + length)[:, None])
