"""Everything by which a change of a network shows."""

from collections.abc import Iterator, Mapping
from itertools import chain
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

OWN = frozenset(vars(nn.Module()))
"""What every module has: its parameters, buffers, modules and hooks are looked at one by one."""


def state_of(network: nn.Module) -> tuple[object, ...]:
    """Everything by which a change of the network shows."""
    modules = ((id(module), *_attributes(module)) for module in network.modules())
    weights = chain(network.parameters(), network.buffers())
    return (*modules, *map(_fingerprint, weights))


def _attributes(module: nn.Module) -> Iterator[object]:
    """Class and settings of a module: plain ones by value, everything else by identity."""
    yield type(module)
    for name, value in vars(module).items():
        if name != "training":
            yield name, id(value) if name in OWN else _setting(value, set())


def _setting(value: object, above: set[int]) -> object:
    """A number, word or array by value, as is what lies in containers and in objects; else, and in circles, an id."""
    inside = above | {id(value)}
    found: object
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            found = repr(value)
        case Tensor():
            found = _fingerprint(value)
        case np.ndarray():
            found = value.shape, value.dtype.str, value.tobytes()
        case _ if id(value) in above or isinstance(value, nn.Module | ModuleType) or callable(value):
            found = id(value)
        case Mapping():
            found = tuple((_setting(key, inside), _setting(one, inside)) for key, one in value.items())
        case list() | tuple() | set() | frozenset():
            found = tuple(_setting(one, inside) for one in value)
        case _:
            found = id(value), _setting(getattr(value, "__dict__", None), inside)
    return type(value), found


def _fingerprint(tensor: Tensor) -> tuple[object, ...]:
    """What a tensor is, with a sum of its bits: writing through `.data` counts no version."""
    version = 0 if tensor.is_inference() else tensor._version
    return id(tensor), tensor.data_ptr(), version, tensor.shape, tensor.dtype, tensor.device, _checksum(tensor)


def _checksum(tensor: Tensor, width: int = 1024) -> int:
    """A hash that no change of a single bit leaves as it is: of the sums of rows and columns of the values' own bits.

    Whole numbers of 64 bits are added, which rounds nothing, so that two changes hide each other only where they cancel
    in their row and in their column.
    """
    values = tensor.detach().flatten()
    if values.storage_offset() * values.element_size() % 8:
        values = values.clone()
    raw = values.view(torch.uint8)
    rows = len(raw) // (8 * width)
    rest = raw[rows * 8 * width :]
    if not rows:
        return _hash(rest)
    table = raw[: rows * 8 * width].view(torch.int64).view(rows, width)
    return hash((_hash(table.sum(dim=0)), _hash(table.sum(dim=1)), _hash(rest)))


def _hash(values: Tensor) -> int:
    return hash(values.cpu().numpy().tobytes())
