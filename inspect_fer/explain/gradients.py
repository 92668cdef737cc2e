"""Gradients by the input and averages of them, through captum: five methods, each with its paper."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor

from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_between, check_count, check_fill, check_flag, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.through_captum import (
    captum_run,
    each_class,
    logits_with_graph,
    one_by_one,
    rehearse_gradient,
    seeded,
    summed,
    unanswered,
)
from inspect_fer.explain.weighing import unknown_where
from inspect_fer.schema import Classifier

PART = 16
"""How many noisy copies are drawn at a time, whatever the memory, so that the same seed gives the same noise."""


def deviation(image: Tensor, noise: float) -> float:
    """The standard deviation of noise that is a share of an image's range; 0 where that is not finite."""
    spread = float(image.max() - image.min())
    return noise * spread if isfinite(spread) else 0.0


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
            peer = attr.NoiseTunnel(attr.Saliency(logits_with_graph(network)))

            def attribute(image: Tensor, target: Tensor) -> Tensor:
                seeded(self.seed)
                settings = {"nt_samples": self.samples, "nt_samples_batch_size": PART}
                spread = deviation(image, self.noise)
                found: Tensor = peer.attribute(image, stdevs=spread, target=int(target), abs=False, **settings)
                return found

            maps = summed(each_class(one_by_one(attribute), given, targets))
            return unknown_where(unanswered(network, given), maps)


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
            peer = attr.GradientShap(logits_with_graph(network))

            def attribute(image: Tensor, target: Tensor) -> Tensor:
                base, spread = filled(image, self.baseline).contiguous(), deviation(image, self.noise)
                total = torch.zeros_like(image)
                for start in range(0, self.samples, PART):  # captum would draw all samples at a time
                    seeded(self.seed + start)
                    count = min(PART, self.samples - start)
                    total += count * peer.attribute(image, base, n_samples=count, stdevs=spread, target=int(target))
                return total / self.samples

            return summed(each_class(one_by_one(attribute), given, targets))
