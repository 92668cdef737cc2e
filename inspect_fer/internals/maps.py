"""What a layer gives for each sample, the logits before the softmax among it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from inspect_fer.capture import activations, leave_no_trace, logits_of
from inspect_fer.errors import NetworkError
from inspect_fer.predict import Images, network_input
from inspect_fer.schema import Classifier, Samples

LOGITS = "logits"
"""Stands for what the network itself gives, before the softmax, unless one of its layers has this very name."""


def is_logits(network: nn.Module, layer: str) -> bool:
    """Whether this name stands for the network's own output."""
    return layer == LOGITS and LOGITS not in dict(network.named_modules(remove_duplicate=False))


def output_of(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    """Maps (N, C, h, w) or features (N, F) that a layer gives for network input (N, C, H, W), or the logits (N, K).

    Raises UnknownNameError when there is no such layer, NetworkError when it gives another shape.
    """
    if is_logits(network, layer):
        with leave_no_trace(network), torch.no_grad():
            return logits_of(network, images)
    output = activations(network, [layer], images)[layer]
    if output.ndim not in (2, 4) or len(output) != len(images):
        shape = " x ".join(map(str, output.shape))
        raise NetworkError(f"Layer {layer!r} gives {shape}, neither maps (N, C, h, w) nor features (N, F).")
    return output


def outputs_of(network: nn.Module, layer: str, images: Images, batch_size: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows and what a layer gives for them, float32 on the CPU, batch by batch; raises as `output_of` does."""
    for rows, batch in images.batches(batch_size):
        yield rows, output_of(network, layer, batch).to("cpu", torch.float32)


def activation_maps(model: Classifier, samples: Samples | Tensor, layer: str, *, batch_size: int = 128) -> Tensor:
    """What a layer gives for each sample: maps (N, C, h, w) or features (N, F), float32 on the CPU.

    layer: a dotted name, or "logits" for what the network gives before the softmax, (N, K). Raises UnknownNameError
    when there is no such layer, NetworkError when it gives another shape, DataError when the samples do not fit.
    """
    found = outputs_of(model.network, layer, network_input(model, samples), batch_size)
    return torch.cat([output for _, output in found])
