"""What an explanation is going to take, before it is made: passes, seconds, bytes."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

import torch
from torch import Tensor, nn

from inspect_fer.capture import SharedPass, leave_no_trace, logits_of, shared_passes
from inspect_fer.errors import FerError
from inspect_fer.explain.budget import MOST, rows_within
from inspect_fer.explain.incremental.gain import Outlook
from inspect_fer.explain.method import Method, Passes, Setting, passes_of, reads_layer, shares_pass
from inspect_fer.explain.need import CHEAP, Need, gradient, need_of, setting_of
from inspect_fer.explain.passes import Forms, Plan, batch_of, forms_of, refusals
from inspect_fer.predict import Images
from inspect_fer.targets import predicted

Result = TypeVar("Result")
PROBED = 16
"""How many images are timed."""


@dataclass(frozen=True)
class Cost:
    """What something takes: passes an image, seconds for all images, bytes of tensors at a time, None if not known.

    note: what else is known of how it is computed
    """

    passes: Passes
    seconds: float
    bytes: int | None
    note: str = ""


@dataclass(frozen=True)
class Forecast:
    """What an explanation takes: the pass that all methods share, once, and what each method adds to it.

    images, targets: how many images, and how many classes of each
    refused: methods that the network does not allow, as far as a few images tell
    """

    images: int
    targets: int
    shared: Cost
    methods: Mapping[str, Cost]
    refused: Mapping[str, FerError]

    @property
    def seconds(self) -> float:
        """Of everything."""
        return self.shared.seconds + sum(cost.seconds for cost in self.methods.values())

    @property
    def bytes(self) -> int | None:
        """The most at a time, None if not known."""
        every = [cost.bytes for cost in (self.shared, *self.methods.values())]
        known = [size for size in every if size is not None]
        return max(known) if len(known) == len(every) else None


def in_time(seconds: float) -> str:
    """Seconds for people, such as "4 min"."""
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds / size < 10 else f"{seconds / size:,.0f} {unit}"
    return "less than a second"


@dataclass(frozen=True)
class _Probe:
    """What a few images told: seconds an image forward and back, the passes of their layers, memory."""

    images: int
    forward: float
    backward: float
    shared: float
    passes: dict[str, SharedPass]
    setting: Setting
    need: Need


def forecast_of(images: Images, plan: Plan) -> Forecast:
    """Time a few images on their way through the network, and count the rest."""
    with leave_no_trace(images.model.network):
        forms = forms_of(images, plan.layers, fast=plan.fast)
        batch = images.read(slice(PROBED))
        probe = _probed(batch, forms, plan)
        methods, refused = dict[str, Cost](), refusals(plan.methods, forms, batch[:1], probe.need, plan)
        count = _Count(len(images), min(len(images), batch_of(images, plan, probe.need)))
        for key, method in plan.methods.items():
            try:
                if key not in refused:
                    methods[key] = _cost(method, probe, plan, count, outlook_of(method, forms, batch[:1]))
            except FerError as problem:
                refused[key] = problem
    refused = {key: refused[key] for key in plan.methods if key in refused}
    backward = int(bool(probe.passes) and not probe.setting.linear_head)
    once = Cost(Passes(1, backward), probe.shared * len(images), _known(probe.need.passing * count.together))
    return Forecast(len(images), probe.setting.targets, once, methods, refused)


@dataclass(frozen=True)
class _Count:
    """How many images there are, and how many go through the network at a time."""

    images: int
    together: int


def outlook_of(method: Method, forms: Forms, image: Tensor) -> Outlook | None:
    """Whether what no window reaches is left out, for a method with windows; image (1, C, H, W)."""
    told = getattr(method, "outlook", None)
    if told is None:
        return None
    with torch.inference_mode():
        found: Outlook = told(forms.of(method).network, image)
    return found


def _probed(batch: Tensor, forms: Forms, plan: Plan) -> _Probe:
    network, width = forms.quick.network, 1 if plan.targets is None else plan.targets.shape[1]
    targets = predicted if plan.targets is None else plan.targets[: len(batch)]
    need = need_of(forms.exact, batch[:1], plan.methods, plan.layers, width)
    with torch.no_grad():
        forward, _ = _timed(lambda: logits_of(network, batch), len(batch))
    there_and_back, _ = _timed(lambda: _gradient(batch, forms), len(batch))
    shared, passes = forward, dict[str, SharedPass]()
    features, head = torch.Size((0, 0, 0)), False
    if plan.layers:
        shared, passes = _timed(lambda: _with_gradients(network, plan.layers, batch, targets), len(batch))
        last = passes[plan.layers[-1]]
        features, head = last.features.shape[1:], last.head is not None
    setting = setting_of(features, batch, width, linear_head=head)
    return _Probe(len(batch), forward, max(0.0, there_and_back - forward), shared, passes, setting, need)


def _gradient(batch: Tensor, forms: Forms) -> None:
    with suppress(FerError):
        gradient(forms.exact.network, batch)


def _with_gradients(
    network: nn.Module, layers: tuple[str, ...], batch: Tensor, targets: Tensor | Callable[[Tensor], Tensor]
) -> dict[str, SharedPass]:
    passes = shared_passes(network, layers, batch, targets)
    with suppress(FerError):
        for shared in passes.values():
            _ = shared.gradients
    return passes


def _timed(work: Callable[[], Result], images: int) -> tuple[float, Result]:
    """Seconds an image, the better of two runs, and the second result."""
    spent = []
    for _ in range(2):
        started = time.perf_counter()
        result = work()
        spent.append(time.perf_counter() - started)
    return min(spent) / images, result


def _cost(method: Method, probe: _Probe, plan: Plan, count: _Count, look: Outlook | None) -> Cost:
    passes = passes_of(method, probe.setting)
    layers = len(plan.layers) if reads_layer(method) else 1
    size = _known(_bytes(method, passes, probe.need, plan, count))
    if shares_pass(method) and passes.forward <= CHEAP and not passes.backward:
        each, _ = _timed(lambda: [method(shared) for shared in probe.passes.values()], probe.images)
        return Cost(passes, each * count.images, size)
    forward = passes.forward / (look.gain if look else 1.0)
    seconds = (forward * probe.forward + passes.backward * probe.backward) * count.images * layers
    return Cost(passes, seconds, size, str(look or ""))


def _bytes(method: Method, passes: Passes, need: Need, plan: Plan, count: _Count) -> int:
    """What a method takes at a time: of the images in a batch, or of as many passes as it makes within memory."""
    each = need.each.get(method, need.shared)
    if reads_layer(method) and passes.forward <= CHEAP:
        return each * count.together
    rows = rows_within(plan.memory, each)
    made = ceil(max(passes.forward, passes.backward) * count.together)
    return each * max(1, min(rows, made, getattr(method, "together", MOST)))


def _known(size: int) -> int | None:
    """Bytes, None for 0: nothing takes nothing."""
    return size or None
