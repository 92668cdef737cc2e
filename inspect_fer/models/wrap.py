"""Anyone's network as a `Classifier`."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from inspect_fer.capture import find_cam_layer, find_layer, leave_no_trace
from inspect_fer.errors import NetworkError
from inspect_fer.schema import Classifier, ModelCard, Output


def wrap(
    network: nn.Module,
    class_names: Sequence[str],
    input_size: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    cam_layer: str | None = None,
    *,
    output: Output = "softmax",
    threshold: float = 0.5,
) -> Classifier:
    """Make any module that maps images (N, C, H, W) to logits (N, K) known to the library.

    mean, std: one value a channel, of pixels scaled to 0..1
    cam_layer: dotted name of the layer that CAM methods read; by default the last one with a map larger than 1x1
        before pooling, or none where layers cannot be watched, as in TorchScript

    Tries the network once on a grey image. Raises NetworkError when that fails or the logits are not (N, K).
    """
    card = ModelCard(
        architecture=type(network).__name__,
        class_names=tuple(class_names),
        input_size=(input_size[0], input_size[1], input_size[2]),
        mean=tuple(mean),
        std=tuple(std),
        output=output,
        threshold=threshold,
    )
    weights = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(1))
    probe = torch.zeros(2, *input_size, dtype=weights.dtype, device=weights.device)
    try:
        with leave_no_trace(network), torch.no_grad():
            logits = network(probe)
    except Exception as problem:  # whatever a stranger's network raises
        raise NetworkError(f"{card.architecture} fails on images of {input_size}: {problem}") from problem
    if getattr(logits, "shape", None) != (2, len(card.class_names)):
        found = tuple(getattr(logits, "shape", ())) or type(logits).__name__
        raise NetworkError(
            f"{card.architecture} returns {found} for 2 images; {len(card.class_names)} class names call for "
            f"logits of (2, {len(card.class_names)})."
        )
    if cam_layer:
        find_layer(network, cam_layer)
    layer = _found_layer(network, probe) if cam_layer is None else cam_layer
    return Classifier(network, replace(card, cam_layer=layer))


def _found_layer(network: nn.Module, probe: Tensor) -> str:
    """The layer that CAM methods read, "" where layers cannot be watched, as in TorchScript; others need none."""
    try:
        return find_cam_layer(network, probe)
    except NetworkError:  # the network itself has just run
        return ""
