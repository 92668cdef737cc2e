"""Networks: one file a family, built by name, loaded from a checkpoint, or wrapped from the user's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from inspect_fer.capture import find_cam_layer, layer_shapes
from inspect_fer.errors import ConfigError, FerError, UnknownNameError
from inspect_fer.lookup import no_such_name
from inspect_fer.models.cnn import BaselineCNN, GiMeFive, SEResidualCNN
from inspect_fer.models.keras_cnn import KerasCNN4
from inspect_fer.models.lenet import LeNet, LeNet5BN
from inspect_fer.models.libraries import LIBRARIES, from_library, library_network
from inspect_fer.models.majority import Majority
from inspect_fer.models.mobilenet import mobilenet_v2, mobilenet_v2_transfer
from inspect_fer.models.resnet import EIGHTEEN, THIRTY_FOUR, resnet
from inspect_fer.models.small import ResidualCNN, SmallCNN, UNetCNN
from inspect_fer.models.vgg import VGG, VGG13, VGGLMU


class Architecture(Protocol):
    """Builds a network from channels, classes and size, and options of its own."""

    @property
    def cam_layer(self) -> str:
        """The layer that CAM methods read at 48 px with the options as they are by default, or ""."""

    def __call__(self, *, channels: int, classes: int, size: int) -> nn.Module:
        """Build the network with fresh weights; its own options are further keywords."""


@dataclass(frozen=True)
class Variant:
    """One of the networks that a class or function can build: its options, where they are not given."""

    make: Callable[..., nn.Module]
    cam_layer: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *, channels: int = 1, classes: int = 7, size: int = 48, **options: Any) -> nn.Module:
        """Build it with fresh weights."""
        return self.make(channels=channels, classes=classes, size=size, **{**self.options, **options})


ARCHITECTURES: dict[str, Architecture] = {
    "lenet": LeNet,
    "resnet18": Variant(resnet, "layer4", {"blocks": EIGHTEEN}),
    "resnet34": Variant(resnet, "layer4", {"blocks": THIRTY_FOUR}),
    "mobilenet_v2": Variant(mobilenet_v2, "features"),
    "keras_cnn4": KerasCNN4,
    "mobilenet_v2_transfer": Variant(mobilenet_v2_transfer, "features"),
    "vgg": VGG,
    "lenet5_bn": LeNet5BN,
    "baseline": BaselineCNN,
    "se": Variant(GiMeFive, "blocks.4.relu", {"first": "se", "block_dropout": 0.0}),
    "se_residual": SEResidualCNN,
    "gimefive": GiMeFive,
    "gimefive_se": Variant(GiMeFive, "blocks.4.relu", {"first": "norm+se", "block_dropout": 0.0}),
    "gimefive6": Variant(GiMeFive, "blocks.5.relu", {"blocks": 6, "block_dropout": 0.0}),
    "gimefive_res": Variant(SEResidualCNN, "blocks", {"blocks": 5}),
    "resnet18_lmu": Variant(resnet, "layer4", {"blocks": EIGHTEEN, "stem": "lmu"}),
    "resnet34_lmu": Variant(resnet, "layer4", {"blocks": THIRTY_FOUR, "stem": "lmu"}),
    "vgg_lmu": VGGLMU,
    "small": SmallCNN,
    "residual": ResidualCNN,
    "unet": UNetCNN,
    "vgg13": VGG13,
    "majority": Majority,
}


def build(
    name: str, *, channels: int = 1, classes: int = 7, size: int = 48, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network by name, or another library's by torchvision:NAME or timm:NAME, with fresh weights.

    options: the network's own keywords. Raises UnknownNameError or ConfigError.
    """
    if from_library(name):
        return library_network(name, channels=channels, classes=classes, size=size, options=options)
    if name not in ARCHITECTURES:
        names = (*ARCHITECTURES, *(f"{library}:NAME" for library in LIBRARIES))
        raise UnknownNameError(no_such_name(name, names, "network"))
    try:
        return partial(ARCHITECTURES[name], **(options or {}))(channels=channels, classes=classes, size=size)
    except FerError:
        raise
    except (TypeError, ValueError, RuntimeError) as problem:  # an unknown option, or one of an impossible value
        raise ConfigError(f"The network {name} cannot be built with {options!r}: {problem}.") from problem


def cam_layer_of(
    name: str, *, channels: int = 1, classes: int = 7, size: int = 48, options: Mapping[str, Any] | None = None
) -> str:
    """The layer that CAM methods read in the network that `build` makes of the same, found without making its weights.

    It is the last one with a map larger than 1x1 before pooling, whatever size and options make of it; "" where there
    is none, or where it is followed by layers on tokens, as in vision transformers. Raises as `build` does.
    """
    with torch.device("meta"):
        network = build(name, channels=channels, classes=classes, size=size, options=options)
    probe = torch.zeros(2, channels, size, size, device=next(network.parameters()).device)
    layer, shapes = find_cam_layer(network, probe), layer_shapes(network, probe)
    names = list(shapes)
    behind = [shapes[name] for name in names[names.index(layer) + 1 :]] if layer else []
    on_tokens = any(len(shape) == 3 and shape[1] > 1 for shape in behind)
    square = layer and shapes[layer][2] == shapes[layer][3]  # else channels stand last
    return layer if square and not on_tokens else ""
