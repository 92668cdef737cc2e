"""What the CAM methods share: gradients without repetition, and sums over channels."""

import torch
from torch import Tensor


def compact(gradients: Tensor) -> Tensor:
    """The same gradients (..., h, w), as (..., 1, 1) where they are a view that repeats one value over the map."""
    return gradients[..., :1, :1] if gradients.stride()[-2:] == (0, 0) else gradients


def weighed(weights: Tensor, features: Tensor) -> Tensor:
    """sum_k w_k A_k at each place: weights (N, T, C, h or 1, w or 1), features (N, C, h, w). Returns (N, T, h, w)."""
    if weights.shape[3:] == (1, 1):
        return torch.einsum("ntc,nchw->nthw", weights[..., 0, 0], features)
    return torch.stack([(weights[:, target] * features).sum(dim=1) for target in range(weights.shape[1])], dim=1)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 where the denominator is 0."""
    safe = torch.where(denominator == 0, torch.ones_like(denominator), denominator)
    return torch.where(denominator == 0, torch.zeros_like(numerator), numerator / safe)
