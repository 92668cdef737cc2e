"""A copy of a network in which every activation is a module of its own, so that captum's hooks reach each one."""

import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inspect_fer.errors import NetworkError
from inspect_fer.twin import TRACING, Tracer

TOLERANCE = 1e-6
"""How far the copy's logits may lie from the network's, relative to the largest."""

POOLING = ("kernel_size", "stride", "padding")
MODULES: dict[Any, tuple[type[nn.Module], tuple[str, ...]]] = {
    F.relu: (nn.ReLU, ()),
    torch.relu: (nn.ReLU, ()),
    torch.relu_: (nn.ReLU, ()),
    "relu": (nn.ReLU, ()),
    "relu_": (nn.ReLU, ()),
    F.sigmoid: (nn.Sigmoid, ()),
    torch.sigmoid: (nn.Sigmoid, ()),
    "sigmoid": (nn.Sigmoid, ()),
    F.tanh: (nn.Tanh, ()),
    torch.tanh: (nn.Tanh, ()),
    "tanh": (nn.Tanh, ()),
    F.elu: (nn.ELU, ("alpha",)),
    F.leaky_relu: (nn.LeakyReLU, ("negative_slope",)),
    F.max_pool2d: (nn.MaxPool2d, (*POOLING, "dilation", "ceil_mode")),
    F.avg_pool2d: (nn.AvgPool2d, (*POOLING, "ceil_mode", "count_include_pad", "divisor_override")),
    F.adaptive_avg_pool2d: (nn.AdaptiveAvgPool2d, ("output_size",)),
}
"""The module that does the same as a function or method of a tensor, and what the latter's arguments are called."""

HOOKS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
)
"""Where a module keeps the hooks on its forward pass, and which of them are called how."""

NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""What does nothing in eval mode."""


def unshared(network: nn.Module, images: Tensor, *, fold: bool = False) -> fx.GraphModule:
    """Trace a copy of the network and give each call of a module or activation function a module of its own.

    network: a copy that may be changed; images (N, C, H, W), of which the first two are used to see that both agree:
    in double precision, for the rounding of folded norms adds up with depth and is large beside logits near 0.
    fold: merge batch norms into the convolutions before them. Raises NetworkError where the network cannot be traced,
    or the copy answers differently.
    """
    if all(each.dtype == torch.float32 for each in chain(network.parameters(), network.buffers()) if each.ndim):
        with suppress(RuntimeError, TypeError):  # it may insist on its own precision, as may the device
            return _unshared(network.double(), images.double(), fold, TOLERANCE).float()
        network.float()
    return _unshared(network, images, fold, 100 * TOLERANCE if fold else TOLERANCE)


def _unshared(network: nn.Module, images: Tensor, fold: bool, tolerance: float) -> fx.GraphModule:  # noqa: FBT001
    with torch.no_grad():
        expected = network(images[:2].clone())
        traced = _traced(network)
        for node in list(traced.graph.nodes):
            _replace(traced, node)
        if fold:
            _fold_norms(traced)
        finish(traced)
        for name in HOOKS:  # the owner's, on the network as a whole
            setattr(traced, name, getattr(network, name))
        found, known = traced(images[:2].clone()), expected.isfinite()  # NaN tells nothing of the copy
        off, size = ((values * known).nan_to_num(0, 0, 0).abs().amax() for values in (found - expected, expected))
    if not off <= tolerance * size or not (found.isfinite() == known).all():
        raise NetworkError(
            f"This network's copy with modules of its own is {float(off):.2g} off in its logits; "
            "use integrated-gradients, which needs no such copy."
        )
    return traced


def finish(traced: fx.GraphModule) -> None:
    """Make the code of a changed graph, and forget modules that it no longer uses."""
    traced.graph.eliminate_dead_code()
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()


def _traced(network: nn.Module) -> fx.GraphModule:
    try:
        with TRACING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = Tracer(network).trace(network)
    except Exception as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0]
        raise NetworkError(
            "This method needs every activation as a module of its own, and this network cannot be traced to see to "
            f"that ({reason}); use integrated-gradients, smooth-grad or rise, which take any network."
        ) from problem
    traced = fx.GraphModule(network, graph)
    _separate(traced)
    return traced.eval()


def _separate(traced: fx.GraphModule) -> None:
    """Give a module that runs several times a copy for each further time."""
    seen: Counter[str] = Counter()
    for node in traced.graph.nodes:
        if node.op == "call_module":
            name = str(node.target)
            seen[name] += 1
            if seen[name] > 1:
                put_module(traced, node, deepcopy(traced.get_submodule(name)))


def put_module(traced: fx.GraphModule, node: fx.Node, module: nn.Module, inputs: tuple[Any, ...] | None = None) -> None:
    """Let a module of its own do what a node of the graph does, by default from the same first argument."""
    name = f"own_{node.name}"
    traced.add_submodule(name, module.eval())
    node.op, node.target = "call_module", name
    node.args, node.kwargs = (node.args if inputs is None else inputs), {}


def _replace(traced: fx.GraphModule, node: fx.Node) -> None:
    """Turn a function into its module, a mean over the map into pooling, an addition in place into a plain one."""
    if node.target is F.relu6 or _is_module(traced, node, (nn.ReLU6,)):
        _cap(traced, node)
    elif _is_module(traced, node, NOTHING):
        _drop(traced, node)
    elif node.op not in ("call_function", "call_method"):
        return
    elif node.target in (F.dropout, F.dropout2d):
        _drop(traced, node)
    elif node.target in (operator.iadd, "add_"):
        node.op, node.target, node.kwargs = "call_function", operator.add, {}
    elif node.target in (operator.imul, "mul_"):
        node.op, node.target, node.kwargs = "call_function", operator.mul, {}
    elif (known := MODULES.get(node.target)) and not node.kwargs.get("return_indices"):
        kind, names = known
        options = {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
        source = options.pop("input", None) or node.args[0]
        options.pop("inplace", None)
        put_module(traced, node, kind(**{name: options[name] for name in names if name in options}), (source,))
    elif _is_mean_of_map(node):
        _pool(traced, node)


def _is_module(traced: fx.GraphModule, node: fx.Node, kinds: tuple[type[nn.Module], ...]) -> bool:
    return node.op == "call_module" and isinstance(traced.get_submodule(str(node.target)), kinds)


def _cap(traced: fx.GraphModule, node: fx.Node) -> None:
    """Turn ReLU6 into a ReLU and a ceiling behind it, torch.clamp with max=6 alone."""
    put_module(traced, node, nn.ReLU(), (node.all_input_nodes[0],))
    with traced.graph.inserting_after(node):
        capped = traced.graph.call_function(torch.clamp, (node,), {"max": 6.0})
    node.replace_all_uses_with(capped, delete_user_cb=lambda user: user is not capped)


def ceiling_of(node: fx.Node) -> float | None:
    """What a node caps its values at, if that is all that it does."""
    alone = node.target is torch.clamp and len(node.args) == 1 and list(node.kwargs) == ["max"]
    highest = node.kwargs["max"] if alone else None
    return float(highest) if isinstance(highest, int | float) else None


def _drop(traced: fx.GraphModule, node: fx.Node) -> None:
    node.replace_all_uses_with(node.all_input_nodes[0])
    traced.graph.erase_node(node)


def _is_mean_of_map(node: fx.Node) -> bool:
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return node.target in (torch.mean, "mean") and dims in ([2, 3], (2, 3), [-2, -1], (-2, -1), [-1, -2], (-1, -2))


def _pool(traced: fx.GraphModule, node: fx.Node) -> None:
    keeps = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
    put_module(traced, node, nn.AdaptiveAvgPool2d(1), (node.all_input_nodes[0],))
    if not keeps:
        with traced.graph.inserting_after(node):
            flat = traced.graph.call_function(torch.flatten, (node, 1))
        node.replace_all_uses_with(flat, delete_user_cb=lambda user: user is not flat)


def _fold_norms(traced: fx.GraphModule) -> None:
    """Merge each batch norm into the convolution that feeds it alone."""
    for norm, module in list(modules_of(traced)):
        source = norm.args[0] if norm.args else None
        if not isinstance(module, nn.BatchNorm2d) or module.running_mean is None or not isinstance(source, fx.Node):
            continue
        before = traced.get_submodule(str(source.target)) if source.op == "call_module" else None
        if isinstance(before, nn.Conv2d) and len(source.users) == 1:
            put_module(traced, source, fuse_conv_bn_eval(before, module).requires_grad_(requires_grad=False))
            _drop(traced, norm)


def set_apart(traced: fx.GraphModule, kinds: tuple[type[nn.Module], ...]) -> None:
    """Copy what goes into modules of these kinds.

    captum hooks the tensors before and behind each: where one module feeds another, the first would see the gradient
    before the second has changed it, and where a tensor has other uses, their gradients would be changed too.
    """
    for node, module in list(modules_of(traced)):
        if isinstance(module, kinds):
            source = node.all_input_nodes[0]
            with traced.graph.inserting_before(node):
                copied = traced.graph.call_function(torch.clone, (source,))
            node.replace_input_with(source, copied)
    finish(traced)


def modules_of(traced: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module]]:
    """Every call of a module in the graph, in order."""
    for node in traced.graph.nodes:
        if node.op == "call_module":
            yield node, traced.get_submodule(str(node.target))


def varying(traced: fx.GraphModule) -> dict[fx.Node, None]:
    """The nodes whose value depends on the images, in the graph's order."""
    found: dict[fx.Node, None] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder" or (not_shape(node) and any(given in found for given in node.all_input_nodes)):
            found[node] = None
    return found


def not_shape(node: fx.Node) -> bool:
    """Whether a node asks for anything but the size of a tensor."""
    asks = node.args[1] if node.target is getattr and len(node.args) > 1 else node.target
    return asks not in ("size", "shape", "dim", "ndim")


def named(node: fx.Node) -> str:
    """What a message calls a function or method of the graph."""
    target: str | Callable[..., Any] = node.target
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))
