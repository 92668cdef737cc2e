"""Methods whose formula is pytorch-grad-cam's (package grad-cam): KPCA-CAM, Seg-Eigen-CAM, feature factorisation."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, random_numbers_as_they_were
from inspect_fer.errors import ConfigError
from inspect_fer.explain.fills import check_between, check_count
from inspect_fer.explain.grad_cam import grad_cam
from inspect_fer.explain.weighing import known, unknown_where

KERNELS = ("linear", "poly", "rbf", "sigmoid", "cosine")


def each_known(projected: Callable[[Any], Any], values: Tensor) -> Tensor:
    """What the library makes of values (N, C, h, w), one by one, NaN where they are not all finite: it takes NaN for 0.

    projected: arrays (1, C, h, w) to (1, ...). Returns (N, ...).
    """
    sound = known(values)
    plain = values.detach().masked_fill(~sound.view(-1, 1, 1, 1), 0).cpu().split(1)
    found = torch.cat([torch.from_numpy(projected(one.numpy())) for one in plain])
    return unknown_where(~sound, found.to(values))


@dataclass(frozen=True)
class KPCACAM:
    """First kernel principal component of the features. Karmani et al., 2024, arXiv:2410.00267.

    The library's projection as it is, neither cut at zero nor scaled; its sign is scikit-learn's choice and says
    nothing. It does not depend on the class.
    kernel: of scikit-learn's KernelPCA; gamma: of the kernels "poly", "rbf" and "sigmoid", 0 for 1 / channels
    """

    kernel: Literal["linear", "poly", "rbf", "sigmoid", "cosine"] = "sigmoid"
    gamma: float = 0.0

    class_free: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ConfigError(f"KPCA-CAM has the kernels {', '.join(KERNELS)}, not {self.kernel!r}.")
        check_between("KPCA-CAM", "gamma", self.gamma, 0, 1e6)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), the same for every class."""
        from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_kernel

        def projected(features: Any) -> Any:
            np.random.seed(0)  # scikit-learn starts its search for the component anywhere
            return get_2d_projection_kernel(features, self.kernel, self.gamma or None)

        with random_numbers_as_they_were(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about constant features
            maps = each_known(projected, shared.features)[:, None]
        return maps.expand(-1, shared.targets.shape[1], -1, -1).contiguous()


@dataclass(frozen=True)
class SegEigenCAM:
    """First principal component of |gradient| x feature, its larger end positive. Chung and Ying, 2025.

    doi:10.3390/app15137562, eq. 10 to 13, made for segmentation; the library's projection, neither cut nor scaled.
    """

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction

        weighed = shared.gradients.abs() * shared.features[:, None]  # (N, T, C, h, w)
        found = each_known(get_2d_projection_with_sign_correction, weighed.flatten(0, 1))
        return found.view(*shared.targets.shape, *found.shape[1:])


@dataclass(frozen=True)
class DeepFeatureFactorization:
    """Grad-CAM of the features as a few concepts make them up. Collins et al., ECCV 2018, arXiv:1806.10206.

    The features of an image fall into concepts v_k and where they are, H_k, none negative, as A = sum_k v_k H_k. Each
    concept counts for the class by Grad-CAM's weights, sum_k (mean(g) v_k) H_k; the paper's own maps H_k have no class.
    With as many concepts as a map has places each place may be one, and what is left is Grad-CAM.

    concepts: how many
    """

    concepts: int = 5

    def __post_init__(self) -> None:
        check_count("Deep feature factorization", "concepts", self.concepts, most=64)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), signed."""
        from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

        def made_up(features: Any) -> Any:
            if self.concepts >= features[0, 0].size:
                return features
            vectors, places = dff(features, self.concepts)
            least = features.min(axis=(2, 3), keepdims=True)  # lifted by it, channels are not negative
            return np.einsum("ck,nkhw->nchw", vectors - least.reshape(-1, 1), places) + least

        with random_numbers_as_they_were(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about iterations that end before all is settled
            return grad_cam(each_known(made_up, shared.features), shared.gradients)
