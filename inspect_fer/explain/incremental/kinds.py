"""What a node of a network's graph does with patches of maps, for those that treat every place of a map alike."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.explain.incremental.reach import Kernel, Repeat, Side


@dataclass(frozen=True)
class Sliding:
    """What goes over the map: a convolution, a pooling, an enlargement.

    sides: what it does along the rows and along the columns
    border: what it sees outside the map
    patch: makes patches (n, C, h, w), border and all, into patches of its output
    whole: makes maps (n, C, h, w) into whole maps, as the network does
    """

    sides: tuple[Side, Side]
    border: float
    patch: Callable[[Tensor], Tensor]
    whole: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pointwise:
    """What treats each place by itself; `apply` takes places (n, C) of one map or of several, as the node says."""

    apply: Callable[..., Tensor]


Kind: TypeAlias = Sliding | Pointwise

DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
ACTIVATIONS = (
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid),
)
NAMES = (
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "celu", "gelu", "silu", "mish"),
    *("sigmoid", "sigmoid_", "tanh", "tanh_", "softplus", "softsign", "logsigmoid", "hardtanh", "hardswish"),
    *("hardsigmoid", "clamp", "clamp_", "abs", "neg", "exp", "sqrt", "square", "pow", "maximum", "minimum"),
    *("add", "add_", "iadd", "sub", "sub_", "isub", "mul", "mul_", "imul", "div", "div_", "truediv"),
)
POINTWISE = {
    getattr(home, name) for home in (torch, F, torch.Tensor, operator) for name in NAMES if hasattr(home, name)
}
POOLS: dict[Any, tuple[type[nn.Module], tuple[str, ...]]] = {
    F.max_pool2d: (nn.MaxPool2d, ("stride", "padding", "dilation", "ceil_mode", "return_indices")),
    F.avg_pool2d: (nn.AvgPool2d, ("stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")),
}
"""The module that does the same as a function, and what the latter's arguments behind the kernel's size are called."""


def function_of(network: nn.Module, node: fx.Node) -> Any:
    """The function or module that a node calls; None where it calls none."""
    if node.op == "call_module":
        return network.get_submodule(str(node.target))
    if node.op == "call_method":
        return getattr(torch.Tensor, str(node.target), None)
    return node.target if node.op == "call_function" else None


def kind_of(network: nn.Module, node: fx.Node, before: torch.Size, after: torch.Size) -> Kind | None:
    """What a node does with patches; None where it needs whole maps.

    before: shape (N, C, h, w) of its first input; after: of its output
    """
    function = function_of(network, node)
    if isinstance(function, nn.Module):
        return _kind_of_module(function)
    if function in POINTWISE:
        return Pointwise(function)
    if function in (F.dropout, F.dropout2d):
        asleep = node.kwargs.get("training", True) is False
        return Pointwise(_as_it_is) if asleep else None
    if function in (torch.cat, torch.concat):
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        return Pointwise(function) if dim == 1 else None
    if function is F.interpolate:
        plain = node.kwargs.get("mode", "nearest") == "nearest" and len(node.args) < 4
        return _enlargement(before, after) if plain else None
    return _pooling(node, *POOLS[function]) if function in POOLS else None


def _as_it_is(places: Tensor, *_: Any, **__: Any) -> Tensor:
    return places


def _pooling(node: fx.Node, kind: type[nn.Module], names: tuple[str, ...]) -> Kind | None:
    """A pooling that is called as a function."""
    options = {**dict(zip(("input", "kernel_size", *names), node.args, strict=False)), **node.kwargs}
    options.pop("input")
    return None if any(isinstance(value, fx.Node) for value in options.values()) else _kind_of_module(kind(**options))


def _kind_of_module(module: nn.Module) -> Kind | None:
    match module:
        case nn.Conv2d() if module.padding_mode == "zeros":
            return _convolution(module)
        case nn.MaxPool2d() if not module.return_indices:
            sides = _sides(module.kernel_size, module.stride, module.padding, module.dilation)
            options: dict[str, Any] = {"stride": module.stride, "dilation": module.dilation}
            patch = partial(F.max_pool2d, kernel_size=module.kernel_size, **options)
            return Sliding(sides, float("-inf"), patch, module)
        case nn.AvgPool2d() if not module.ceil_mode and (module.count_include_pad or module.padding in (0, (0, 0))):
            sides = _sides(module.kernel_size, module.stride, module.padding, 1)
            options = {"stride": module.stride, "divisor_override": module.divisor_override}
            return Sliding(sides, 0.0, partial(F.avg_pool2d, kernel_size=module.kernel_size, **options), module)
        case nn.BatchNorm2d() if module.running_mean is not None:
            return Pointwise(partial(_normalised, module))
    if isinstance(module, DROPOUTS):
        return Pointwise(_as_it_is)
    return Pointwise(module) if type(module) in ACTIVATIONS else None


def _convolution(module: nn.Conv2d) -> Sliding:
    padding = module.padding
    if isinstance(padding, str):  # of "same" the smaller part comes before the map
        spare = [dilation * (size - 1) for dilation, size in zip(module.dilation, module.kernel_size, strict=True)]
        padding = (0, 0) if padding == "valid" else (spare[0] // 2, spare[1] // 2)

    def patch(patches: Tensor) -> Tensor:
        return F.conv2d(patches, module.weight, module.bias, module.stride, 0, module.dilation, module.groups)

    return Sliding(_sides(module.kernel_size, module.stride, padding, module.dilation), 0.0, patch, module)


def _normalised(module: nn.BatchNorm2d, places: Tensor) -> Tensor:
    """Batch norm in eval mode of places (n, C)."""
    mean, variance = module.running_mean, module.running_var
    return F.batch_norm(places, mean, variance, module.weight, module.bias, eps=module.eps)


def _enlargement(before: torch.Size, after: torch.Size) -> Sliding | None:
    """An enlargement to the nearest place, if every place is repeated equally often."""
    times = after[2] // before[2], after[3] // before[3]
    if (before[2] * times[0], before[3] * times[1]) != tuple(after[2:]):
        return None
    whole = partial(F.interpolate, size=tuple(after[2:]))
    return Sliding((Repeat(times[0]), Repeat(times[1])), 0.0, _as_it_is, whole)


def _sides(size: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Side, Side]:
    """The sides of a kernel whose settings are a number, or one each for rows and columns."""
    pairs = (
        given if isinstance(given, tuple | list) else (given, given) for given in (size, stride, padding, dilation)
    )
    rows, columns = zip(*pairs, strict=True)
    return cast("tuple[Side, Side]", (Kernel(*rows), Kernel(*columns)))
