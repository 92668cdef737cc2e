"""The only hooks of the library: what layers gave, and one pass that serves every method and every class."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import NetworkError
from inspect_fer.lookup import lookup


@contextmanager
def leave_no_trace(network: nn.Module) -> Iterator[None]:
    """Put every module of `network` into eval mode and leave inference mode; afterwards all is as it was.

    Training flags are kept per module, and the random state is restored, on errors too.
    """
    flags = [(module, module.training) for module in network.modules()]
    devices = {weight.device for weight in network.parameters() if weight.is_cuda}
    try:
        for module, _ in flags:
            module.training = False
        with torch.inference_mode(mode=False), torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, training in flags:
            module.training = training


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Run images (N, C, H, W) through the network and return its logits (N, K), graph and all.

    The images are copied to the network's device and number format, so that no layer writes into the caller's; the
    weights take no part in the graph. Raises NetworkError when the answer is not one row of logits an image.
    """
    if torch.is_grad_enabled() and isinstance(network, nn.DataParallel | torch.jit.ScriptModule):
        raise NetworkError(f"No gradient can be read inside a {type(network).__name__}; give the network inside it.")
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), images)
    copied = images.detach().to(weight.device, weight.dtype, copy=True)
    stand_ins = _without_graph(network) if torch.is_grad_enabled() else {}
    logits = functional_call(network, stand_ins, (copied,)) if stand_ins else network(copied)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        given = " x ".join(map(str, logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise NetworkError(f"The network must turn N images into logits (N, K); {len(images)} images gave {given}.")
    return logits


def _without_graph(network: nn.Module) -> dict[str, Tensor]:
    """What stands in for the weights that would start a graph, or that inference mode forbids in one."""
    return {
        name: weight.detach().clone() if weight.is_inference() else weight.detach()
        for name, weight in chain(network.named_parameters(), network.named_buffers())
        if weight.requires_grad or weight.is_inference()
    }


@contextmanager
def _watched(layers: Mapping[str, nn.Module], see: Callable[[str, object], Tensor | None]) -> Iterator[None]:
    """Tell `see` the name and output of each of these layers when it has run; a tensor that it returns goes on."""
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: see(name, output))
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _plain_pass(network: nn.Module, images: Tensor, see: Callable[[str, object], None]) -> None:
    """Run the network once, in eval mode and without a graph, with every layer but itself watched."""
    layers = {name: module for name, module in network.named_modules() if name}
    with leave_no_trace(network), torch.no_grad(), _watched(layers, see):
        logits_of(network, images)


def layer_shapes(network: nn.Module, images: Tensor) -> dict[str, tuple[int, ...]]:
    """The output shape of every layer that ran, in the order in which they finished; a layer's last run counts."""
    shapes: dict[str, tuple[int, ...]] = {}

    def see(name: str, output: object) -> None:
        shapes.pop(name, None)
        if isinstance(output, Tensor):
            shapes[name] = tuple(output.shape)

    _plain_pass(network, images, see)
    return shapes


def find_cam_layer(network: nn.Module, images: Tensor) -> str:
    """Name the last layer before pooling with a map (N, C, h, w) larger than 1 x 1, the outermost of equals, or "".

    Pooling, what merely hands its result on, and layers that run several times do not count.
    """
    runs: list[tuple[str, object]] = []  # keeps the outputs alive, so that their identity means something
    _plain_pass(network, images, lambda name, output: runs.append((name, output)))
    times = Counter(name for name, _ in runs)
    layers = dict(network.named_modules())
    pooled = {id(output) for name, output in runs if "Pool" in type(layers[name]).__name__}
    for name, output in reversed(runs):
        hands_on = any(word in type(layers[name]).__name__ for word in ("Pool", "Drop", "Identity"))
        handed_on = id(output) in pooled and any(layers[name].children())
        if times[name] == 1 and _is_map(output) and not hands_on and not handed_on:
            return name
    return ""


def _is_map(output: object) -> bool:
    """Whether this is (N, C, h, w) and larger than 1 x 1."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1


def activations(network: nn.Module, layers: Iterable[str], images: Tensor) -> dict[str, Tensor]:
    """The outputs of these layers, whatever their shape, as copies; the last one of a layer that runs several times.

    Raises UnknownNameError for a layer that is not there, NetworkError for one that did not run or gave no tensor.
    """
    watched = {name: find_layer(network, name) for name in layers}
    outputs: dict[str, object] = {}

    def see(name: str, output: object) -> None:
        outputs[name] = output.detach().clone() if isinstance(output, Tensor) else output

    with leave_no_trace(network), torch.no_grad(), _watched(watched, see):
        logits_of(network, images)
    return {name: _tensor_of(name, outputs.get(name)) for name in watched}


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """The module of that dotted name. Raises UnknownNameError with the nearest name and every layer."""
    layers: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    layers.pop("")
    return lookup(layers, name, "layer")


def _tensor_of(layer: str, output: object) -> Tensor:
    """Vouch for a layer's output: a tensor, or NetworkError."""
    if isinstance(output, Tensor):
        return output
    did = "did not run" if output is None else f"gave a {type(output).__name__} instead of one tensor"
    raise NetworkError(f"Layer {layer!r} {did} in this network's pass; name another layer.")


@dataclass(frozen=True, eq=False)
class SharedPass:
    """What one pass over a batch tells every method.

    layer: the dotted name of the layer that was read
    features: (N, C, h, w); logits: (N, K); targets: (N, T) int64; all float32, or float64 as the network is
    head: weight (K, C) and bias (K,) where the logits are one linear layer of the features' mean, else None
    graph: the layer's output and the logits that follow from it, for `gradients`
    """

    layer: str
    features: Tensor
    logits: Tensor
    targets: Tensor
    head: tuple[Tensor, Tensor] | None
    graph: tuple[Tensor, Tensor] = field(repr=False)

    @cached_property
    def gradients(self) -> Tensor:
        """(N, T, C, h, w), of each target's logit by the features, computed when first asked for.

        With a head, the weight row over h w (a view that repeats it over the map), else one vector-Jacobian product
        for all targets. Raises NetworkError when no gradient reaches the layer.
        """
        size = self.features.shape[2:]
        if self.head is not None:
            rows = self.head[0][self.targets] / size.numel()
            return rows[..., None, None].expand(*rows.shape, *size)
        seeds = F.one_hot(self.targets.T, self.logits.shape[1])  # (T, N, K)
        return _products(self.layer, *self.graph, seeds).transpose(0, 1).to(self.features.dtype)


def _products(layer: str, leaf: Tensor, logits: Tensor, seeds: Tensor) -> Tensor:
    """Vector-Jacobian products (T, N, C, h, w) of seeds (T, N, K): all at once, or one by one where an op cannot."""
    if not logits.requires_grad:
        raise NetworkError(f"No gradient leads from the logits back to layer {layer!r}; name a layer behind the break.")

    seeds = seeds.to(logits.dtype)
    with torch.inference_mode(mode=False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about operations that have no batching rule
        with suppress(RuntimeError):
            if len(seeds) > 1:
                return torch.autograd.grad(logits, leaf, seeds, retain_graph=True, is_grads_batched=True)[0]
        scores = [(logits * seed).sum() for seed in seeds]
        return torch.stack([torch.autograd.grad(score, leaf, retain_graph=True)[0] for score in scores])


def shared_pass(
    network: nn.Module, layer: str, images: Tensor, targets: Tensor | Callable[[Tensor], Tensor]
) -> SharedPass:
    """Pass images (N, C, H, W) through the network once, its graph cut at `layer`.

    targets: (N, T) class ids, or what makes them of the logits. Raises UnknownNameError when there is no such layer,
    NetworkError when it did not run, ran several times, or gave anything but maps (N, C, h, w).
    """
    outputs: list[object] = []

    def cut(_name: str, output: object) -> Tensor | None:
        outputs.append(output)
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return None
        outputs[-1] = leaf = output.detach().requires_grad_()
        torch.set_grad_enabled(mode=True)  # part of the network may run without; the context outside restores it
        return leaf.clone()  # what follows may write into it

    with leave_no_trace(network), torch.enable_grad(), _watched({layer: find_layer(network, layer)}, cut):
        logits = logits_of(network, images)
        leaf = _only_map(layer, outputs)
        wide = torch.promote_types(leaf.dtype, torch.float32)
        answer = logits.detach().to(wide)
        chosen = targets.to(leaf.device) if isinstance(targets, Tensor) else targets(answer)
        head = _linear_head(network, leaf.detach(), logits.detach())
    return SharedPass(layer, leaf.detach().to(wide), answer, chosen, head, (leaf, logits))


def _only_map(layer: str, outputs: list[object]) -> Tensor:
    """The one map that a layer gave in a pass, or NetworkError."""
    if len(outputs) > 1:
        raise NetworkError(f"Layer {layer!r} runs {len(outputs)} times in one pass; name the block around it instead.")
    output = _tensor_of(layer, *outputs or [None])
    if output.ndim != 4 or not output.is_floating_point():
        shape = " x ".join(map(str, output.shape))
        raise NetworkError(f"Layer {layer!r} gave {output.dtype} {shape}, not maps (N, C, h, w); name a convolution.")
    return output


def _linear_head(network: nn.Module, features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor] | None:
    """The layer with which the logits are W times the features' mean plus b, checked on these very numbers."""
    pooled, shape = features.mean(dim=(2, 3)), (logits.shape[1], features.shape[1])
    wide = torch.promote_types(features.dtype, torch.float32)
    allowed = max(1e-5, 2 * torch.finfo(logits.dtype).eps) * logits.abs().amax()
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and (*module.weight.shape, 1, 1)[:4] == (*shape, 1, 1):
            weight = module.weight.detach().flatten(1).to(pooled)
            bias = torch.zeros_like(weight[:, 0]) if module.bias is None else module.bias.detach().to(pooled)
            if (F.linear(pooled, weight, bias) - logits).abs().amax() <= allowed:
                return weight.to(wide), bias.to(wide)
    return None
