"""One pass that serves every method and every class: its graph is cut at the first layer that CAM methods read."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture.hooks import find_layer, leave_no_trace, logits_of, tensor_of, watched
from inspect_fer.capture.tail import checked_tail, tail
from inspect_fer.errors import NetworkError

FEW = 4
"""Of how many images a gradient is looked at to see what lies behind a layer."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The maps that layers gave in one pass, (N, C, h, w) each, and the logits (N, K) that follow from them.

    targets: (N, T) int64, the classes whose gradients are asked for
    """

    maps: Mapping[str, Tensor]
    logits: Tensor
    targets: Tensor

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """Of each target's logit by the maps of each layer, (N, T, C, h, w): one vector-Jacobian product for all."""
        scores = F.one_hot(self.targets, self.logits.shape[1])
        return self.gradients_of(scores, *self.maps)

    def gradients_of(self, scores: Tensor, *layers: str) -> dict[str, Tensor]:
        """Of weighted sums (N, T, K) of the logits by the maps of these layers. Raises NetworkError, see products."""
        found = products(layers[0], [self.maps[name] for name in layers], self.logits, scores.transpose(0, 1))
        return {name: values.transpose(0, 1) for name, values in zip(layers, found, strict=True)}


@dataclass(frozen=True, eq=False)
class SharedPass:
    """What one pass over a batch tells every method that reads one layer.

    layer: the dotted name of the layer that was read
    features: (N, C, h, w); logits: (N, K); targets: (N, T) int64; all float32, or float64 as the network is
    head: weight (K, C) and bias (K,) where the logits are one linear layer of the features' mean, else None
    graph: what the pass left to take gradients from, of this layer and of others that were read in it
    network, images: what was passed, (N, C, H, W), for methods that run parts of it again
    """

    layer: str
    features: Tensor
    logits: Tensor
    targets: Tensor
    head: tuple[Tensor, Tensor] | None
    graph: Graph = field(repr=False)
    network: nn.Module = field(repr=False)
    images: Tensor = field(repr=False)

    @cached_property
    def gradients(self) -> Tensor:
        """(N, T, C, h, w), of each target's logit by the features, computed when first asked for; see gradients_of."""
        if self.head is not None:
            return self.gradients_of(F.one_hot(self.targets, self.logits.shape[1]))
        return self.graph.gradients[self.layer].to(self.features.dtype)

    def gradients_of(self, scores: Tensor) -> Tensor:
        """(N, T, C, h, w), of any weighted sums of the logits by the features; scores (N, T, K) are the weights.

        With a head, the weight rows over h w (a view that repeats them over the map), else one vector-Jacobian product
        for all. Raises NetworkError when no gradient reaches the layer.
        """
        size = self.features.shape[2:]
        if self.head is not None:
            rows = scores.to(self.features.dtype) @ self.head[0] / size.numel()
            return rows[..., None, None].expand(*rows.shape, *size)
        return self.graph.gradients_of(scores, self.layer)[self.layer].to(self.features.dtype)

    @cached_property
    def behind(self) -> Callable[[int, Tensor], Tensor]:
        """Runs the network behind the layer: (number of the image, features (M, C, h, w)) -> logits (M, K)."""
        return checked_tail(self.network, self.layer, self.images, self.features, self.logits)


