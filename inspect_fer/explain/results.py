"""What is known of explanations before any map is made, and what of them when they are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inspect_fer.capture import first_not_finite
from inspect_fer.errors import FerError
from inspect_fer.explain.coinciding import coinciding
from inspect_fer.explain.fusion import Fusion
from inspect_fer.explain.method import Method, class_free, footprint, reads_layer, relative, require_fit, turned
from inspect_fer.explain.passes import Found, Refuse
from inspect_fer.predict import Images
from inspect_fer.schema import Explanation, Footprint, Prediction


def blanks(
    methods: Mapping[str, Method],
    described: Mapping[str, Mapping[str, Any]],
    images: Images,
    layers: tuple[str, ...],
    fusion: Fusion,
    refuse: Refuse | None,
) -> dict[str, Explanation]:
    """What is known of each explanation before any map, for the methods that fit network and input so far."""
    blank: dict[str, Explanation] = {}
    for key, method in methods.items():
        try:
            blank[key] = _blank(method, described[key], images, layers, fusion)
        except FerError as problem:
            if refuse is None:
                raise
            refuse(key, problem)
    return blank


def _blank(
    method: Method, told: Mapping[str, Any], images: Images, layers: tuple[str, ...], fusion: Fusion
) -> Explanation:
    """Raises ConfigError where network or input do not fit."""
    require_fit(method, images.model.card)
    none, size = torch.empty(0), images.model.card.input_size
    if not reads_layer(method):
        prints, flags = footprint(method, size), (class_free(method), relative(method))
        return Explanation(images.ids, none, none, told, "", size, prints, *flags)
    together = fusion if len(layers) > 1 else ""
    where = " + ".join(layers)
    return Explanation(images.ids, none, none, told, where, size, Footprint(), class_free(method), fusion=together)


def explanations(
    images: Images, methods: Mapping[str, Method], blank: Mapping[str, Explanation], found: Found
) -> dict[str, Explanation]:
    """What was found, with what it is worth."""
    same, sure = coinciding(found.maps), answer_of(images, found).confidence
    return {
        key: replace(
            blank[key],
            maps=maps,
            targets=found.targets,
            turned=turned(methods[key], found.logits.gather(1, found.targets)),
            confidence=sure,
            deviation=found.deviations.get(key),
            same_as=same[key],
            broken_layer=_broken_layer(images, maps),
        )
        for key, maps in found.maps.items()
    }


def answer_of(images: Images, found: Found) -> Prediction:
    """What the network answered in the pass that the maps come from."""
    card = images.model.card
    return Prediction(images.ids, found.logits, images.labels, card.class_names, card.output, card.threshold)


def _broken_layer(images: Images, maps: Tensor) -> str:
    """Where the first image whose maps are not finite goes wrong; "" where all are finite."""
    broken = (~maps.isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist()
    if not broken:
        return ""
    return first_not_finite(images.model.network, images.read(slice(broken[0], broken[0] + 1))) or "gradients"
