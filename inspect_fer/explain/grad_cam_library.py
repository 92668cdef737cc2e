"""CAM methods whose formula is pytorch-grad-cam's (package grad-cam): KPCA-CAM and Seg-Eigen-CAM."""

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.errors import ConfigError
from inspect_fer.explain.fills import check_between

KERNELS = ("linear", "poly", "rbf", "sigmoid", "cosine")


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

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about constant features
            found = get_2d_projection_kernel(shared.features.detach().cpu().numpy(), self.kernel, self.gamma or None)
        maps = torch.from_numpy(found)[:, None].to(shared.features)
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
        found = get_2d_projection_with_sign_correction(weighed.detach().flatten(0, 1).cpu().numpy())
        return torch.from_numpy(found).view(*shared.targets.shape, *found.shape[1:]).to(shared.features)
