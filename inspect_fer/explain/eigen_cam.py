"""Eigen-CAM and Eigen-Grad-CAM. Muhammad and Yeasin, IJCNN 2020, arXiv:2008.00299.

Eigen-Grad-CAM puts gradient times feature in the place of the features; the definition is pytorch-grad-cam's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.explain.fills import check_flag

ROUNDS = 40
"""Squarings at most; in float64 a gap of one part in 2^30 between the two largest eigenvalues is resolved, in float32
one of one part in 2^20, about what is known of features in float32."""


def principal_map(values: Tensor, *, centred: bool = False) -> Tensor:
    """Project values onto their first right singular vector: O V_1, O having one row a place.

    values (N, C, h, w); centred: less each channel's mean over the places first, as pytorch-grad-cam does and the paper
    does not. Returns (N, h, w). The sign, which a singular vector leaves open, is the one with which the map's product
    with the plain sum over channels is not negative: features behind a ReLU give a map that is nowhere negative, and
    gradient times feature one that is positive where there is evidence for the target.
    """
    return principal_maps([values], centred=centred)[:, 0]


def principal_maps(several: Iterable[Tensor], *, centred: bool = False) -> Tensor:
    """`principal_map` of several values (N, C, h, w) of the same shape, taken one after the other: (N, T, h, w)."""
    found, sums, scales = [], [], []
    for values in several:
        flat = values.flatten(2)
        scale = flat.abs().amax(dim=(1, 2), keepdim=True)  # squares of tiny or huge values leave the range of float32
        plain = flat / torch.where(scale == 0, torch.ones_like(scale), scale)
        scales.append(scale[..., 0])
        matrix = plain - plain.mean(dim=2, keepdim=True) if centred else plain  # O^T, (N, C, hw)
        sums.append(plain.sum(dim=1).view(len(values), *values.shape[2:]))
        if matrix.shape[2] > matrix.shape[1]:  # V_1 itself is the shorter one to find
            vector = first_eigenvector(matrix @ matrix.mT)
            found.append((matrix.mT @ vector[..., None])[..., 0])
        else:
            found.append(matrix.mT @ matrix)
    maps, plainly = torch.stack(found), torch.stack(sums)  # (T, N, hw) or (T, N, hw, hw), and (T, N, h, w)
    if maps.ndim == 4:
        maps = _along(maps)
    agreement = (maps * plainly.flatten(2)).sum(dim=2, keepdim=True)
    signed = torch.where(agreement < 0, -maps, maps) * torch.stack(scales)
    return signed.view(plainly.shape).transpose(0, 1).contiguous()


def _along(grams: Tensor) -> Tensor:
    """O V_1 = O O^T u / |O^T u| of O O^T (T, N, hw, hw), u its first eigenvector: all at once, since each is small."""
    flat = grams.flatten(0, 1)
    vectors = first_eigenvector(flat)[..., None]
    along = flat @ vectors
    lengths = (vectors.mT @ along).clamp(min=torch.finfo(grams.dtype).tiny).sqrt()
    return (along / lengths).view(grams.shape[:3])


def first_eigenvector(gram: Tensor) -> Tensor:
    """The eigenvector (N, m) of the largest eigenvalue of symmetric matrices without negative ones (N, m, m).

    Squared again and again, a matrix tends to v v^T, of which the longest column is taken; cheaper in a batch than all
    eigenvectors. A matrix of zeros gives zeros.
    """
    power, near = gram, 1 - 64 * torch.finfo(gram.dtype).eps
    for _ in range(ROUNDS):
        trace = power.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
        power = power / torch.where(trace == 0, torch.ones_like(trace), trace)
        power = power @ power
        purity = power.diagonal(dim1=1, dim2=2).sum(dim=1)  # 1 for v v^T of length 1
        if ((purity == 0) | (purity > near)).all():
            break
    longest = power.diagonal(dim1=1, dim2=2).argmax(dim=1)
    column = power[torch.arange(len(power), device=power.device), :, longest]
    lengths = torch.linalg.vector_norm(column, dim=1, keepdim=True)
    return column / torch.where(lengths == 0, torch.ones_like(lengths), lengths)


@dataclass(frozen=True)
class EigenCAM:
    """The pattern that the features share most, whatever the class.

    centred: less each channel's mean first, as pytorch-grad-cam does; the paper does not
    """

    centred: bool = False

    class_free: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_flag("Eigen-CAM", "centred", self.centred)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), the same for every target."""
        found = principal_map(shared.features, centred=self.centred)
        return found[:, None].expand(-1, shared.targets.shape[1], -1, -1)


@dataclass(frozen=True)
class EigenGradCAM:
    """The pattern that the channels' evidence for the target shares most: Eigen-CAM of gradient times feature.

    centred: less each channel's mean first, as pytorch-grad-cam does; Eigen-CAM's paper does not
    """

    centred: bool = False

    def __post_init__(self) -> None:
        check_flag("Eigen-Grad-CAM", "centred", self.centred)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        features, gradients = shared.features, shared.gradients
        evidence = (features * gradients[:, target] for target in range(gradients.shape[1]))
        return principal_maps(evidence, centred=self.centred)
