"""Grad-CAM. Selvaraju et al., ICCV 2017, arXiv:1610.02391."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass


def grad_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by its mean gradient (eq. 1 and 2, before the ReLU, which is left to the picture).

    features (N, C, h, w); gradients (N, T, C, h, w), one per explained class. Returns (N, T, h, w), signed.
    """
    weights = gradients.mean(dim=(3, 4))  # alpha_k^c
    return torch.einsum("ntc,nchw->nthw", weights, features)


@dataclass(frozen=True)
class GradCAM:
    """Coarse map of the regions whose features raise the target's logit."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        return grad_cam(shared.features, shared.gradients)
