"""XGrad-CAM, axiom-based Grad-CAM. Fu et al., BMVC 2020, arXiv:2008.02312."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.explain.weighing import compact, ratio


def xgrad_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by its gradient averaged with the features as weights, before the ReLU.

    w_k = sum_ij A_k(i,j) g_k(i,j) / sum_ij A_k(i,j), and 0 for a channel that sums to 0.
    features (N, C, h, w); gradients (N, T, C, h, w). Returns (N, T, h, w), signed; its sum is that of HiResCAM.
    """
    totals = features.sum(dim=(2, 3))[:, None]  # (N, 1, C)
    kept = compact(gradients)
    if kept.shape[3:] == (1, 1):  # a mean of equal gradients, whatever the weights
        weights = kept[..., 0, 0] * (totals != 0)
    else:
        each = [(kept[:, target] * features).sum(dim=(2, 3)) for target in range(kept.shape[1])]
        weights = ratio(torch.stack(each, dim=1), totals.expand(kept.shape[:3]))
    return torch.einsum("ntc,nchw->nthw", weights, features)


@dataclass(frozen=True)
class XGradCAM:
    """Grad-CAM whose weights conserve the logit's first-order change, as two axioms ask."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        return xgrad_cam(shared.features, shared.gradients)
