"""The table of a network's layers: what each gives, how many weights it has, how much of the image it sees.

Receptive fields follow eq. 2 of Araujo, Norris and Sim, Computing receptive fields of convolutional neural networks,
Distill 2019.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import find_layer, layer_shapes
from inspect_fer.schema import Classifier
from inspect_fer.twin import graph_of

WHOLE = float("inf")
SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
NORMS_AND_DROPOUTS = (nn.BatchNorm2d, nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
POOLS: tuple[Any, ...] = (F.max_pool2d, F.avg_pool2d)
MIXING = {"Softmax", "Softmax2d", "Softmin", "LogSoftmax", "MultiheadAttention"}
"""What `torch.nn` counts among the activations although it looks at other places."""
NAMES = (
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "sigmoid", "tanh", "hardswish"),
    *("hardsigmoid", "hardtanh", "clamp", "add", "iadd", "add_", "sub", "mul", "imul", "mul_", "div", "truediv"),
    *("cat", "concat", "dropout", "dropout2d", "contiguous"),
)
POINTWISE = {
    getattr(home, name) for home in (torch, F, torch.Tensor, operator) for name in NAMES if hasattr(home, name)
}


@dataclass(frozen=True)
class _Field:
    """What a place of a map sees of one side of the image, in pixels, and how far its neighbour's view lies off."""

    size: float = 1
    step: float = 1

    def behind(self, kernel: int, stride: int, dilation: int) -> "_Field":
        """Behind a kernel: r + (k - 1) d j, and steps of s j."""
        return _Field(self.size + (kernel - 1) * dilation * self.step, self.step * stride)


_Fields = tuple[_Field, _Field]


def layer_rows(model: Classifier, *, blocks: bool = False) -> list[dict[str, Any]]:
    """Every layer without layers of its own that runs, in order, as plain values for JSON; blocks: those with, too.

    name: dotted; kind: its class; shape: of its output, (C, h, w) or (F,); parameters: how many; receptive_field: side
    in pixels of what a place of its map can see, at most the whole image's, or None for a block and where the network
    cannot be traced
    """
    shapes = layer_shapes(model.network, torch.zeros(1, *model.card.input_size))
    fields = receptive_fields(model.network)
    most = max(model.card.input_size[1:])
    rows = []
    for name, shape in shapes.items():
        module = find_layer(model.network, name)
        if blocks or not any(module.children()):
            seen = fields.get(name)
            rows.append(
                {
                    "name": name,
                    "kind": type(module).__name__,
                    "shape": list(shape[1:]),
                    "parameters": sum(weights.numel() for weights in module.parameters()),
                    "receptive_field": None if seen is None else int(min(seen, most)),
                }
            )
    return rows


def receptive_fields(network: nn.Module) -> dict[str, float]:
    """By layer, the side in pixels of what a place of its map sees of an image without borders; infinity for all of it.

    The larger of height and width; the last run counts of a layer that runs several times. What is neither a
    convolution, a pooling with a kernel nor pointwise counts as seeing all. Empty where the network cannot be traced.
    """
    graph = graph_of(network)
    fields: dict[fx.Node, _Fields] = {}
    found: dict[str, float] = {}
    for node in graph.nodes if graph else ():
        fields[node] = _behind(network, node, [fields[source] for source in node.all_input_nodes])
        if node.op == "call_module":
            found[str(node.target)] = max(side.size for side in fields[node])
    return found


def _behind(network: nn.Module, node: fx.Node, before: list[_Fields]) -> _Fields:
    """What a place of a node's output sees, given what its inputs see."""
    if not before:
        return _Field(), _Field()
    joined = _joined([sides[0] for sides in before]), _joined([sides[1] for sides in before])
    module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
    function = getattr(torch.Tensor, str(node.target), None) if node.op == "call_method" else node.target
    if isinstance(module, SLIDING):
        return _slid(joined, vars(module))
    if function in POOLS:
        names = ("input", "kernel_size", "stride", "padding", "dilation" if function is POOLS[0] else "ceil_mode")
        return _slid(joined, dict(zip(names, node.args, strict=False)) | node.kwargs)
    if node.op in {"output", "get_attr"} or function in POINTWISE or (module is not None and _is_pointwise(module)):
        return joined
    return _Field(WHOLE), _Field(WHOLE)


def _is_pointwise(module: nn.Module) -> bool:
    activation = type(module).__module__ == "torch.nn.modules.activation"
    return isinstance(module, NORMS_AND_DROPOUTS) or (activation and type(module).__name__ not in MIXING)


def _joined(fields: list[_Field]) -> _Field:
    return _Field(max(field.size for field in fields), max(field.step for field in fields))


def _slid(fields: _Fields, options: Mapping[str, Any]) -> _Fields:
    kernels = _pair(options["kernel_size"])
    strides = _pair(options.get("stride") or kernels)
    dilations = _pair(options.get("dilation", 1))
    down, across = (
        side.behind(*by) for side, by in zip(fields, zip(kernels, strides, dilations, strict=True), strict=True)
    )
    return down, across


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
