"""What was asked for, tried on one sample before the work: which methods fit, what they read, how fine maps are."""

from collections.abc import Mapping
from typing import Any

import torch

from inspect_fer.errors import DataError
from inspect_fer.explain import Examined, Options, examine
from inspect_fer.explain.method import Method
from inspect_fer.predict import network_input
from inspect_fer.runs.group import Group
from inspect_fer.runs.plan import as_plain, place_of, targets_of
from inspect_fer.runs.store import NO_NUMBER
from inspect_fer.runs.work import readable
from inspect_fer.schema import Classifier, Samples
from inspect_fer.targets import resolve_targets

DEFAULTS: Options = {"targets": "predicted", "layer": None, "fusion": "mean", "precision": "exact"}
TRIED = 16
"""Among how many samples one that can be read and answered is looked for, to try the methods on."""


def asked_for(
    model: Classifier,
    faces: Samples,
    methods: Mapping[str, Method],
    limit: int | None,
    options: Options,
    *,
    every_class: bool,
) -> tuple[Group, Examined | None]:
    """The methods as the manifest is to hold them, and what they made of one sample (nothing without methods).

    Raises what `explain` raises, and DataError where no sample can be explained.
    """
    labels = network_input(model, faces).labels[:limit]
    targets = options.get("targets", "predicted")
    names = model.card.class_names
    resolve_targets(targets, labels, len(names), names)  # of all samples, before any work
    plain = targets if isinstance(targets, str) else torch.as_tensor(targets).tolist()
    told = {**DEFAULTS, **options, "targets": plain}
    asked = {name: value for name, value in told.items() if name not in {"refuse", "tick"}}
    tried = _tried(model, faces[: len(labels)], methods, options, plain) if methods else None
    maps = tried.explanations if tried else {}
    size = model.card.input_size[1:]
    few = [name for name, why in maps.items() if why.maps.shape[2:] == size and why.maps.shape[1] > 2]
    entries = {
        name: {"method": dict(why.method), "layer": why.layer, "folder": place_of(name, why.layer)}
        for name, why in maps.items()
    }
    words = {"methods": entries, "options": asked, "limit": limit, "few": [] if every_class else few}
    return Group.from_dict(as_plain(words)), tried


def _tried(
    model: Classifier, faces: Samples, methods: Mapping[str, Method], options: Options, targets: Any
) -> Examined:
    reason = "there are none."
    for row in range(min(TRIED, len(faces))):
        one, _, unreadable = readable(faces[row : row + 1])
        reason = next(iter(unreadable.values()), f"{NO_NUMBER}.")
        if len(one):
            own = targets_of(targets, slice(row, row + 1))
            found = examine(model, one, methods, **{**options, "targets": own, "tick": None})
            if found.prediction.logits.isfinite().all():
                return found
    raise DataError(f"None of the first {min(TRIED, len(faces))} samples can be explained; the last: {reason}")
