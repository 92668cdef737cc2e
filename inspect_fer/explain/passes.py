"""One pass over the images for all methods at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, find_layer, leave_no_trace, logits_of, penultimate, shared_passes
from inspect_fer.errors import ConfigError, FerError
from inspect_fer.explain.budget import allowing, portion, require, rows_within
from inspect_fer.explain.fusion import Fusion, fused
from inspect_fer.explain.method import Method, own_passes, reads_layer, shares_pass
from inspect_fer.explain.need import Need, need_of
from inspect_fer.predict import Images
from inspect_fer.schema import Classifier, Tick
from inspect_fer.targets import predicted
from inspect_fer.twin import exact_twin, half_twin

Layers: TypeAlias = str | Sequence[str] | None
"""What CAM methods read; None for the layer that the network's card names."""

COMPARED = 4
"""On how many images the fast network's maps are compared with the exact ones."""

Refuse = Callable[[str, FerError], None]
"""Told of each method that the network does not allow, and why."""


@dataclass(frozen=True)
class Plan:
    """What is to be explained, and how.

    targets: (N, T), or None for the predicted class
    layers: what CAM methods read, none only where no method reads one; the maps of several are fused
    memory: bytes; fast: in half precision
    refuse: told of methods that do not work, which are left out; None: their error is raised
    """

    methods: Mapping[str, Method]
    targets: Tensor | None
    layers: tuple[str, ...]
    fusion: Fusion = "mean"
    batch_size: int = 128
    memory: int = 10**9
    fast: bool = False
    refuse: Refuse | None = None


@dataclass
class Found:
    """Maps by method, (N, T, h, w) float32 on the CPU, with the targets (N, T).

    logits: (N, K); features: (N, D), what the layer was given that made them
    deviations: of each method, see Explanation.deviation; none where all was exact
    """

    maps: dict[str, Tensor]
    targets: Tensor
    logits: Tensor
    features: Tensor
    deviations: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Forms:
    """One network in the forms in which methods want it: quick (perhaps half-precise), exact twin, and as it is."""

    quick: Classifier
    exact: Classifier
    plain: Classifier

    def of(self, method: Method) -> Classifier:
        """The form in which a method wants it."""
        if getattr(method, "unfolded", False):
            return self.plain
        return self.exact if getattr(method, "precise", False) else self.quick


def layers_of(model: Classifier, layer: Layers) -> tuple[str, ...]:
    """The layers to read, each of them there. Raises UnknownNameError, and ConfigError for none or the same twice."""
    layers: tuple[str, ...] = (model.card.cam_layer,)
    if layer is not None and layer != "":
        layers = (layer,) if isinstance(layer, str) else tuple(layer) if isinstance(layer, Iterable) else ()
    if not layers or not all(isinstance(name, str) for name in layers) or len(set(layers)) != len(layers):
        raise ConfigError(f"Name one layer, or several that differ, not {layer!r}.")
    named = tuple(filter(None, layers))
    for name in named:
        find_layer(model.network, name)
    return named


def forms_of(images: Images, layers: tuple[str, ...], *, fast: bool) -> Forms:
    """The network of the images, its exact twin, and the half-precise one where that is asked for and helps."""
    exact = replace(images.model, network=exact_twin(images.model.network, layers, images.read(slice(2))))
    quick = replace(exact, network=half_twin(exact.network)) if fast else exact
    return Forms(quick, exact, images.model)


def refusals(
    methods: Mapping[str, Method], forms: Forms, image: Tensor, need: Need, plan: Plan, *, rehearsed: bool = True
) -> dict[str, FerError]:
    """What network or memory do not allow, and why, as far as one image (1, C, H, W) tells before any map is made.

    rehearsed: a method that prepares a copy of the network, and has a `rehearse(model, images)` to try that, tries it
    """
    refused: dict[str, FerError] = {}
    for key, method in methods.items():
        rehearse = getattr(method, "rehearse", None)
        try:
            if method in need.failed and forms.of(method).network is forms.exact.network:
                raise need.failed[method]
            if rehearse and rehearsed:
                rehearse(forms.of(method), image)
            require(plan.memory, need.each.get(method, need.plain) if plan.refuse else need.least)
        except FerError as problem:
            refused[key] = problem
    return refused


