"""One map of several layers: the fusions of pytorch-grad-cam, LayerCAM and RefineCAM."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.explain.weighing import ratio, scaled

Fusion = Literal["mean", "max", "product"]
FUSIONS: tuple[Fusion, ...] = ("mean", "max", "product")
GAMMA = 2.0
"""How steep the hyperbolic tangent of LayerCAM's fusion is, as published."""


def fused(maps: Sequence[Tensor], size: tuple[int, int], fusion: Fusion) -> Tensor:
    """Fuse the maps (N, T, h, w) of several layers, each of its own size, into (N, T, *size), 0 to 1.

    Positive parts are fused, interpolated to one size (bilinear). "mean": of parts scaled from 0 to 1 before, as
        pytorch-grad-cam does it (which scales the result once more). "max": the largest of tanh(2 M / max M); Jiang et
        al., "LayerCAM", TIP 2021, eq. 9 and 10. "product": of parts scaled from 0 to 1 after, so that only what all
        layers show is left; RefineCAM, 2026, arXiv:2605.14641, as pytorch-grad-cam makes it.
    """
    positive = [values.clamp(min=0) for values in maps]
    if fusion == "product":
        return torch.stack([scaled(_enlarged(values, size)) for values in positive]).prod(dim=0)
    scale = scaled if fusion == "mean" else _saturating
    layers = torch.stack([_enlarged(scale(values), size) for values in positive])
    return layers.mean(dim=0) if fusion == "mean" else layers.amax(dim=0)


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear")


def _saturating(maps: Tensor) -> Tensor:
    return (GAMMA * ratio(maps, maps.amax(dim=(2, 3), keepdim=True).expand_as(maps))).tanh()
