"""FEM, feature explanation method. Fuad et al., IPTA 2020, doi:10.1109/IPTA50016.2020.9286629, hal-02963298."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.explain.fills import check_between
from inspect_fer.explain.weighing import known, unknown_where


def fem(features: Tensor, deviations: float) -> Tensor:
    """Add up where each channel is rare and strong, weighed by the channel's mean.

    B_k = 1 where A_k >= mean_k + deviations * std_k (over the places, divided by h w), else 0; sum_k mean_k B_k. A
    constant channel, which has no strong place, adds nothing; an image whose features are not all finite has NaN.
    features (N, C, h, w). Returns (N, h, w).
    """
    means = features.mean(dim=(2, 3), keepdim=True)
    spread = features.std(dim=(2, 3), keepdim=True, correction=0)
    varies = features.amax(dim=(2, 3), keepdim=True) > features.amin(dim=(2, 3), keepdim=True)
    strong = (features >= means + deviations * spread) & varies
    found = torch.where(strong, means, torch.zeros_like(means)).sum(dim=1)
    return unknown_where(~known(features), found)  # no comparison with NaN is true


@dataclass(frozen=True)
class FEM:
    """Where the features are rare and strong, whatever the class.

    deviations: how many standard deviations above its channel's mean a place must lie; of h w places none can lie more
        than sqrt(h w - 1) above, so that 2 is out of reach for a map of 2 x 2
    """

    deviations: float = 2.0

    class_free: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_between("FEM", "deviations", self.deviations, 0, 1e6)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), the same for every target."""
        return fem(shared.features, self.deviations)[:, None].expand(-1, shared.targets.shape[1], -1, -1)
