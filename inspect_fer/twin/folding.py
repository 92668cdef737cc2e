"""An exact, faster twin of a network in eval mode: batch norms folded, ReLUs in place, channels-last."""

from collections import Counter
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from inspect_fer.twin.copies import altered, evaluation_copy
from inspect_fer.twin.state import state_of
from inspect_fer.twin.tracing import trace

TOLERANCE = 1e-5
"""How far the twin's logits may lie from the network's, relative to the largest."""

SLOPES = 1e-2
"""How far the gradient by the images may, relative to its length: a ReLU of a value next to 0 may go either way."""

Fold = tuple[str, str]
"""A convolution and the batch norm that alone follows it."""

KEPT = 3
"""So many twins of a network are kept, for different layers to read; each holds all of its weights."""

OVERWRITTEN = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
"""Nobody needs what these gave but the one ReLU that reads it, not even for gradients."""


@dataclass
class _Known:
    """What was made of a network while its state was this; None where the network itself has to do."""

    state: tuple[object, ...]
    folds: frozenset[Fold]
    relus: frozenset[str]
    twins: dict[frozenset[Fold], nn.Module | None] = field(default_factory=dict)


_KNOWN: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()
_TWINS: WeakSet[nn.Module] = WeakSet()
_HALVES: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()


def exact_twin(network: nn.Module, keep: tuple[str, ...], images: Tensor) -> nn.Module:
    """A faster copy of `network` in eval mode whose layers `keep` still give what they give there.

    images: (N, C, H, W) input, of which the first two are used once to see that both agree. The network itself is
    returned where they do not, where it cannot be copied, and where hooks or a replaced `forward` hang on it.
    """
    if any(altered(module) for module in network.modules()):
        return network
    with torch.inference_mode(mode=False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        if (state := state_of(network)) is None:
            return network
        known = _KNOWN.get(network)
        if known is None or known.state != state:
            with torch.enable_grad():  # what reads a layer for gradients alone counts as well
                graph = trace(network)
            known = _KNOWN[network] = _Known(state, _folds(network, graph), _relus(network, graph))
        folds = known.folds - _seen(network, known.folds, keep)
        twin = known.twins.pop(folds) if folds in known.twins else _verified_twin(network, folds, known.relus, images)
        known.twins[folds] = twin  # the last one used stands last
        for old in list(known.twins)[:-KEPT]:
            del known.twins[old]
    return network if twin is None else twin


def never_changes(network: nn.Module) -> bool:
    """Whether this is a twin."""
    return network in _TWINS


def multiplies_half(device: str) -> bool:
    """Whether this kind of device ("cpu", "cuda") multiplies bfloat16 faster than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def half_twin(network: nn.Module) -> nn.Module:
    """A copy of `network` in bfloat16, or itself where that is no faster or where it cannot be copied.

    The copy of an exact twin is kept as long as that lives, since a twin never changes.
    """
    device = next((weight.device.type for weight in network.parameters()), "cpu")
    if not multiplies_half(device) or any(altered(module) for module in network.modules()):
        return network
    if network not in _HALVES:
        with torch.inference_mode(mode=False):
            try:
                half = evaluation_copy(network).bfloat16().to(memory_format=torch.channels_last)
            except Exception:
                return network
        if not never_changes(network):
            return half
        _HALVES[network] = half
    return _HALVES[network]


def _seen(network: nn.Module, folds: frozenset[Fold], keep: tuple[str, ...]) -> set[Fold]:
    """Those between whose two parts one of the layers may give something out: it holds the convolution alone."""
    layers = dict(network.named_modules(remove_duplicate=False))  # a module may have several names
    held = [set(layers[name].modules()) for name in keep if name in layers]
    return {fold for fold in folds for one in held if layers[fold[0]] in one and layers[fold[1]] not in one}


def _verified_twin(
    network: nn.Module, folds: frozenset[Fold], relus: frozenset[str], images: Tensor
) -> nn.Module | None:
    """The twin, or None when it cannot be made or answers differently; a faulty network speaks for itself later."""
    try:
        twin = evaluation_copy(network)
        weight = next((weight for weight in twin.parameters() if weight.is_floating_point()), images)
        first = images[:2].detach().nan_to_num(0, 0, 0).to(weight)
        expected, slope = _answer(twin, first)
        for fold in folds:
            _fold(twin, *fold)
        for name in relus:
            cast("nn.ReLU", twin.get_submodule(name)).inplace = True
        twin.to(memory_format=torch.channels_last)
        found, found_slope = _answer(twin, first)
        agrees = (found - expected).abs().amax() <= TOLERANCE * expected.abs().amax()
        agrees &= bool((found_slope - slope).norm() <= SLOPES * slope.norm())
    except Exception:
        return None
    if not agrees:
        return None
    _TWINS.add(twin)
    return twin


def _answer(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of these images, and the gradient of their sum by the images; zeros where none leads back."""
    with torch.enable_grad():
        leaf = images.clone().requires_grad_()
        logits = network(leaf.clone())
        if not logits.requires_grad:
            return logits, torch.zeros_like(images)
        weights = torch.linspace(1, 2, logits[0].numel()).to(logits)  # the plain sum may be the same for every image
        (slope,) = torch.autograd.grad((logits.flatten(1) * weights).sum(), leaf, allow_unused=True)
    return logits.detach(), torch.zeros_like(images) if slope is None else slope


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    """Move a batch norm into the weights of the convolution before it; an identity takes its place."""
    conv = cast("nn.Conv2d", network.get_submodule(convolution))
    batch_norm = cast("nn.BatchNorm2d", network.get_submodule(norm))
    mean, variance = cast("Tensor", batch_norm.running_mean), cast("Tensor", batch_norm.running_var)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, batch_norm.eps, batch_norm.weight, batch_norm.bias
    )
    parent, _, name = norm.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())


def _once(graph: fx.Graph | None) -> list[tuple[fx.Node, fx.Node]]:
    """Modules that run once with what they read, where that is a module's, which runs once and which nobody else reads.

    There are none where the network cannot be traced.
    """
    calls = {node: node.target for node in graph.nodes if node.op == "call_module"} if graph else {}
    times = Counter(calls.values())
    pairs = [(node.args[0], node) for node in calls if node.args and node.args[0] in calls]
    return [(read, node) for read, node in pairs if len(read.users) == times[read.target] == times[node.target] == 1]


def _folds(network: nn.Module, graph: fx.Graph | None) -> frozenset[Fold]:
    """Every convolution whose one use is a batch norm."""
    return frozenset(
        (str(conv.target), str(norm.target)) for conv, norm in _once(graph) if _foldable(network, conv, norm)
    )


def _relus(network: nn.Module, graph: fx.Graph | None) -> frozenset[str]:
    """Every ReLU that may write over what it reads."""
    kinds = {name: type(module) for name, module in network.named_modules()}
    pairs = ((kinds[str(read.target)], str(relu.target)) for read, relu in _once(graph))
    return frozenset(relu for read, relu in pairs if kinds[relu] is nn.ReLU and read in OVERWRITTEN)


def _foldable(network: nn.Module, convolution: fx.Node, norm: fx.Node) -> bool:
    """Whether these are a plain convolution and a plain batch norm with running statistics."""
    modules = [network.get_submodule(str(node.target)) for node in (convolution, norm)]
    return list(map(type, modules)) == [nn.Conv2d, nn.BatchNorm2d] and modules[1].running_mean is not None
