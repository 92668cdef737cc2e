"""Linear models of the network around one image, through captum: LIME and KernelSHAP."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_between, check_count, check_fill, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.regions import grid_footprint, region_masks
from inspect_fer.explain.through_captum import captum_run, rehearse_copy, seeded
from inspect_fer.schema import Classifier, Footprint


@dataclass
class Replayed:
    """The network for one image, whose answers are kept: each further class asks the same again, in the same order.

    broken: an answer was not finite, for which 0 was given, since no linear model follows from it
    """

    network: nn.Module
    kept: list[Tensor] = field(default_factory=list)
    turn: int = 0
    broken: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """images (n, C, H, W) to logits (n, K)."""
        if self.turn == len(self.kept):
            with torch.no_grad():
                answer = self.network(images.clone())
            self.broken |= not bool(answer.isfinite().all())
            self.kept.append(answer.nan_to_num(0, 0, 0))
        self.turn += 1
        return self.kept[self.turn - 1]


def coefficients(attribute: Callable[..., Tensor], asked: Replayed, targets: Tensor, seed: int) -> Tensor:
    """The coefficients of each class's linear model for one image, all from the same samples.

    attribute: captum's, told all but the target; targets (T,). Returns (T, features), NaN where an answer of the
    network is not finite.
    """
    found = []
    for target in targets.tolist():
        asked.turn = 0
        seeded(seed)
        found.append(attribute(target=target)[0])
    return torch.stack(found).masked_fill(torch.tensor(asked.broken, device=found[0].device), torch.nan)


def _settings(samples: int, cells: int, fill: Fill, image: Tensor) -> dict[str, Any]:
    masks = region_masks("grid", cells, cells, (image.shape[2], image.shape[3]))
    return {
        "inputs": image,
        "baselines": filled(image, fill).contiguous(),
        "feature_mask": masks.int().argmax(dim=0).to(image.device)[None, None],
        "n_samples": samples,
        "perturbations_per_eval": at_once(),
        "return_input_shape": False,
    }


def _check(method: str, samples: int, cells: int, fill: Fill, seed: int) -> None:
    check_count(method, "samples", samples, least=3)
    check_count(method, "cells", cells, least=2)
    check_fill(method, fill)
    check_count(method, "seed", seed, least=0)


@dataclass(frozen=True)
class KernelShap:
    """Shapley values of grid cells, by weighted least squares. Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874.

    samples: masked images, the same masks for each image and class; cells: of the grid, along each side
    fill: what stands where a cell is absent: a value in network-input units, "mean" of the image, or "blur"
    """

    samples: int = 1000
    cells: int = 6
    fill: Fill = 0.0
    seed: int = 0

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearse_copy)

    def __post_init__(self) -> None:
        _check("KernelSHAP", self.samples, self.cells, self.fill, self.seed)

    def footprint(self, input_size: tuple[int, int, int]) -> Footprint:
        """The grid's cells. Raises ConfigError where they would be finer than the pixels."""
        return grid_footprint(self.cells, self.cells, input_size[1:])

    def passes(self, _setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.samples)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, cells, cells), in units of the logit."""
        from captum import attr

        return _maps(self, attr.KernelShap, model, images, targets)


@dataclass(frozen=True)
class Lime:
    """Coefficients of a sparse linear model of masked images. Ribeiro et al., KDD 2016, arXiv:1602.04938.

    Cells of a grid take the place of the paper's super-pixels. Samples weigh by an exponential kernel over the cosine
    distance between masked and whole image; the model is a Lasso.

    samples: masked images, the same masks for each image and class; cells: of the grid, along each side
    alpha: the Lasso's penalty; a larger one leaves fewer cells
    fill: what stands where a cell is absent: a value in network-input units, "mean" of the image, or "blur"
    """

    samples: int = 1000
    cells: int = 6
    alpha: float = 0.01
    fill: Fill = 0.0
    seed: int = 0

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearse_copy)

    def __post_init__(self) -> None:
        _check("LIME", self.samples, self.cells, self.fill, self.seed)
        check_between("LIME", "alpha", self.alpha, 1e-9, 1e9)

    def footprint(self, input_size: tuple[int, int, int]) -> Footprint:
        """The grid's cells. Raises ConfigError where they would be finer than the pixels."""
        return grid_footprint(self.cells, self.cells, input_size[1:])

    def passes(self, _setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.samples)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, cells, cells), in units of the logit."""
        from captum import attr
        from captum._utils.models.linear_model import SkLearnLasso

        linear = SkLearnLasso(alpha=self.alpha)
        return _maps(self, partial(attr.Lime, interpretable_model=linear), model, images, targets)


def _maps(
    method: KernelShap | Lime, peer: Callable[[Replayed], Any], model: Classifier, images: Tensor, targets: Tensor
) -> Tensor:
    """Maps (N, T, cells, cells) of images (N, C, H, W) one by one, by a peer for the answers to each."""
    maps = []
    with captum_run(model, images, gradients=False) as (network, given):
        for image, classes in zip(given.split(1), targets, strict=True):
            if not image.isfinite().all():
                maps.append(image.new_full((len(classes), method.cells**2), torch.nan))
                continue
            asked = Replayed(network)
            told = partial(peer(asked).attribute, **_settings(method.samples, method.cells, method.fill, image))
            maps.append(coefficients(told, asked, classes, method.seed))
    return torch.stack(maps).view(*targets.shape, method.cells, method.cells)
