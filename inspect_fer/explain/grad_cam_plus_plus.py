"""Grad-CAM++ and Smooth Grad-CAM++.

Grad-CAM++: Chattopadhyay et al., WACV 2018, arXiv:1710.11063. Smooth Grad-CAM++: Omeiza et al., 2019, arXiv:1908.01224.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, leave_no_trace, shared_pass
from inspect_fer.explain.fills import check_between, check_count
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.weighing import compact, ratio
from inspect_fer.schema import Classifier


def grad_cam_plus_plus(features: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by its positive gradients, each place by alpha (eq. 19, before the ReLU).

    alpha = g^2 / (2 g^2 + g^3 sum_ab A(a,b)) = 1 / (2 + g sum_ab A(a,b)) is the paper's ratio of derivatives for
    Y = exp(logit), g being the gradient of the logit; w_k = sum_ij alpha relu(g). The paper has relu of the gradient of
    Y, which is exp(logit) times larger: one positive factor a map, left out because it overflows. Where alpha's
    denominator is 0, alpha is 0.
    features (N, C, h, w); gradients (N, T, C, h, w). Returns (N, T, h, w), signed only as the features are.
    """
    kept, totals = compact(gradients), features.sum(dim=(2, 3))[..., None, None]
    repeats = gradients.shape[3:].numel() // kept.shape[3:].numel()
    weights = torch.stack([_weights(kept[:, target], totals) for target in range(kept.shape[1])], dim=1)
    return torch.einsum("ntc,nchw->nthw", weights * repeats, features)


def _weights(gradients: Tensor, totals: Tensor) -> Tensor:
    """w_k of one class, (N, C), of gradients (N, C, h, w) and the sums of A; alpha matters where g is positive."""
    positive = gradients.clamp(min=0)
    below = (positive * totals).add_(2)
    found = positive.div_(below)
    if (totals < 0).any():  # else the denominator is 2 or more
        found.masked_fill_(below == 0, 0)
    return found.sum(dim=(2, 3))


def smooth_grad_cam_plus_plus(features: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Grad-CAM++ with each power of the gradient averaged over noisy copies of the image.

    w_k = sum_ij alpha relu(D1), alpha = D2 / (2 D2 + D3 sum_ab A(a,b)), Dp the mean of g^p; the paper prints D1 as the
    numerator of alpha, where Grad-CAM++, which it averages, has the second derivative. No ReLU of the map.
    features (N, C, h, w) of the image itself; first, second, third (N, T, C, h, w). Returns (N, T, h, w).
    """
    totals = features.sum(dim=(2, 3))[:, None, :, None, None]
    alpha = ratio(second, 2 * second + third * totals)
    return torch.einsum("ntc,nchw->nthw", (alpha * first.clamp(min=0)).sum(dim=(3, 4)), features)


@dataclass(frozen=True)
class GradCAMPlusPlus:
    """Grad-CAM that counts only gradients in favour of the target, so that several small regions count alike."""

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        return grad_cam_plus_plus(shared.features, shared.gradients)


@dataclass(frozen=True)
class SmoothGradCAMPlusPlus:
    """Grad-CAM++ on gradients averaged over noisy copies of the image.

    samples: noisy copies
    noise: standard deviation of the noise, in network-input units
    seed: of the noise, which is the same for every image, so that a map does not depend on its batch
    """

    samples: int = 8
    noise: float = 0.3
    seed: int = 0

    own_passes: ClassVar[bool] = True
    reads_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("Smooth Grad-CAM++", "samples", self.samples)
        check_between("Smooth Grad-CAM++", "noise", self.noise, 0, 1e6)
        check_count("Smooth Grad-CAM++", "seed", self.seed, least=0)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.samples + 1, 0 if setting.linear_head else self.samples)

    def smaller(self) -> Self:
        """With at most two copies."""
        return replace(self, samples=min(self.samples, 2))

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str) -> Tensor:
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, h, w)."""
        generator = torch.Generator().manual_seed(self.seed)
        first = second = third = torch.zeros(())
        with leave_no_trace(model.network):
            features = shared_pass(model.network, layer, images, targets).features
            for _ in range(self.samples):
                noise = self.noise * torch.randn(images.shape[1:], generator=generator, dtype=torch.float32)
                found = shared_pass(model.network, layer, images.detach() + noise.to(images), targets).gradients
                first, second, third = first + found, second + found**2, third + found**3
            means = (total / self.samples for total in (first, second, third))
            return smooth_grad_cam_plus_plus(features, *means)
