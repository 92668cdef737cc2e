"""Classifiers of torchvision and timm by name: torchvision:NAME and timm:NAME. No weights are ever downloaded."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import nn

from inspect_fer.capture import leave_no_trace
from inspect_fer.errors import ConfigError, UnknownNameError
from inspect_fer.lookup import no_such_name
from inspect_fer.models.blocks import take_channels

Make = Callable[[int], nn.Module]
"""Builds a network for images of this side."""

SIZES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 384, 448, 512)
"""Sides to propose where another does not do."""

NOT_OURS = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only"}
    | {"weights", "weights_backbone"}
)
"""Options that would fetch or read weights, or build something other than a classifier."""

NO_SECOND_HEAD = {"aux_logits": False, "init_weights": True}


def from_library(name: str) -> bool:
    """Whether a name is that of another library's network."""
    return name.partition(":")[0] in LIBRARIES and ":" in name


def library_network(
    name: str, *, channels: int, classes: int, size: int, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build torchvision:NAME or timm:NAME with fresh weights and try it on an image without memory.

    options: what the library's own function takes beside these

    Raises UnknownNameError for a name it does not know, ConfigError for an option or a size that it does not take.
    """
    library, _, network = name.partition(":")
    options = dict(options or {})
    if NOT_OURS & options.keys():
        raise ConfigError(f"{name} is built with fresh weights; {min(NOT_OURS & options.keys())!r} is no option here.")
    make = LIBRARIES[library](network, channels, classes, options)
    try:
        outline = _tried(make, channels, classes, size)
    except Exception as problem:  # whatever a stranger's network raises
        fits = next((side for side in SIZES if side > size and _answers(make, channels, classes, side)), None)
        told = " ".join(str(problem).split()) or type(problem).__name__
        advice = f"; images of {fits} are possible" if fits else ""
        given = f" with {options!r}" if options else ""
        raise ConfigError(f"{name} cannot be built{given} for images of {size}{advice}: {told}.") from problem
    return outline if torch.get_default_device().type == "meta" else make(size)


def _torchvision(name: str, channels: int, classes: int, options: Mapping[str, Any]) -> Make:
    from torchvision import models

    _known(name, models.list_models(module=models), "torchvision")

    def make(size: int) -> nn.Module:
        own: dict[str, Any] = NO_SECOND_HEAD if name in {"googlenet", "inception_v3"} else {}
        own = {"image_size": size} if name.startswith("vit_") else own
        own = {"input_size": (size, size)} if name.startswith("maxvit_") else own
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **{**own, **options})
        take_channels(network, channels)
        return network

    return make


def _timm(name: str, channels: int, classes: int, options: Mapping[str, Any]) -> Make:
    try:
        import timm
    except ImportError as problem:
        raise ConfigError(f"timm:{name} needs the timm library: pip install 'inspect-fer[timm]'.") from problem
    _known(name, timm.list_models(), "timm")

    def make(size: int) -> nn.Module:
        create = partial(timm.create_model, name, pretrained=False, in_chans=channels, num_classes=classes, **options)
        try:
            network: nn.Module = create(img_size=size)
        except TypeError as problem:
            if "img_size" not in str(problem):
                raise
            network = create()  # one that takes images of any size
        return network

    return make


LIBRARIES: dict[str, Callable[[str, int, int, Mapping[str, Any]], Make]] = {
    "torchvision": _torchvision,
    "timm": _timm,
}


def _known(name: str, names: list[str], library: str) -> None:
    if name not in names:
        near = get_close_matches(name, names, n=8, cutoff=0.4) or names[:8]
        raise UnknownNameError(f"{no_such_name(name, near, f'{library} network')} And {len(names) - len(near)} more.")


def _tried(make: Make, channels: int, classes: int, size: int) -> nn.Module:
    """The outline of the network for this size, when it answers."""
    network = _outline(make, size)
    weight = next(network.parameters())
    with leave_no_trace(network), torch.no_grad():
        logits = network(torch.zeros(2, channels, size, size, device=weight.device))
    if getattr(logits, "shape", None) != (2, classes):
        raise ValueError(f"it gives no logits of {classes} classes")
    return network


def _answers(make: Make, channels: int, classes: int, size: int) -> bool:
    with suppress(Exception):
        _tried(make, channels, classes, size)
        return True
    return False


def _outline(make: Make, size: int) -> nn.Module:
    """The network without memory, or with it where it cannot be built without; the random state stays."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return make(size)
        except (NotImplementedError, RuntimeError) as problem:
            if "meta" not in str(problem):
                raise
        with torch.device("cpu"):
            return make(size)
