"""Gradients with another rule at each ReLU, through captum: guided backpropagation, deconvolution, guided Grad-CAM."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import shared_pass
from inspect_fer.errors import NetworkError
from inspect_fer.explain.grad_cam import grad_cam
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.through_captum import captum_run, each_class, summed, unanswered
from inspect_fer.explain.unshared import modules_of, set_apart, unshared
from inspect_fer.explain.weighing import unknown_where
from inspect_fer.schema import Classifier


def at_each_relu(model: Classifier, images: Tensor, targets: Tensor, rule: str, name: str) -> Tensor:
    """Attributions (N, T, C, H, W) of captum's `GuidedBackprop` or `Deconvolution`.

    A ReLU that is shared or a function becomes a module of its own on a copy. Raises NetworkError where that cannot
    be, and where there is none: then the result would be the plain gradient.
    """
    from captum import attr

    with captum_run(model, images) as (network, given):
        traced = relus_apart(network, given, name)
        peer = getattr(attr, rule)(traced)
        found = each_class(lambda some, t: peer.attribute(some, target=t), given, targets)
        return unknown_where(unanswered(traced, given), found)


def relus_apart(network: nn.Module, images: Tensor, name: str) -> fx.GraphModule:
    """The network with each ReLU a module of its own. Raises NetworkError, in the method's name, see at_each_relu."""
    traced = unshared(network, images)
    if not any(isinstance(module, nn.ReLU) for _, module in modules_of(traced)):
        kinds = sorted({type(module).__name__ for _, module in modules_of(traced)})
        raise NetworkError(
            f"{name} changes the gradient at each ReLU, and this network has none (its modules: "
            f"{', '.join(kinds) or 'none'}); use saliency or smooth-grad."
        )
    set_apart(traced, (nn.ReLU,))
    return traced


def rehearsal(name: str) -> Callable[[Classifier, Tensor], None]:
    """Of the method of this name: a function that raises what `relus_apart` raises."""

    def rehearse(model: Classifier, images: Tensor) -> None:
        with captum_run(model, images) as (network, given):
            relus_apart(network, given, name)

    return rehearse


@dataclass(frozen=True)
class GuidedBackprop:
    """Gradient that passes a ReLU only where it and the unit are positive. Springenberg et al., 2015, arXiv:1412.6806.

    It hardly depends on the class or on the upper layers' weights (Adebayo et al., NeurIPS 2018, arXiv:1810.03292):
    a picture of edges rather than an explanation.
    """

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearsal("Guided backpropagation"))

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(setting.targets, setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), summed over channels."""
        return summed(at_each_relu(model, images, targets, "GuidedBackprop", "Guided backpropagation"))


@dataclass(frozen=True)
class Deconvnet:
    """Gradient that passes a ReLU only where it is positive itself. Zeiler and Fergus, ECCV 2014, arXiv:1311.2901."""

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearsal("Deconvolution"))

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(setting.targets, setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), summed over channels."""
        return summed(at_each_relu(model, images, targets, "Deconvolution", "Deconvolution"))


@dataclass(frozen=True)
class GuidedGradCAM:
    """Guided backpropagation times the positive part of Grad-CAM. Selvaraju et al., ICCV 2017, arXiv:1610.02391.

    The map of Grad-CAM is enlarged bilinearly, as section 3.2 has it (captum's default is the nearest cell).
    """

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    rehearse = staticmethod(rehearsal("Guided Grad-CAM"))
    reads_layer: ClassVar[bool] = True

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(1 + setting.targets, setting.targets + (not setting.linear_head))

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str) -> Tensor:
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), summed over channels."""
        guided = summed(at_each_relu(model, images, targets, "GuidedBackprop", "Guided Grad-CAM"))
        shared = shared_pass(model.network, layer, images, targets)
        coarse = grad_cam(shared.features, shared.gradients).relu()
        return guided * F.interpolate(coarse, size=images.shape[2:], mode="bilinear", align_corners=False).to(guided)
