"""Gradients by the input and averages of them, through captum: five methods, each with its paper."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_between, check_count, check_fill, check_flag, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.through_captum import (
    Attribute,
    captum_run,
    each_class,
    logits_with_graph,
    one_by_one,
    rehearse_gradient,
    summed,
    unanswered,
)
from inspect_fer.explain.weighing import unknown_where
from inspect_fer.schema import Classifier

PART = 16
"""How many noisy copies are drawn at a time, whatever the memory, so that the same seed gives the same noise."""


Points: TypeAlias = Iterator[tuple[Tensor, Tensor]]
"""Inputs at which a gradient is taken, (n, C, H, W), with what it is multiplied by there, part after part."""


def mean_gradient(gradient: Attribute, points: Points, target: Tensor, samples: int) -> Tensor:
    """The mean of `samples` weighted gradients of a class's logit, (1, C, H, W); target (1,).

    A part of the points goes through the network in as many pieces as memory asks for.
    """
    total = torch.zeros(())
    for part, weights in points:
        rows = at_once(graph=True)
        for point, weight in zip(part.split(rows), weights.split(rows), strict=True):
            total = total + (weight * gradient(point, target.expand(len(point)))).sum(dim=0, keepdim=True)
    return total / samples


def _gradient(saliency: Any, images: Tensor, targets: Tensor) -> Tensor:
    """captum's gradient of one class each by images (n, C, H, W), targets (n,)."""
    found: Tensor = saliency.attribute(images, target=targets, abs=False)
    return found


def parts(samples: int) -> Iterator[tuple[int, int]]:
    """Where each part starts, and how many are drawn in it."""
    return ((done, min(PART, samples - done)) for done in range(0, samples, PART))


def noisy(image: Tensor, noise: float, count: int, generator: torch.Generator) -> Tensor:
    """Copies (count, C, H, W) of an image (1, C, H, W), with noise of that share of its range."""
    drawn = torch.randn(count, *image.shape[1:], generator=generator, device=image.device, dtype=image.dtype)
    return drawn.mul_(noise * (image.max() - image.min())).add_(image)


@dataclass(frozen=True)
class Saliency:
    """How the target's logit changes with each pixel. Simonyan et al., ICLR workshop 2014, arXiv:1312.6034.

    The map is signed: the derivative by the pixel's grey level, summed over channels. `absolute` gives the published
    map (section 3.1) instead: the largest of the channels' absolute gradients.
    """

    absolute: bool = False

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearse_gradient)

    def __post_init__(self) -> None:
        check_flag("Saliency", "absolute", self.absolute)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(setting.targets, setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), NaN where the answer is."""
        from captum import attr

        with captum_run(model, images) as (network, given):
            peer = attr.Saliency(logits_with_graph(network))
            found = each_class(lambda some, t: peer.attribute(some, target=t, abs=False), given, targets)
            maps = found.abs().amax(dim=2) if self.absolute else summed(found)
            return unknown_where(unanswered(network, given), maps)


@dataclass(frozen=True)
class InputXGradient:
    """Gradient times input, a first-order share of the logit. Shrikumar et al., 2016, arXiv:1605.01713."""

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearse_gradient)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(setting.targets, setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), summed over channels."""
        from captum import attr

        with captum_run(model, images) as (network, given):
            peer = attr.InputXGradient(logits_with_graph(network))
            return summed(each_class(lambda some, t: peer.attribute(some, target=t), given, targets))


