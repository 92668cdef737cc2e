"""Everything by which a change of a network shows."""

from collections.abc import Iterator
from itertools import chain
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn

OWN = frozenset(vars(nn.Module()))
"""What every module has: its parameters, buffers, modules and hooks are looked at one by one."""

SCALARS = (type(None), bool, int, float, complex, str, bytes)
CONTAINERS = (list, tuple, set, frozenset)

MOST = 200_000
"""Beyond so many words to say the state of a network it is not worth the time to look for changes."""


def state_of(network: nn.Module) -> tuple[object, ...] | None:
    """Everything by which a change of the network shows; None where that is too much to look through."""
    seen: dict[int, tuple[object, int]] = {id(module): (module, row) for row, module in enumerate(network.modules())}
    told: list[object] = []
    for module in network.modules():
        told += id(module), type(module)
        for name, value in vars(module).items():
            if name in OWN - {"training"}:
                told += name, id(value)
            elif name not in OWN:
                told.append(name)
                _tell(value, seen, told)
    if len(told) > MOST:
        return None
    return (*told, *map(_fingerprint, chain(network.parameters(), network.buffers())))


def _tell(value: object, seen: dict[int, tuple[object, int]], told: list[object]) -> None:
    """Tell a setting down to its last part: each by its type, with its value or how many parts it has.

    seen: what was looked into before, with its turn; it is held, so that nothing else gets its id
    """
    left = [value]
    while left and len(told) <= MOST:
        part, parts = left.pop(), list[object]()
        found: object
        if type(part) in SCALARS:
            found = repr(part)
        elif isinstance(part, Tensor):
            found = _content(part)
        elif isinstance(part, np.ndarray) and not part.dtype.hasobject:
            found = part.shape, part.dtype.str, part.tobytes()
        elif id(part) in seen:
            found = seen[id(part)][1]
        else:
            seen[id(part)] = part, len(seen)
            made = _parts(part)
            parts, found = made or [], id(part) if made is None else len(made)
        told += type(part), found
        left += reversed(parts)


def _parts(value: object) -> list[object] | None:
    """What a container holds, or what a copy of an object would be made of; None where nothing says so."""
    match value:
        case dict() if type(value) is dict:
            return list(chain.from_iterable(value.items()))
        case list() | tuple() | set() | frozenset() if type(value) in CONTAINERS:
            return list(value)
        case np.ndarray():
            return [value.tolist()]
        case MethodType():
            return [value.__func__, value.__self__]
        case FunctionType() | BuiltinFunctionType() | ModuleType() | type():
            return None
    return _copied(value)


def _copied(value: object) -> list[object] | None:
    """What a copy of an object would be made of, and what it has itself; None where nothing says so."""
    own = getattr(value, "__dict__", None)
    try:
        made = value.__reduce_ex__(4)
    except Exception:
        return None if own is None else [own]
    told = list(made[1:]) if isinstance(made, tuple) else []
    return [list(part) if isinstance(part, Iterator) else part for part in [*told, own]]


def _fingerprint(tensor: Tensor) -> tuple[object, ...]:
    """What a tensor is, with a sum of its bits: writing through `.data` counts no version."""
    version = 0 if tensor.is_inference() else tensor._version
    return id(tensor), version, *_content(tensor)


def _content(tensor: Tensor) -> tuple[object, ...]:
    """Kind and values of a tensor; of one that does not lie in memory as numbers it is the object itself."""
    if tensor.is_meta or tensor.is_nested or tensor.layout != torch.strided:
        return id(tensor), str(tensor.dtype)
    plain = (tensor.dequantize() if tensor.is_quantized else tensor).detach().resolve_conj().resolve_neg()
    return tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad, _checksum(plain)


def _checksum(tensor: Tensor, width: int = 1024) -> int:
    """A hash that no change of a single bit leaves as it is: of the sums of rows and columns of the values' own bits.

    Whole numbers of 64 bits are added, which rounds nothing, so that two changes hide each other only where they cancel
    in their row and in their column.
    """
    values = tensor.flatten()
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
