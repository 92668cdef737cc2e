"""The part of a network behind one layer, run on features of one's own making."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from inspect_fer.capture.hooks import as_input, find_layer, leave_no_trace, run, watched
from inspect_fer.errors import NetworkError

AGREES = 1e-4
"""How far the logits of unchanged features may lie from the plain ones, in the largest logit (or 4 roundings)."""


def tail(network: nn.Module, layer: str, image: Tensor, features: Tensor, *, copies: bool = False) -> Tensor:
    """Run the network behind `layer` on features (M, C, h, w) that take the place of the layer's output.

    image: (1, C, H, W), whose features they vary. It runs through what lies before the layer once, and M times with
    `copies`, for networks that join earlier features of as many rows later on. Returns logits (M, K), without a graph.
    Raises NetworkError when they are not M rows, and whatever the network itself raises.
    """
    given = as_input(network, image)
    if copies:
        given = given.repeat(len(features), 1, 1, 1)

    replaced = []

    def replace(_name: str, output: object) -> Tensor:
        replaced.append(layer)
        return features.to(output, copy=True) if isinstance(output, Tensor) else features.clone()

    with leave_no_trace(network), torch.no_grad(), watched({layer: find_layer(network, layer)}, replace):
        logits = run(network, given, rows=len(features))
    if not replaced:
        raise NetworkError(f"Layer {layer!r} did not run in this network's pass; name another layer.")
    return logits


def checked_tail(
    network: nn.Module, layer: str, images: Tensor, features: Tensor, logits: Tensor
) -> Callable[[int, Tensor], Tensor]:
    """The tail behind `layer` as a function of an image's number and of features (M, C, h, w) that vary its own.

    images (N, C, H, W), features (N, C, h, w) and logits (N, K) of a plain pass, on which it is tried out: first with
    one image before the layer, then with copies. Raises NetworkError where unchanged features change the logits.
    """
    wide, precision = logits.dtype, torch.finfo(next((w.dtype for w in network.parameters()), images.dtype)).eps
    allowed = max(AGREES, 4 * precision) * logits[0].abs().amax()
    trial = torch.cat([features[:1], features[:1] / 2, features[:1]])  # another between, to see that none are mixed
    problem: Exception | None = None
    for copies in (False, True):
        try:
            found = tail(network, layer, images[:1], trial, copies=copies).to(wide)[::2]
        except (RuntimeError, NetworkError) as error:
            problem = error
            continue
        if (found - logits[0]).abs().amax() <= allowed:
            return lambda row, given: tail(network, layer, images[row : row + 1], given, copies=copies).to(wide)
    raise NetworkError(
        f"What lies behind layer {layer!r} cannot be run on features of its own; name a later layer."
    ) from problem
