"""Anyone's network as a `Classifier`."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from inspect_fer.capture import find_cam_layer, find_layer, leave_no_trace
from inspect_fer.errors import ConfigError, NetworkError
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
        before pooling, or none where layers cannot be watched, as in TorchScript. Warns where that layer sees patches
        of the image alone, as in a vision transformer

    Tries the network once on a grey image. Raises NetworkError when that fails or the logits are not (N, K), and
    ConfigError or CheckpointError for what is no description of it.
    """
    _require_module(network)
    size = _listed("input_size", input_size, "(channels, height, width), such as (3, 224, 224)")
    if len(size) != 3:
        raise ConfigError(f"input_size is (channels, height, width), such as (3, 224, 224), not {input_size!r}.")
    card = ModelCard(
        architecture=type(network).__name__,
        class_names=_listed("class_names", class_names, "a list of words, one a class"),
        input_size=(size[0], size[1], size[2]),
        mean=_listed("mean", mean, "a list of numbers, one a channel"),
        std=_listed("std", std, "a list of numbers, one a channel"),
        output=output,
        threshold=threshold,
    )
    weights = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(1))
    probe = torch.zeros(2, *card.input_size, dtype=weights.dtype, device=weights.device)
    try:
        with leave_no_trace(network), torch.no_grad():
            logits = network(probe)
    except Exception as problem:  # whatever a stranger's network raises
        raise NetworkError(f"{card.architecture} fails on images of {card.input_size}: {_told(problem)}") from problem
    if getattr(logits, "shape", None) != (2, len(card.class_names)):
        found = tuple(getattr(logits, "shape", ())) or type(logits).__name__
        raise NetworkError(
            f"{card.architecture} returns {found} for 2 images; {len(card.class_names)} class names call for "
            f"logits of (2, {len(card.class_names)})."
        )
    if cam_layer:
        find_layer(network, cam_layer)
    layer = _found_layer(network, probe) if cam_layer is None else cam_layer
    if cam_layer is None and _sees_patches_alone(network, layer):
        warnings.warn(
            f"The last layer of {card.architecture} with maps is {layer!r}, which cuts the image into patches and "
            "knows nothing else: CAM methods have little to say there; use occlusion, rise or saliency.",
            stacklevel=2,
        )
    return Classifier(network, replace(card, cam_layer=layer))


def _found_layer(network: nn.Module, probe: Tensor) -> str:
    """The layer that CAM methods read, "" where layers cannot be watched, as in TorchScript; others need none."""
    try:
        return find_cam_layer(network, probe)
    except NetworkError:  # the network itself has just run
        return ""


def _require_module(network: object) -> None:
    """Raise NetworkError for what is no network of PyTorch's."""
    if not isinstance(network, nn.Module):
        kind = network.__name__ if isinstance(network, type) else type(network).__name__
        raise NetworkError(
            f"A network is a torch.nn.Module, not a {kind}; make one of your class, or call your function in the "
            "forward of one."
        )


def _listed(name: str, given: Any, wanted: str) -> tuple[Any, ...]:
    """What was given as a list of several. Raises ConfigError for a word or a single thing."""
    try:
        if not isinstance(given, str):
            return tuple(given)
    except TypeError:
        pass
    raise ConfigError(f"{name} is {wanted}, not {given!r}.")


def _sees_patches_alone(network: nn.Module, layer: str) -> bool:
    """Whether a layer is the convolution that cuts an image into patches side by side, as transformers begin."""
    first = next((each for each in network.named_modules() if isinstance(each[1], nn.Conv2d | nn.Linear)), None)
    if first is None or first[0] != layer or not isinstance(first[1], nn.Conv2d):
        return False
    return min(first[1].kernel_size) > 1 and tuple(first[1].kernel_size) == tuple(first[1].stride)


def _told(problem: Exception) -> str:
    return " ".join(str(problem).split())