def batch_of(images: Images, plan: Plan, need: Need) -> int:
    """How many images go through the network at a time."""
    size = min(plan.batch_size, rows_within(plan.memory, need.shared))
    if images.model.device.type == "cpu":
        size = portion(len(images), size, need.plain)
    return size


def maps_of(images: Images, plan: Plan, tick: Tick | None) -> Found:
    """The maps of every method; all that need no passes of their own share one per batch."""
    methods, parts = dict(plan.methods), []
    with leave_no_trace(images.model.network):
        forms = forms_of(images, plan.layers, fast=plan.fast)
        width = 1 if plan.targets is None else plan.targets.shape[1]
        need = need_of(forms.exact, images.read(slice(1)), methods, plan.layers, width)
        if max(need.plain, need.passing) > plan.memory:  # of no use to any method
            require(plan.memory, need.least)
        alone = len(methods) == 1  # then there is nothing to lose
        refused = refusals(methods, forms, images.read(slice(1)), need, plan, rehearsed=not alone)
        for key, problem in refused.items():
            _refused([key], methods, problem, plan)
        with allowing(need.rows(plan.memory)):
            for rows, batch in images.batches(batch_of(images, plan, need)):
                wanted = None if plan.targets is None else plan.targets[rows]
                parts.append(_explain_batch(batch, forms, methods, wanted, plan))
                if tick:
                    tick(rows.stop, len(images))
            names = ("targets", "logits", "features")
            targets, logits, features = (torch.cat([getattr(part, name) for part in parts]) for name in names)
            found = Found(
                {key: torch.cat([part.maps[key] for part in parts]) for key in methods}, targets, logits, features
            )
            return replace(found, deviations=_deviations(images, forms, plan, found)) if plan.fast else found


def _explain_batch(
    batch: Tensor, forms: Forms, methods: dict[str, Method], targets: Tensor | None, plan: Plan
) -> Found:
    """Maps, targets and logits of one batch. Methods that are refused are taken out of `methods`."""
    passes: dict[str, SharedPass] = {}
    sharing = [key for key, method in methods.items() if shares_pass(method)]
    with penultimate(forms.quick.network) as given:
        try:
            if sharing:
                wanted = predicted if targets is None else targets
                passes = shared_passes(forms.quick.network, plan.layers, batch, wanted)
        except FerError as problem:
            _refused(sharing, methods, problem, plan)
        if passes:
            first = next(iter(passes.values()))
            logits, targets = first.logits, first.targets
        else:
            with torch.no_grad():
                logits = logits_of(forms.quick.network, batch).float()
            targets = predicted(logits) if targets is None else targets
        features = given(logits)
    found = {}
    for key, method in list(methods.items()):
        try:
            maps = _maps(method, passes, forms.of(method), batch, targets, plan)
            found[key] = maps.detach().to("cpu", torch.float32)
        except FerError as problem:
            _refused([key], methods, problem, plan)
    return Found(found, targets.cpu(), logits.float().cpu(), features)


def _refused(keys: list[str], methods: dict[str, Method], problem: FerError, plan: Plan) -> None:
    """Leave these methods out and say so, or raise where nobody wants to hear it."""
    if plan.refuse is None:
        raise problem
    for key in keys:
        del methods[key]
        plan.refuse(key, problem)


def _maps(
    method: Method, passes: dict[str, SharedPass], model: Classifier, batch: Tensor, targets: Tensor, plan: Plan
) -> Tensor:
    """The maps of one method: of the layer, fused of several layers, or of no layer."""
    if shares_pass(method):
        each = [method(passes[layer]) for layer in plan.layers]
    elif own_passes(method):
        each = [method(model, batch, targets, layer) for layer in (plan.layers if reads_layer(method) else ("",))]
    return each[0] if len(each) == 1 else fused(each, (batch.shape[2], batch.shape[3]), plan.fusion)


def _deviations(images: Images, forms: Forms, plan: Plan, found: Found) -> dict[str, float]:
    """How far each method's maps of the quick network lie from the exact ones, for a few images."""
    few = slice(COMPARED)
    methods = {key: plan.methods[key] for key in found.maps}
    told = replace(plan, refuse=plan.refuse and (lambda _key, _problem: None))
    exact = _explain_batch(images.read(few), replace(forms, quick=forms.exact), methods, found.targets[few], told)
    return {
        key: float((found.maps[key][few] - maps).norm() / maps.norm().clamp(min=1e-30))
        for key, maps in exact.maps.items()
    }
