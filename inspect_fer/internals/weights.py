"""Weights as they are: the kernels of convolutions, the matrices of linear layers."""

from typing import TypeVar

from torch import Tensor, nn

from inspect_fer.errors import NetworkError, UnknownNameError
from inspect_fer.lookup import no_such_name
from inspect_fer.schema import Classifier

Kind = TypeVar("Kind", nn.Conv2d, nn.Linear)
Network = Classifier | nn.Module
"""A model, or the network in it."""

WORDS: dict[type[nn.Module], str] = {nn.Conv2d: "convolution", nn.Linear: "linear layer"}


def convolutions(network: Network) -> list[str]:
    """Dotted names of all convolutions, in the network's order."""
    return _named(network, nn.Conv2d)


def linears(network: Network) -> list[str]:
    """Dotted names of all linear layers, in the network's order."""
    return _named(network, nn.Linear)


def filters(network: Network, layer: str) -> Tensor:
    """The kernels of one convolution, (out, in, kh, kw), as a copy; in is that of one group.

    Raises UnknownNameError with all convolutions when there is no such layer, NetworkError when it is none.
    """
    return _layer(network, layer, nn.Conv2d, convolutions(network)).weight.detach().clone()


def dense_weights(network: Network, layer: str) -> Tensor:
    """The weights of one linear layer, (out, in), as a copy. Raises as `filters` does, with all linear layers."""
    return _layer(network, layer, nn.Linear, linears(network)).weight.detach().clone()


def _bare(network: Network) -> nn.Module:
    return network.network if isinstance(network, Classifier) else network


def _named(network: Network, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in _bare(network).named_modules() if isinstance(module, kind)]


def _layer(network: Network, layer: str, kind: type[Kind], choices: list[str]) -> Kind:
    module = dict(_bare(network).named_modules(remove_duplicate=False)).get(layer)
    if module is None:
        raise UnknownNameError(no_such_name(layer, choices, WORDS[kind]))
    if not isinstance(module, kind):
        there = ", ".join(choices) or "none"
        raise NetworkError(f"Layer {layer!r} is a {type(module).__name__}, no {WORDS[kind]}. Choose from: {there}.")
    return module
