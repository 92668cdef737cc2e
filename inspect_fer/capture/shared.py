"""One pass that serves every method and every class: its graph is cut at the layer that CAM methods read."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture.hooks import find_layer, leave_no_trace, logits_of, tensor_of, watched
from inspect_fer.capture.tail import checked_tail
from inspect_fer.errors import NetworkError


@dataclass(frozen=True, eq=False)
class SharedPass:
    """What one pass over a batch tells every method.

    layer: the dotted name of the layer that was read
    features: (N, C, h, w); logits: (N, K); targets: (N, T) int64; all float32, or float64 as the network is
    head: weight (K, C) and bias (K,) where the logits are one linear layer of the features' mean, else None
    graph: the layer's output and the logits that follow from it, for `gradients`
    network, images: what was passed, (N, C, H, W), for methods that run parts of it again
    """

    layer: str
    features: Tensor
    logits: Tensor
    targets: Tensor
    head: tuple[Tensor, Tensor] | None
    graph: tuple[Tensor, Tensor] = field(repr=False)
    network: nn.Module = field(repr=False)
    images: Tensor = field(repr=False)

    @cached_property
    def gradients(self) -> Tensor:
        """(N, T, C, h, w), of each target's logit by the features, computed when first asked for; see gradients_of."""
        return self.gradients_of(F.one_hot(self.targets, self.logits.shape[1]))

    def gradients_of(self, scores: Tensor) -> Tensor:
        """(N, T, C, h, w), of any weighted sums of the logits by the features; scores (N, T, K) are the weights.

        With a head, the weight rows over h w (a view that repeats them over the map), else one vector-Jacobian product
        for all. Raises NetworkError when no gradient reaches the layer.
        """
        size = self.features.shape[2:]
        if self.head is not None:
            rows = scores.to(self.features.dtype) @ self.head[0] / size.numel()
            return rows[..., None, None].expand(*rows.shape, *size)
        found = products(self.layer, (self.graph[0],), self.graph[1], scores.transpose(0, 1))[0]
        return found.transpose(0, 1).to(self.features.dtype)

    @cached_property
    def behind(self) -> Callable[[int, Tensor], Tensor]:
        """Runs the network behind the layer: (number of the image, features (M, C, h, w)) -> logits (M, K)."""
        return checked_tail(self.network, self.layer, self.images, self.features, self.logits)


def products(layer: str, leaves: Sequence[Tensor], logits: Tensor, seeds: Tensor) -> list[Tensor]:
    """Vector-Jacobian products of seeds (T, N, K), (T, *leaf) for each leaf: all at once, or one by one if need be.

    A leaf that the logits do not follow from has zeros. Raises NetworkError where no gradient leads back at all.
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
        each = [torch.autograd.grad(logits, leaves, seed, retain_graph=True, allow_unused=True) for seed in seeds]
        return [torch.cat([_or_zeros(found[place], leaf) for found in each]) for place, leaf in enumerate(leaves)]


def _or_zeros(found: Tensor | None, leaf: Tensor, seeds: int | None = None) -> Tensor:
    """A gradient, (seeds, *leaf), or zeros where the logits do not follow from the leaf."""
    if found is None:
        return leaf.new_zeros(seeds or 1, *leaf.shape)
    return found if seeds else found[None]


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

    with leave_no_trace(network), torch.enable_grad(), watched({layer: find_layer(network, layer)}, cut):
        logits = logits_of(network, images)
        leaf = _only_map(layer, outputs)
        wide = torch.promote_types(leaf.dtype, torch.float32)
        answer = logits.detach().to(wide)
        chosen = targets.to(leaf.device) if isinstance(targets, Tensor) else targets(answer)
        head = _linear_head(network, leaf.detach(), logits.detach())
    return SharedPass(layer, leaf.detach().to(wide), answer, chosen, head, (leaf, logits), network, images)


def _only_map(layer: str, outputs: list[object]) -> Tensor:
    """The one map that a layer gave in a pass, or NetworkError."""
    if len(outputs) > 1:
        raise NetworkError(f"Layer {layer!r} runs {len(outputs)} times in one pass; name the block around it instead.")
    output = tensor_of(layer, *outputs or [None])
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
