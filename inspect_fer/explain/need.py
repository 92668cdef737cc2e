"""How much memory an image takes on its way through a network, measured on one."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from inspect_fer.capture import Meter, logits_of, shared_passes, whole_pass
from inspect_fer.errors import FerError
from inspect_fer.explain.budget import Rows, rows_within
from inspect_fer.explain.method import Method, Setting, own_passes, passes_of, reads_layer, shares_pass
from inspect_fer.schema import Classifier
from inspect_fer.twin import bare_copy

CHEAP = 32
"""A method of at most so many passes is run to see what it takes; others cut their passes into chunks themselves."""


@dataclass(frozen=True)
class Need:
    """Bytes of tensors an image takes, weights not counted.

    plain: in a pass without a graph; graph: with one to the input, for one class
    shared: in the pass that all methods share, with the work of the methods that follow from it
    """

    plain: int
    graph: int
    shared: int

    def rows(self, memory: int) -> Rows:
        """How many images may go through at a time."""
        return Rows(rows_within(memory, self.plain), rows_within(memory, self.graph))


_KNOWN: WeakKeyDictionary[nn.Module, dict[tuple[object, ...], Need]] = WeakKeyDictionary()


def need_of(
    model: Classifier, image: Tensor, methods: Mapping[str, Method], layers: tuple[str, ...], targets: int
) -> Need:
    """What an image (1, C, H, W) takes with these methods and so many targets, measured once a network.

    Nothing is known, and all is 0, where the network cannot be copied.
    """
    known = _KNOWN.setdefault(model.network, {})
    key = (tuple(image.shape), layers, targets, tuple(methods.values()))
    if key not in known:
        known[key] = _measured(model, image, list(methods.values()), layers, targets)
    return known[key]


def _measured(model: Classifier, image: Tensor, methods: list[Method], layers: tuple[str, ...], targets: int) -> Need:
    copied = bare_copy(model.network)  # the owner's hooks see no pass but those that were asked for
    if copied is None:
        return Need(0, 0, 0)
    model = replace(model, network=copied)
    one = image.numel() * image.element_size()
    with torch.no_grad():
        plain = peak_of(lambda: logits_of(model.network, image)) + 4 * one  # to cover an image takes copies of it
    graph = peak_of(lambda: _gradient(model.network, image))
    maps = 4 * targets * one  # attributions of all targets, and what adds them up
    reading = [method for method in methods if reads_layer(method)] if layers else []
    shared = peak_of(lambda: _shared(model, image, reading, layers, targets)) if reading else 0
    return Need(plain, max(plain, graph), max(plain, shared) + maps)


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes of tensors that some work holds at a time; a user's mistake in it comes out elsewhere."""
    with Meter() as meter, suppress(FerError):
        work()
    return int(meter.peak)


def _gradient(network: nn.Module, image: Tensor) -> list[Tensor]:
    whole = whole_pass(network, image, lambda _: False)
    return whole.gradients(torch.ones(1, 1, whole.logits.shape[1]).to(whole.logits))


def _shared(model: Classifier, image: Tensor, methods: list[Method], layers: tuple[str, ...], targets: int) -> None:
    classes = (torch.arange(targets) % len(model.card.class_names))[None]
    passes = shared_passes(model.network, layers, image, classes)
    kept = []
    for layer, shared in passes.items():
        setting = setting_of(shared.features.shape[1:], image, targets, linear_head=shared.head is not None)
        for method in methods:
            with suppress(FerError):
                if passes_of(method, setting).forward > CHEAP:
                    continue
                if own_passes(method):
                    kept.append(method(model, image, classes, layer))
                elif shares_pass(method):
                    kept.append(method(shared))


def setting_of(features: torch.Size, image: Tensor, targets: int, *, linear_head: bool) -> Setting:
    """What passes depend on, of the layer's maps (C, h, w) and an image (1, C, H, W)."""
    channels, height, width = image.shape[1:]
    return Setting(targets, (channels, height, width), (features[0], features[1], features[2]), linear_head)
