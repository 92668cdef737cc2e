"""One map of several layers: the fusions of pytorch-grad-cam and of LayerCAM."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.explain.weighing import ratio

Fusion = Literal["mean", "max"]
FUSIONS: tuple[Fusion, ...] = ("mean", "max")
GAMMA = 2.0
"""How steep the hyperbolic tangent of LayerCAM's fusion is, as published."""


def fused(maps: Sequence[Tensor], size: tuple[int, int], fusion: Fusion) -> Tensor:
    """Fuse the maps (N, T, h, w) of several layers, each of its own size, into (N, T, *size), 0 to 1.

    "mean": the mean of the positive parts, each scaled from 0 to 1, as pytorch-grad-cam makes it (before it scales the
        result once more). "max": the largest of tanh(2 M / max M), M the positive part; Jiang et al., "LayerCAM",
        TIP 2021, eq. 9 and 10. Maps are scaled at their own size, then interpolated (bilinear).
    """
    positive = [values.clamp(min=0) for values in maps]
    scale = _from_zero_to_one if fusion == "mean" else _saturating
    layers = torch.stack([F.interpolate(scale(values), size, mode="bilinear") for values in positive])
    return layers.mean(dim=0) if fusion == "mean" else layers.amax(dim=0)


def _from_zero_to_one(maps: Tensor) -> Tensor:
    low = maps.amin(dim=(2, 3), keepdim=True)
    return ratio(maps - low, (maps.amax(dim=(2, 3), keepdim=True) - low).expand_as(maps))


def _saturating(maps: Tensor) -> Tensor:
    return (GAMMA * ratio(maps, maps.amax(dim=(2, 3), keepdim=True).expand_as(maps))).tanh()
