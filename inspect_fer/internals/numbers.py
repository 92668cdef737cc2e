"""Numbers of channels, in whatever they are given: lists, arrays or tensors."""

from collections.abc import Sequence
from operator import index
from typing import Any

from torch import Tensor

from inspect_fer.errors import ConfigError


def channel_groups(channels: Sequence[Any] | Tensor, layer: str, count: int) -> list[list[int]]:
    """Channels, each alone or several together, as lists. Raises ConfigError for what the layer does not have."""
    try:
        groups = [_numbers(group) for group in _plain(channels)]
    except TypeError as problem:
        raise ConfigError(
            f"Channels are a list, an array or a tensor of whole numbers such as [0, 5], not {channels!r}."
        ) from problem
    wrong = [channel for group in groups for channel in group if not 0 <= channel < count]
    if wrong or not groups or not all(groups):
        asked = f"there is no {wrong[0]}" if wrong else "name at least one"
        raise ConfigError(f"Layer {layer!r} has the channels 0 to {count - 1}; {asked}.")
    return groups


def single_channels(channels: Sequence[Any] | Tensor, layer: str, count: int) -> list[int]:
    """Channels, one by one. Raises ConfigError as `channel_groups` does, and where several stand together."""
    groups = channel_groups(channels, layer, count)
    if any(len(group) > 1 for group in groups):
        raise ConfigError(f"Each channel stands for itself here: {[c for group in groups for c in group]}.")
    return [channel for (channel,) in groups]


def _plain(given: Any) -> Any:
    """What an array or a tensor holds, as lists and numbers."""
    return given.tolist() if hasattr(given, "tolist") else given


def _numbers(group: Any) -> list[int]:
    """One number or several, as a list. Raises TypeError for what is no whole number."""
    held = _plain(group)
    return [index(channel) for channel in (held if isinstance(held, list | tuple | range) else [held])]