@dataclass(frozen=True)
class SmoothGrad:
    """Mean gradient over noisy copies of the image. Smilkov et al., 2017, arXiv:1706.03825.

    noise: standard deviation as a share of the image's range, largest less smallest value (section 3.1)
    samples: noisy copies; the same noise, from `seed`, for each image and class
    """

    noise: float = 0.15
    samples: int = 50
    seed: int = 0

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    together: ClassVar[int] = PART
    rehearse = staticmethod(rehearse_gradient)

    def __post_init__(self) -> None:
        check_between("SmoothGrad", "noise", self.noise, 0, 10)
        check_count("SmoothGrad", "samples", self.samples)
        check_count("SmoothGrad", "seed", self.seed, least=0)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.samples * setting.targets, self.samples * setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), signed, summed over channels."""
        from captum import attr

        with captum_run(model, images) as (network, given):
            gradient = partial(_gradient, attr.Saliency(logits_with_graph(network)))

            def attribute(image: Tensor, target: Tensor) -> Tensor:
                return mean_gradient(gradient, self._points(image), target, self.samples)

            maps = summed(each_class(one_by_one(attribute), given, targets))
            return unknown_where(unanswered(network, given), maps)

    def _points(self, image: Tensor) -> Points:
        """Noisy copies of an image (1, C, H, W), each of which counts alike."""
        generator = torch.Generator(image.device).manual_seed(self.seed)
        for _, count in parts(self.samples):
            copies = noisy(image, self.noise, count, generator)
            yield copies, torch.ones_like(copies[:, :1, :1, :1])


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients collected on the way from a baseline to the image. Sundararajan et al., ICML 2017, arXiv:1703.01365.

    A map adds up to the logit less that of the baseline, as far as `steps` suffice (Gauss-Legendre quadrature): on the
    network `demo` (16 synthetic faces, all classes) the sums are 1.6 % off with 50 steps, 0.25 % with 300.
    baseline: a value in network-input units, "mean" of the image per channel, or "blur"
    """

    steps: int = 50
    baseline: Fill = 0.0

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearse_gradient)

    def __post_init__(self) -> None:
        check_count("Integrated gradients", "steps", self.steps)
        check_fill("Integrated gradients", self.baseline)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.steps * setting.targets, self.steps * setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), summed over channels."""
        from captum import attr

        settings = {"n_steps": self.steps, "internal_batch_size": at_once(graph=True)}
        with captum_run(model, images) as (network, given):
            peer = attr.IntegratedGradients(logits_with_graph(network))

            def attribute(some: Tensor, t: Tensor) -> Tensor:
                found: Tensor = peer.attribute(some, filled(some, self.baseline).contiguous(), target=t, **settings)
                return found

            return summed(each_class(attribute, given, targets))


@dataclass(frozen=True)
class GradientShap:
    """Mean of (noisy image less baseline) x gradient at random points between both: expected gradients.

    Lundberg and Lee, NeurIPS 2017, arXiv:1705.07874; Erion et al., 2021, arXiv:1906.10670. The baselines are one per
    image, so the randomness is that of the point on the way and of the noise, drawn alike for each image and class.

    noise: standard deviation as a share of the image's range
    baseline: a value in network-input units, "mean" of the image per channel, or "blur"
    """

    samples: int = 50
    noise: float = 0.1
    baseline: Fill = 0.0
    seed: int = 0

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    together: ClassVar[int] = PART
    rehearse = staticmethod(rehearse_gradient)

    def __post_init__(self) -> None:
        check_count("GradientSHAP", "samples", self.samples)
        check_between("GradientSHAP", "noise", self.noise, 0, 10)
        check_fill("GradientSHAP", self.baseline)
        check_count("GradientSHAP", "seed", self.seed, least=0)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(self.samples * setting.targets, self.samples * setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), summed over channels."""
        from captum import attr

        with captum_run(model, images) as (network, given):
            gradient = partial(_gradient, attr.Saliency(logits_with_graph(network)))

            def attribute(image: Tensor, target: Tensor) -> Tensor:
                return mean_gradient(gradient, self._points(image), target, self.samples)

            return summed(each_class(one_by_one(attribute), given, targets))

    def _points(self, image: Tensor) -> Points:
        """Points between the baseline and noisy copies of an image (1, C, H, W), with the way between both."""
        base = filled(image, self.baseline)
        for start, count in parts(self.samples):
            copies = noisy(image, self.noise, count, torch.Generator(image.device).manual_seed(self.seed + start))
            drawn = np.random.RandomState((self.seed + start) % 2**32).uniform(size=(count, 1, 1, 1))
            away = copies - base
            yield base + torch.from_numpy(drawn).to(image) * away, away
