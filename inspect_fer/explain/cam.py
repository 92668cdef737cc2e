"""CAM, class activation mapping. Zhou et al., CVPR 2016, arXiv:1512.04150."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.errors import NetworkError
from inspect_fer.explain.weighing import of_known


def cam(features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Weigh each channel by what the linear layer gives it for the class (eq. 2): M_c = sum_k w_k^c f_k.

    features (N, C, h, w), weight (K, C) of the linear layer, targets (N, T). Returns (N, T, h, w), signed; its mean is
    the target's logit less the bias.
    """
    return torch.einsum("ntc,nchw->nthw", weight[targets], features)


@dataclass(frozen=True)
class CAM:
    """What each place adds to the target's logit; for networks that end in average pooling and one linear layer."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), NaN where an answer is. Raises NetworkError for a network that ends otherwise."""
        return of_known(shared, self._maps)

    def _maps(self, shared: SharedPass) -> Tensor:
        if shared.head is None:
            raise NetworkError(
                f"CAM needs global average pooling and one linear layer behind {shared.layer!r}, and this network "
                "has something else there; use grad-cam, which is the same up to a factor where CAM is possible."
            )
        return cam(shared.features, shared.head[0], shared.targets)
