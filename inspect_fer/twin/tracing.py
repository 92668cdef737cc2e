"""What a network does in eval mode, node by node."""

import warnings
from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import fx, nn

from inspect_fer.twin.copies import altered, evaluation_copy
from inspect_fer.twin.state import state_of

TRACING = Lock()
"""Held by whoever traces: fx changes how modules are called everywhere."""

_GRAPHS: WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], fx.Graph | None]] = WeakKeyDictionary()


class Tracer(fx.Tracer):
    """Traces one network; fx diverts the modules of every thread meanwhile, so what is foreign passes through."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.own = set(network.modules())

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace what the network consists of, call what does not belong to it."""
        return super().call_module(m, forward, args, kwargs) if m in self.own else forward(*args, **kwargs)


def graph_of(network: nn.Module) -> fx.Graph | None:
    """What a network does in eval mode, node by node; kept while it does not change.

    None where it cannot be traced, and where hooks or a replaced `forward` hang on it.
    """
    if any(altered(module) for module in network.modules()):
        return None
    with torch.inference_mode(mode=False), torch.no_grad():
        if (state := state_of(network)) is None:
            return None
        if network not in _GRAPHS or _GRAPHS[network][0] != state:
            _GRAPHS[network] = state, trace(network)
    return _GRAPHS[network][1]


def trace(network: nn.Module) -> fx.Graph | None:
    """The graph of a copy in eval mode, or None: what tracing leaves behind, it leaves on the copy."""
    try:
        copied = evaluation_copy(network)
        with TRACING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Tracer(copied).trace(copied)
    except Exception:
        return None
