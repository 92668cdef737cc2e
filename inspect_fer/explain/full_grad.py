"""FullGrad. Srinivas and Fleuret, NeurIPS 2019, arXiv:1905.00780."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import WholePass, whole_pass
from inspect_fer.errors import NetworkError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.through_captum import NO_GRADIENT
from inspect_fer.explain.weighing import scaled
from inspect_fer.schema import Classifier


def bias_of(module: nn.Module) -> Tensor | None:
    """What a layer adds to its output whatever its input: (channels,), or None.

    Of a batch norm in eval mode that is beta - gamma mean / sqrt(var + eps). Raises NetworkError where it normalises by
    its batch, which is no addition.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return None if module.bias is None else module.bias.detach()
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
        return None
    if type(module) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm):  # timm's have an activation inside
        raise NetworkError(
            f"FullGrad needs batch norms by themselves, and a {type(module).__name__} may do more; use grad-cam."
        )
    if module.running_mean is None or module.running_var is None:
        raise NetworkError("FullGrad needs batch norms that have running statistics; this one normalises by its batch.")
    scale = (module.running_var + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight.detach()
    added = -module.running_mean * scale
    return added if module.bias is None else added + module.bias.detach()


def full_gradients(network: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Gradient times input (N, T, C, H, W), and gradient times bias of every layer, (N, T, channels[, h, w]) each.

    images (N, C, H, W), targets (N, T). All together they sum to the logit where the network is linear piece by piece
    (proposition 1). Raises NetworkError where no gradient reaches the input.
    """
    inward, layers = _shares(biased_pass(network, images), targets)
    return inward, list(layers)


def biased_pass(network: nn.Module, images: Tensor) -> WholePass:
    """A pass of images (N, C, H, W) with the outputs of all layers that have a bias. Raises NetworkError."""
    whole = whole_pass(network, images, lambda module: bias_of(module) is not None)
    if not whole.logits.requires_grad:
        raise NetworkError(NO_GRADIENT)
    return whole


def _shares(whole: WholePass, targets: Tensor) -> tuple[Tensor, Iterator[Tensor]]:
    """As `full_gradients`, the layers one after the other."""
    seeds = F.one_hot(targets.to(whole.logits.device), whole.logits.shape[1])
    of_input, *of_outputs = (found.transpose(0, 1) for found in whole.gradients(seeds))
    wide = torch.promote_types(of_input.dtype, torch.float32)

    def layers() -> Iterator[Tensor]:
        for module, _ in whole.outputs:
            gradient, bias = of_outputs.pop(0), bias_of(module)
            if bias is not None:
                yield _times_bias(gradient.to(wide), bias.to(wide), last=isinstance(module, nn.Linear))

    return whole.images.detach()[:, None] * of_input.to(wide), layers()


def _times_bias(gradient: Tensor, bias: Tensor, *, last: bool) -> Tensor:
    """Gradient (N, T, channels, ...) times bias (channels,); a linear layer's channels stand last and become third."""
    return (gradient * bias).movedim(-1, 2) if last else gradient * bias.view(-1, *[1] * (gradient.ndim - 3))


def full_grad(inward: Tensor, bias_gradients: Iterable[Tensor]) -> Tensor:
    """Add up input and bias gradients, each layer scaled by itself: psi(x g) + sum_l sum_c psi(f_b(l, c)).

    psi takes absolute values, scales them from 0 to 1 over all channels and places of one layer of one image, and
    resizes to the image (bilinear, corners aligned, as the authors do). Layers without places, the linear ones, do not
    take part. inward (N, T, C, H, W); bias_gradients (N, T, channels, h, w). Returns (N, T, H, W), at least 0.
    """
    total = _scaled(inward).sum(dim=2)
    for layer in bias_gradients:
        if layer.ndim == 5:
            total += F.interpolate(_scaled(layer).sum(dim=2), inward.shape[3:], mode="bilinear", align_corners=True)
    return total


def _scaled(values: Tensor) -> Tensor:
    """Absolute values (N, T, C, h, w) from 0 to 1, over C, h and w together; constant ones are 0."""
    return scaled(values.abs().flatten(2, 3)).view_as(values)


@dataclass(frozen=True)
class FullGrad:
    """How strongly pixels and the biases of all layers together act on the target's logit, without sign."""

    own_passes: ClassVar[bool] = True
    precise: ClassVar[bool] = True
    share: ClassVar[int] = 3  # a graph with a copy of each output, their gradients, and one of those again
    unfolded: ClassVar[bool] = True  # a batch norm and the convolution before it are two layers

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(1, setting.targets)

    def rehearse(self, model: Classifier, images: Tensor) -> None:
        """Raise NetworkError for a network whose biases or gradients cannot be told."""
        self(model, images, torch.zeros(len(images), 1, dtype=torch.int64))

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W)."""
        rows = at_once(graph=True, share=self.share)
        images_at_once, classes_at_once = max(1, rows // targets.shape[1]), max(1, min(rows, targets.shape[1]))
        maps = []
        for some, those in zip(images.split(images_at_once), targets.split(images_at_once), strict=True):
            whole = biased_pass(model.network, some)
            maps.append(torch.cat([full_grad(*_shares(whole, few)) for few in those.split(classes_at_once, 1)], dim=1))
        return torch.cat(maps)
