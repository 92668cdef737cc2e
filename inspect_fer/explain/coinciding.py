"""Which methods say the same: on pooling and one linear layer, CAM, Grad-CAM, HiResCAM and XGrad-CAM do."""

from collections.abc import Mapping
from itertools import combinations

from torch import Tensor

FEW, TOLERANCE = 32, 1e-4
"""How many images are compared first, and how far maps of length 1 may differ at a place."""


def coinciding(maps: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """For each method those others whose maps (N, T, h, w) are its own, up to one positive factor a map."""
    same: dict[str, tuple[str, ...]] = dict.fromkeys(maps, ())
    for one, other in combinations(maps, 2):
        if proportional(maps[one][:FEW], maps[other][:FEW]) and proportional(maps[one], maps[other]):
            same[one] += (other,)
            same[other] += (one,)
    return same


def proportional(one: Tensor, other: Tensor) -> bool:
    """Whether maps (N, T, h, w) are the same but for positive factors, one a map; a map of zeros equals its like."""
    if one.shape != other.shape:
        return False
    return bool(((_unit(one) - _unit(other)).abs() <= TOLERANCE).all())


def _unit(maps: Tensor) -> Tensor:
    """Each map with length 1, or 0; infinite and missing values equal nothing."""
    length = maps.flatten(2).norm(dim=2)[..., None, None]
    unit: Tensor = maps / length.where(length != 0, 1)
    return unit
