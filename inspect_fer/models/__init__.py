"""Networks: one file a family, built by name, loaded from a checkpoint, or wrapped from the user's own."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from torch import nn

from inspect_fer.errors import ConfigError, FerError
from inspect_fer.lookup import lookup
from inspect_fer.models.cnn import BaselineCNN
from inspect_fer.models.resnet import SmallStemResNet


class Architecture(Protocol):
    """Builds a network from channels, classes and size, and options of its own."""

    @property
    def cam_layer(self) -> str:
        """The layer that CAM methods read."""

    def __call__(self, *, channels: int, classes: int, size: int) -> nn.Module:
        """Build the network with fresh weights; its own options are further keywords."""


ARCHITECTURES: dict[str, Architecture] = {
    "baseline": BaselineCNN,
    "resnet18": SmallStemResNet((2, 2, 2, 2)),
}


def build(
    name: str, *, channels: int = 1, classes: int = 7, size: int = 48, options: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a network by name. Raises UnknownNameError or ConfigError."""
    architecture = lookup(ARCHITECTURES, name, "network")
    try:
        return partial(architecture, **(options or {}))(channels=channels, classes=classes, size=size)
    except FerError:
        raise
    except (TypeError, ValueError, RuntimeError) as problem:  # an unknown option, or one of an impossible value
        raise ConfigError(f"The network {name} cannot be built with {options!r}: {problem}.") from problem
