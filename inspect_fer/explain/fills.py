"""What stands where something of an image is taken away: a value, the image's mean, or the image blurred."""

from math import ceil, isfinite
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import ConfigError

Fill: TypeAlias = float | Literal["mean", "blur"]
"""A value in network-input units, "mean" of the image per channel, or "blur" (Gaussian of an eighth of the image)."""


def check_fill(method: str, fill: Fill) -> None:
    """Raise ConfigError for anything but a finite number, "mean" or "blur"."""
    if isinstance(fill, str) and fill in ("mean", "blur"):
        return
    if isinstance(fill, bool) or not isinstance(fill, int | float) or not isfinite(fill):
        raise ConfigError(f"{method} fills with a number, 'mean' or 'blur', not {fill!r}.")


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) under a Gaussian of that many pixels, the border repeated outwards."""
    reach = ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    rows = (weights / weights.sum()).view(1, 1, -1, 1)
    padded = F.pad(images.flatten(0, 1)[:, None], (reach, reach, reach, reach), mode="replicate")
    smooth: Tensor = F.conv2d(F.conv2d(padded, rows), rows.transpose(2, 3))
    return smooth.reshape(images.shape)


def filled(images: Tensor, fill: Fill, sigma: float | None = None) -> Tensor:
    """What stands in for images (N, C, H, W) in network-input units, in their shape; sigma: pixels of another blur."""
    if fill == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    if fill == "blur":
        return blurred(images, min(images.shape[2:]) / 8 if sigma is None else sigma)
    return torch.full_like(images, float(fill))


def check_count(method: str, name: str, value: int, *, least: int = 1, most: int = 2**31) -> None:
    """Raise ConfigError for an option that is no whole number from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        upper = f" and at most {most}" if most < 2**31 or (type(value) is int and value > most) else ""
        raise ConfigError(f"{method} takes {name} of at least {least}{upper}, a whole number, not {value!r}.")


def check_between(method: str, name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError for an option that does not lie between both bounds, which are allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{method} takes {name} from {low:g} to {high:g}, not {value!r}.")


def check_flag(method: str, name: str, value: bool) -> None:  # noqa: FBT001  # it is asked whether it is one
    """Raise ConfigError for an option that is neither True nor False."""
    if type(value) is not bool:
        raise ConfigError(f"{method} takes {name} as True or False, not {value!r}.")
