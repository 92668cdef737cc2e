"""DeepLIFT, rescale rule, through captum. Shrikumar, Greenside and Kundaje, ICML 2017, arXiv:1704.02685."""

import operator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import NetworkError
from inspect_fer.explain.fills import Fill, check_fill, filled
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.through_captum import captum_run, each_class, summed, unanswered
from inspect_fer.explain.unshared import ceiling_of, modules_of, named, put_module, set_apart, unshared, varying
from inspect_fer.explain.weighing import unknown_where
from inspect_fer.schema import Classifier

RULES = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus)
LINEAR = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Unflatten,
    nn.ZeroPad2d,
    nn.Upsample,
)
FUNCTIONS: frozenset[Any] = frozenset(
    {operator.add, operator.sub, operator.neg, operator.getitem, getattr, torch.add, torch.sub, torch.flatten}
    | {
        torch.cat,
        torch.mean,
        torch.sum,
        torch.squeeze,
        torch.unsqueeze,
        torch.reshape,
        torch.permute,
        F.pad,
        F.interpolate,
    }
    | {"add", "view", "reshape", "flatten", "mean", "sum", "squeeze", "unsqueeze", "permute", "transpose", "contiguous"}
    | {"expand", "expand_as", "view_as", "size", "chunk", torch.chunk, "sub", torch.transpose}
)
PRODUCTS = (operator.mul, torch.mul, "mul")


class _Midpoint(torch.autograd.Function):
    """A product whose gradient by one factor is the mean of the other over image and baseline."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        """Multiply; both hold images, then as many baselines."""
        ctx.save_for_backward(left, right)
        return left * right

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Share delta(left right) out: mean(right) delta(left) + mean(left) delta(right), which is all of it."""
        left, right = ctx.saved_tensors
        return _halfway(right, gradient).sum_to_size(left.shape), _halfway(left, gradient).sum_to_size(right.shape)


def _halfway(factor: Tensor, gradient: Tensor) -> Tensor:
    image, baseline = factor.chunk(2)
    middle = (image + baseline) / 2
    return gradient * torch.cat([middle, middle])


class Product(nn.Module):
    """The product of two activations, as in a squeeze-and-excitation gate."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """left, right: images first, then as many baselines, as captum's DeepLIFT has them."""
        product: Tensor = _Midpoint.apply(left, right)
        return product


class _Highest(torch.autograd.Function):
    """Max pooling whose gradient hands each window's change to where image and baseline are highest."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, settings: dict[str, Any]) -> Tensor:
        """Pool; `maps` holds images, then as many baselines."""
        highest, where = F.max_pool2d(maps, return_indices=True, **settings)
        ctx.save_for_backward(maps, highest, where)
        return highest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Share out by cross maximum, windows that overlap added up, and divide by the change of each place."""
        maps, highest, where = ctx.saved_tensors
        (image, baseline), (now, before) = maps.chunk(2), highest.chunk(2)
        both = torch.maximum(now, before)
        shares = [(both - before) * gradient.chunk(2)[0], (now - both) * gradient.chunk(2)[1]]
        given = torch.zeros_like(image).flatten(2)
        for share, place in zip(shares, where.chunk(2), strict=True):
            given.scatter_add_(2, place.flatten(2), share.flatten(2))
        change = image - baseline
        ratio = torch.where(change == 0, 0, given.view_as(change) / change)
        return torch.cat([ratio, ratio]), None


class Highest(nn.Module):
    """Max pooling for DeepLIFT: captum's own rule loses what overlapping windows share."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        self.settings = {name: getattr(pool, name) for name in names}

    def forward(self, maps: Tensor) -> Tensor:
        """maps: images first, then as many baselines."""
        highest: Tensor = _Highest.apply(maps, self.settings)
        return highest


def prepared(traced: fx.GraphModule) -> fx.GraphModule:
    """The same network with products as modules. Raises NetworkError for what DeepLIFT has no rule for."""
    moving = varying(traced)
    for node, module in list(modules_of(traced)):
        if isinstance(module, nn.MaxPool2d):
            put_module(traced, node, Highest(module))
        elif node in moving and not isinstance(module, RULES + LINEAR):
            raise _refusal(f"{type(module).__name__} ({node.target})")
        elif node in moving and isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is None:
            raise NetworkError(
                "DeepLIFT needs batch norms that have running statistics; this one normalises by its batch, which "
                "mixes image and baseline. Use grad-cam of one image at a time."
            )
    for node in [node for node in moving if node.op in ("call_function", "call_method")]:
        if node.target in PRODUCTS:
            given = (*node.args, *node.kwargs.values())
            factors = tuple(part for part in given if isinstance(part, fx.Node) and part in moving)
            if len(factors) == 2:
                put_module(traced, node, Product(), factors)
        elif (highest := ceiling_of(node)) is not None:
            _uncap(traced, node, highest)
        elif node.target not in FUNCTIONS and not (node.target is operator.truediv and node.args[1] not in moving):
            raise _refusal(f"the function {named(node)}")
    set_apart(traced, RULES)
    return traced


def _uncap(traced: fx.GraphModule, node: fx.Node, highest: float) -> None:
    """Turn min(z, c) into c - relu(c - z), for which there is a rule; of ReLU6 both together make the rescale rule."""
    with traced.graph.inserting_before(node):
        room = traced.graph.call_function(operator.sub, (highest, node.args[0]))
    put_module(traced, node, nn.ReLU(), (room,))
    with traced.graph.inserting_after(node):
        rest = traced.graph.call_function(operator.sub, (highest, node))
    node.replace_all_uses_with(rest, delete_user_cb=lambda user: user is not rest)


def _refusal(culprit: str) -> NetworkError:
    rules = ", ".join(kind.__name__ for kind in RULES)
    return NetworkError(
        f"DeepLIFT has no rule for {culprit}; it has for linear layers, products, max pooling, {rules}. "
        "Use integrated-gradients, which takes any differentiable network."
    )


@dataclass(frozen=True)
class DeepLift:
    """What each pixel's difference to the baseline adds to the logit, by the rescale rule.

    A map adds up to the logit less that of the baseline. Products of two activations (gates), for which the paper has
    no rule, are shared out half and half between the orders of change, as SHAP's deep explainer does.
    baseline: a value in network-input units, "mean" of the image per channel, or "blur"
    """

    baseline: Fill = 0.0

    own_passes: ClassVar[bool] = True
    share: ClassVar[int] = 6  # image and baseline, each with what captum's rules keep
    precise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fill("DeepLIFT", self.baseline)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(2 * setting.targets, 2 * setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W), targets (N, T). Returns (N, T, H, W), summed over channels. Raises NetworkError."""
        from captum import attr

        with captum_run(model, images, gradients=False) as (network, given):
            traced = prepared(unshared(network, given))
            peer = attr.DeepLift(traced)

            def attribute(some: Tensor, t: Tensor) -> Tensor:
                found: Tensor = peer.attribute(some, filled(some, self.baseline).contiguous(), target=t)
                return found

            maps = summed(each_class(attribute, given, targets, share=self.share))
            return unknown_where(unanswered(traced, given), maps)

    def rehearse(self, model: Classifier, images: Tensor) -> None:
        """Raise NetworkError for a network that cannot be traced, that has no rule, or that captum fails on."""
        self(model, images, torch.zeros(len(images), 1, dtype=torch.int64))