def products(layer: str, leaves: Sequence[Tensor], logits: Tensor, seeds: Tensor) -> list[Tensor]:
    """Vector-Jacobian products of seeds (T, N, K), (T, *leaf) for each leaf: all at once, or one by one if need be.

    A leaf that the logits do not follow from has zeros. Raises NetworkError where no gradient leads back at all, or
    where what it needs is gone, such as an output that the network has written over.
    """
    if not logits.requires_grad:
        raise NetworkError(f"No gradient leads from the logits back to layer {layer!r}; name a layer behind the break.")

    seeds = seeds.to(logits.dtype)
    with torch.inference_mode(mode=False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about operations that have no batching rule
        with suppress(RuntimeError):
            if len(seeds) > 1:
                every = torch.autograd.grad(
                    logits, leaves, seeds, retain_graph=True, allow_unused=True, is_grads_batched=True
                )
                return [_or_zeros(found, leaf, len(seeds)) for found, leaf in zip(every, leaves, strict=True)]
        try:
            each = [torch.autograd.grad(logits, leaves, seed, retain_graph=True, allow_unused=True) for seed in seeds]
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as problem:
            reason = str(problem).splitlines()[0].split(": [")[0].rstrip(".")
            raise NetworkError(
                f"No gradient can be taken back to {layer!r}: {reason}. Use a method without, such as occlusion."
            ) from problem
        return [torch.cat([_or_zeros(found[place], leaf) for found in each]) for place, leaf in enumerate(leaves)]


def _or_zeros(found: Tensor | None, leaf: Tensor, seeds: int | None = None) -> Tensor:
    """A gradient, (seeds, *leaf), or zeros where the logits do not follow from the leaf."""
    if found is None:
        return leaf.new_zeros(seeds or 1, *leaf.shape)
    return found if seeds else found[None]


def shared_pass(
    network: nn.Module, layer: str, images: Tensor, targets: Tensor | Callable[[Tensor], Tensor]
) -> SharedPass:
    """Pass images (N, C, H, W) through the network once, its graph cut at `layer`; see shared_passes."""
    return shared_passes(network, [layer], images, targets)[layer]


def shared_passes(
    network: nn.Module, layers: Sequence[str], images: Tensor, targets: Tensor | Callable[[Tensor], Tensor]
) -> dict[str, SharedPass]:
    """Pass images (N, C, H, W) through the network once, its graph cut at the first of `layers` that runs.

    targets: (N, T) class ids, or what makes them of the logits. Raises UnknownNameError when there is no such layer,
    NetworkError when one did not run, ran several times, or gave anything but maps (N, C, h, w).
    """
    outputs: dict[str, list[object]] = {name: [] for name in layers}

    def cut(name: str, output: object) -> Tensor | None:
        outputs[name].append(output)
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return None
        kept = output if output.requires_grad else output.detach().requires_grad_()
        outputs[name][-1] = kept
        torch.set_grad_enabled(mode=True)  # part of the network may run without; the context outside restores it
        return kept.clone()  # what follows may write into it

    read = {name: find_layer(network, name) for name in layers}
    pools = {name: module for name, module in network.named_modules() if isinstance(module, nn.MaxPool2d)}
    with leave_no_trace(network), torch.enable_grad(), watched(pools, _lay_out), watched(read, cut):
        logits = logits_of(network, images)
        maps = {name: _only_map(name, found) for name, found in outputs.items()}
        wide = torch.promote_types(next(iter(maps.values())).dtype, torch.float32)
        answer = logits.detach().to(wide)
        chosen = targets.to(answer.device) if isinstance(targets, Tensor) else targets(answer)
        graph = Graph(maps, logits, chosen)
    heads = {name: _linear_head(network, name, images, given, logits) for name, given in maps.items()}
    return {
        name: SharedPass(name, given.detach().to(wide), answer, chosen, heads[name], graph, network, images)
        for name, given in maps.items()
    }


def _lay_out(_name: str, output: object) -> None:
    """Have the gradients of maps that lie channels-last come back like that.

    Max pooling takes several times as long, and copies all that it kept, for gradients that lie in another order.
    """
    if isinstance(output, Tensor) and output.requires_grad and output.is_contiguous(memory_format=torch.channels_last):
        output.register_hook(lambda gradient: gradient.movedim(1, -1).contiguous().movedim(-1, 1))


def _only_map(layer: str, outputs: list[object]) -> Tensor:
    """The one map that a layer gave in a pass, or NetworkError."""
    if len(outputs) > 1:
        raise NetworkError(f"Layer {layer!r} runs {len(outputs)} times in one pass; name the block around it instead.")
    output = tensor_of(layer, *outputs or [None])
    if output.ndim != 4 or not output.is_floating_point():
        shape = " x ".join(map(str, output.shape))
        raise NetworkError(f"Layer {layer!r} gave {output.dtype} {shape}, not maps (N, C, h, w); name a convolution.")
    return output


def _linear_head(
    network: nn.Module, layer: str, images: Tensor, maps: Tensor, logits: Tensor
) -> tuple[Tensor, Tensor] | None:
    """The layer with which the logits are W times the features' mean plus b, checked on these very numbers.

    A maximum, or a further ReLU, may have the same values here: one gradient is compared as well, or, where none leads
    back, the logits of other features.
    """
    features, answer = maps.detach(), logits.detach()
    shape, wide = (logits.shape[1], features.shape[1]), torch.promote_types(features.dtype, torch.float32)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and (*module.weight.shape, 1, 1)[:4] == (*shape, 1, 1):
            weight = module.weight.detach().flatten(1).to(features)
            bias = torch.zeros_like(weight[:, 0]) if module.bias is None else module.bias.detach().to(features)
            mean = F.linear(features.mean(dim=(2, 3)), weight, bias)
            if _close(mean, answer) and (
                _has_its_gradient(weight, maps, logits)
                if logits.requires_grad
                else _takes_the_mean(network, layer, images[:1], features[:1], weight, bias)
            ):
                return weight.to(wide), bias.to(wide)
    return None


def _close(found: Tensor, logits: Tensor) -> bool:
    allowed = max(1e-5, 2 * torch.finfo(logits.dtype).eps) * logits.abs().amax()
    return bool((found - logits).abs().amax() <= allowed)


def _has_its_gradient(weight: Tensor, maps: Tensor, logits: Tensor) -> bool:
    """Whether a weighted sum of some images' logits changes with their features as the features' mean says."""
    seeds = torch.arange(1, logits.shape[1] + 1).cos().to(logits).expand_as(logits)
    with suppress(NetworkError):
        (found,) = products("", [maps], logits, seeds[None])
        expected = (seeds[:1].to(weight) @ weight / maps.shape[2:].numel())[:, :, None, None]
        return _close(expected, found[0, :FEW].to(weight))
    return False


def _takes_the_mean(
    network: nn.Module, layer: str, image: Tensor, features: Tensor, weight: Tensor, bias: Tensor
) -> bool:
    """Whether features of either sign, in the shape of these (1, C, h, w), count by their mean, the bias apart."""
    varied = 100 * (torch.arange(features.numel()).cos() + 0.3).to(features).view_as(features)
    with suppress(RuntimeError, NetworkError):
        return _close(F.linear(varied.mean(dim=(2, 3)), weight), tail(network, layer, image, varied) - bias)
    return False
