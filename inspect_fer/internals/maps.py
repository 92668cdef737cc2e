"""What a layer gives for each sample, the logits before the softmax among it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from inspect_fer.capture import activations, leave_no_trace, logits_of
from inspect_fer.internals.layout import Layout, as_maps, checked_layout
from inspect_fer.predict import Images, network_input
from inspect_fer.schema import Classifier, Samples

LOGITS = "logits"
"""Stands for what the network itself gives, before the softmax, unless one of its layers has this very name."""


def is_logits(network: nn.Module, layer: str) -> bool:
    """Whether this name stands for the network's own output."""
    return layer == LOGITS and LOGITS not in dict(network.named_modules(remove_duplicate=False))


def output_of(network: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, Layout]:
    """What a layer gives for network input (N, C, H, W), or the logits (N, K), as it is, and how it is to be read.

    Raises UnknownNameError when there is no such layer, NetworkError when its layout cannot be known.
    """
    if is_logits(network, layer):
        with leave_no_trace(network), torch.no_grad():
            output = logits_of(network, images)
    else:
        output = activations(network, [layer], images)[layer]
    return output, checked_layout(network, layer, output, images)


def outputs_of(network: nn.Module, layer: str, images: Images, batch_size: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows and the maps (N, C, h, w) or features (N, F) that a layer gives for them, batch by batch.

    float32 on the CPU; raises as `output_of` does.
    """
    for rows, batch in images.batches(batch_size):
        yield rows, as_maps(*output_of(network, layer, batch)).to("cpu", torch.float32)


def activation_maps(model: Classifier, samples: Samples | Tensor, layer: str, *, batch_size: int = 128) -> Tensor:
    """What a layer gives for each sample: maps (N, C, h, w) or features (N, F), float32 on the CPU.

    Tokens (N, n, D) of a vision transformer are laid out on their grid of patches, (N, D, h, w), without the class
    token and what else leads them; channels that stand last are moved first.

    layer: a dotted name, or "logits" for what the network gives before the softmax, (N, K). Raises UnknownNameError
    when there is no such layer, NetworkError when it gives another shape, DataError when the samples do not fit.
    """
    found = outputs_of(model.network, layer, network_input(model, samples), batch_size)
    return torch.cat([output for _, output in found])
