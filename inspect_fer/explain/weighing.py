"""What the CAM methods share: gradients without repetition, sums over channels, and what is not known."""

from collections.abc import Callable

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, shared_pass


def compact(gradients: Tensor) -> Tensor:
    """The same gradients (..., h, w), as (..., 1, 1) where they are a view that repeats one value over the map."""
    return gradients[..., :1, :1] if gradients.stride()[-2:] == (0, 0) else gradients


def weighed(weights: Tensor, features: Tensor, *, positive: bool = False) -> Tensor:
    """sum_k w_k A_k at each place: weights (N, T, C, h or 1, w or 1), features (N, C, h, w). Returns (N, T, h, w).

    positive: negative weights count as 0. One class after the other, since memory is what takes time here.
    """
    least = 0.0 if positive else None
    if weights.shape[3:] == (1, 1):
        each = weights[..., 0, 0]
        return torch.einsum("ntc,nchw->nthw", each if least is None else each.clamp(min=least), features)
    by_class = (weights[:, target] for target in range(weights.shape[1]))
    products = (one * features if least is None else one.clamp(min=least).mul_(features) for one in by_class)
    return torch.stack([product.sum(dim=1) for product in products], dim=1)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 where the denominator is 0."""
    safe = torch.where(denominator == 0, torch.ones_like(denominator), denominator)
    return torch.where(denominator == 0, torch.zeros_like(numerator), numerator / safe)


def scaled(maps: Tensor) -> Tensor:
    """Each of the maps (..., h, w) scaled to reach from 0 to 1; a constant one is 0."""
    low, high = maps.amin(dim=(-2, -1), keepdim=True), maps.amax(dim=(-2, -1), keepdim=True)
    return ratio(maps - low, (high - low).expand_as(maps))


def known(values: Tensor) -> Tensor:
    """Whether all of an image's values (N, ...) are finite: (N,) bool."""
    return values.flatten(1).isfinite().all(dim=1)


def unknown_where(broken: Tensor, maps: Tensor) -> Tensor:
    """Maps (N, ..., h, w) with NaN for the images that are broken (N,): nothing is known of them."""
    return maps.masked_fill(broken.view(-1, *[1] * (maps.ndim - 1)), torch.nan)


def of_known(shared: SharedPass, maps_of: Callable[[SharedPass], Tensor]) -> Tensor:
    """Maps (N, T, h, w) of a method that compares answers: NaN for the images whose logits are not finite.

    The others pass once more by themselves, since what is not finite hides what they have in common.
    """
    fine = known(shared.logits)
    if fine.all():
        return maps_of(shared)
    features = shared.features
    maps = features.new_full((*shared.targets.shape, *features.shape[2:]), torch.nan)
    if fine.any():
        maps[fine] = maps_of(shared_pass(shared.network, shared.layer, shared.images[fine], shared.targets[fine]))
    return maps
