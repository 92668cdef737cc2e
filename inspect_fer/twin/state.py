"""Everything by which a change of a network shows."""

from collections.abc import Iterator
from itertools import chain
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn

OWN = frozenset(vars(nn.Module()))
"""What every module has: its parameters, buffers, modules and hooks are looked at one by one."""


CONTAINERS = (dict, list, tuple, set, frozenset)


def state_of(network: nn.Module) -> tuple[object, ...]:
    """Everything by which a change of the network shows."""
    seen: dict[int, object] = {}
    modules = ((id(module), *_attributes(module, seen)) for module in network.modules())
    weights = chain(network.parameters(), network.buffers())
    return (*modules, *map(_fingerprint, weights))


def _attributes(module: nn.Module, seen: dict[int, object]) -> Iterator[object]:
    """Class and settings of a module: plain ones by value, everything else by identity."""
    yield type(module)
    for name, value in vars(module).items():
        if name != "training":
            yield name, id(value) if name in OWN else _setting(value, seen)


def _setting(value: object, seen: dict[int, object]) -> object:
    """A number, word or array by value, as is what lies in containers and in objects; else an id.

    seen: what was looked into before, whose id is enough; it is held, so that no other object gets that id
    """
    found: object
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            found = repr(value)
        case Tensor():
            found = _fingerprint(value)
        case np.ndarray():
            found = value.shape, value.dtype.str, value.tobytes()
        case nn.Module() | ModuleType() | FunctionType() | MethodType() | BuiltinFunctionType() | type():
            found = id(value)
        case _ if id(value) in seen:
            found = id(value)
        case _:
            seen[id(value)] = value
            own = None if isinstance(value, CONTAINERS) else id(value)
            found = own, [_setting(part, seen) for part in _parts(value)]
    return type(value), found


def _parts(value: object) -> Iterator[object]:
    """What an object is made of: the entries of a container, else what a copy would be made of, as far as it says."""
    match value:
        case dict():
            yield from chain.from_iterable(value.items())
        case _ if isinstance(value, CONTAINERS):
            yield from value
        case _:
            try:
                made = value.__reduce_ex__(4)
            except Exception:
                made = None
            told = made[1:] if isinstance(made, tuple) else [getattr(value, "__dict__", None)]
            yield from (list(part) if isinstance(part, Iterator) else part for part in told)


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
