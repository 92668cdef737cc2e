"""How much memory an image takes on its way through a network, measured on one."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from inspect_fer.capture import Meter, SharedPass, logits_of, shared_passes, whole_pass
from inspect_fer.errors import FerError
from inspect_fer.explain.budget import Rows, allowing, rows_within
from inspect_fer.explain.method import Method, Setting, own_passes, passes_of, reads_layer, shares_pass
from inspect_fer.schema import Classifier
from inspect_fer.twin import bare_copy, never_changes, state_of

CHEAP = 32
"""A method of at most so many passes is run to see what it takes; others cut their passes into chunks themselves."""


KEPT = 32
"""So many measurements of a network are kept, of other methods, layers or sizes."""


@dataclass(frozen=True)
class Need:
    """Bytes of tensors an image takes, weights not counted; all 0 where nothing is known.

    plain: in a pass without a graph; graph: with one to the input, for one class
    passing: in the pass that all methods share; shared: with the work of those that follow from it, the most of them
    each: of each method the least that it takes, for one image or one class of it
    failed: methods that the network does not allow, as far as one image tells
    """

    plain: int = 0
    graph: int = 0
    passing: int = 0
    shared: int = 0
    each: Mapping[Method, int] = field(default_factory=dict)
    failed: Mapping[Method, FerError] = field(default_factory=dict)

    @property
    def least(self) -> int:
        """Below this one of the methods cannot work on even one image."""
        return max(self.shared, *self.each.values(), 0)

    def rows(self, memory: int) -> Rows:
        """How many images may go through at a time."""
        return Rows(rows_within(memory, self.plain), rows_within(memory, self.graph))


_KNOWN: WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], dict[tuple[object, ...], Need]]] = WeakKeyDictionary()


def share_of(method: Method) -> int:
    """How many rows of a graph the attribution of one image takes in a method."""
    return int(getattr(method, "share", 1))


def need_of(
    model: Classifier, image: Tensor, methods: Mapping[str, Method], layers: tuple[str, ...], targets: int
) -> Need:
    """What an image (1, C, H, W) takes with these methods and so many targets, measured once a state of the network."""
    state = () if never_changes(model.network) else state_of(model.network)
    if state is None:
        return _measured(model, image, list(methods.values()), layers, targets)
    if model.network not in _KNOWN or _KNOWN[model.network][0] != state:
        _KNOWN[model.network] = state, {}
    known = _KNOWN[model.network][1]
    key = (tuple(image.shape), layers, targets, tuple(methods.values()))
    if key in known:
        return known[key]
    need = _measured(model, image, list(methods.values()), layers, targets)
    if not need.failed:  # an error holds what it came from
        known[key] = need
        for old in list(known)[:-KEPT]:
            del known[old]
    return need


def _measured(model: Classifier, image: Tensor, methods: list[Method], layers: tuple[str, ...], targets: int) -> Need:
    copied = bare_copy(model.network)  # the owner's hooks see no pass but those that were asked for
    if copied is None:
        return Need()
    model = replace(model, network=copied)
    one = image.numel() * image.element_size()
    try:
        with torch.no_grad():
            plain = peak_of(lambda: logits_of(model.network, image)) + 4 * one  # to cover an image takes copies of it
    except FerError:  # the network itself says so later
        return Need()
    graph = plain
    with suppress(FerError):  # then no method makes a graph either
        graph = max(plain, peak_of(lambda: gradient(model.network, image)))
    maps = 4 * targets * one  # attributions of all targets, and what adds them up
    reading = [method for method in methods if reads_layer(method)] if layers else []
    passing, each, failed = _shared(model, image, reading, layers, targets) if reading else (0, {}, {})
    shared = max(plain, passing, *each.values()) + maps
    none = setting_of(torch.Size((0, 0, 0)), image, targets, linear_head=False)
    for method in methods:
        if own_passes(method) and method not in (*each, *failed):
            each[method] = share_of(method) * graph if passes_of(method, none).backward else plain
    return Need(plain, graph, max(plain, passing), shared, each, failed)


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes of tensors that some work holds at a time."""
    with Meter() as meter:
        work()
    return int(meter.peak)


def gradient(network: nn.Module, image: Tensor) -> list[Tensor]:
    """The gradient of the logits' sum by images, for what it takes. Raises NetworkError where there is none."""
    whole = whole_pass(network, image, lambda _: False)
    return whole.gradients(torch.ones(len(image), 1, whole.logits.shape[1]).to(whole.logits))


def _shared(
    model: Classifier, image: Tensor, methods: list[Method], layers: tuple[str, ...], targets: int
) -> tuple[int, dict[Method, int], dict[Method, FerError]]:
    """The peak of the pass that all share, the peak in each method's work on it, and the methods that fail."""
    classes = (torch.arange(targets) % len(model.card.class_names))[None]
    each, failed = dict[Method, int](), dict[Method, FerError]()
    with Meter() as meter:
        try:
            passes = shared_passes(model.network, layers, image, classes)
        except FerError as problem:
            return meter.peak, {}, dict.fromkeys(methods, problem)
        passing = meter.peak
        for method in methods:
            meter.peak = meter.alive
            try:
                for layer, shared in passes.items():
                    _run(method, model, shared, layer, image, classes)
            except FerError as problem:
                failed[method] = problem
            else:
                each[method] = max(passing, meter.peak)
    return passing, each, failed


def _run(method: Method, model: Classifier, shared: SharedPass, layer: str, image: Tensor, classes: Tensor) -> None:
    """Make a method's maps if that is cheap, or those of its smaller version, a pass at a time."""
    smaller = getattr(method, "smaller", None)
    method = smaller() if smaller else method
    setting = setting_of(shared.features.shape[1:], image, classes.shape[1], linear_head=shared.head is not None)
    if passes_of(method, setting).forward > CHEAP:
        return
    with allowing(Rows(1, 1) if smaller else Rows()):
        if own_passes(method):
            method(model, image, classes, layer)
        elif shares_pass(method):
            method(shared)


def setting_of(features: torch.Size, image: Tensor, targets: int, *, linear_head: bool) -> Setting:
    """What passes depend on, of the layer's maps (C, h, w) and an image (1, C, H, W)."""
    channels, height, width = image.shape[1:]
    return Setting(targets, (channels, height, width), (features[0], features[1], features[2]), linear_head)
