"""Methods that weigh every place of every channel by itself: HiResCAM, element-wise Grad-CAM, LayerCAM.

HiResCAM: Draelos and Carin, 2020, arXiv:2011.08891. LayerCAM: Jiang et al., IEEE TIP 30, 2021,
doi:10.1109/TIP.2021.3089943. Grad-CAM element-wise has no paper of its own: the definition is pytorch-grad-cam's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.explain.weighing import compact, weighed


def hires_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Gradient times feature at each place, summed over channels: sum_k g_k A_k.

    features (N, C, h, w); gradients (N, T, C, h, w). Returns (N, T, h, w), signed.
    """
    return weighed(compact(gradients), features)


def grad_cam_elementwise(features: Tensor, gradients: Tensor) -> Tensor:
    """The positive ones among gradient times feature, summed over channels: sum_k max(g_k A_k, 0).

    features (N, C, h, w); gradients (N, T, C, h, w). Returns (N, T, h, w), at least 0.
    """
    kept = compact(gradients)
    if kept.shape[3:] != (1, 1):
        each = [(kept[:, target] * features).clamp_(min=0).sum(dim=1) for target in range(kept.shape[1])]
        return torch.stack(each, dim=1)
    both = weighed(kept.clamp(min=0), features.clamp(min=0))
    neither = weighed(kept.clamp(max=0), features.clamp(max=0))
    return both + neither


def layer_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Features weighed by the positive gradient at their own place: sum_k relu(g_k) A_k, before the last ReLU.

    features (N, C, h, w); gradients (N, T, C, h, w). Returns (N, T, h, w), signed only as the features are.
    """
    return weighed(compact(gradients), features, positive=True)


@dataclass(frozen=True)
class HiResCAM:
    """What each place of the features adds to the target's logit, without averaging the gradients."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        return hires_cam(shared.features, shared.gradients)


@dataclass(frozen=True)
class GradCAMElementwise:
    """Positive products of gradient and feature at each place; what speaks against the target is left out."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        return grad_cam_elementwise(shared.features, shared.gradients)


@dataclass(frozen=True)
class LayerCAM:
    """Features where raising them raises the target's logit; also for early layers, where maps are fine."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        return layer_cam(shared.features, shared.gradients)
