"""Datasets: a function each, from where it lies to `Samples`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inspect_fer.datasets.affectnet import load_affectnet
from inspect_fer.datasets.ckplus import load_ckplus
from inspect_fer.datasets.combine import combined, tags
from inspect_fer.datasets.disfa import load_disfa
from inspect_fer.datasets.fer2013 import load_fer2013
from inspect_fer.datasets.ferplus import load_ferplus
from inspect_fer.datasets.folder import load_files, load_folder
from inspect_fer.datasets.labels import labelled_as, names_in_view, viewed
from inspect_fer.datasets.lazy import centred, fitted
from inspect_fer.datasets.rafdb import load_rafdb
from inspect_fer.datasets.spec import (
    NO_PART,
    OF_THE_WHOLE,
    SHARED,
    Part,
    no_option,
    own_options,
    played,
    require_apart,
    required,
    split_spec,
    written,
)
from inspect_fer.datasets.splits import OTHER_NAMES
from inspect_fer.datasets.synthetic import load_synthetic
from inspect_fer.datasets.tfeid import load_tfeid
from inspect_fer.emotions import united
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.images import MODES
from inspect_fer.lookup import lookup
from inspect_fer.schema import MAX_SIDE, ModelCard, Samples

DATASETS: dict[str, Callable[..., Samples]] = {
    "fer2013": load_fer2013,
    "ferplus": load_ferplus,
    "rafdb": load_rafdb,
    "ckplus": load_ckplus,
    "tfeid": load_tfeid,
    "disfa": load_disfa,
    "affectnet": load_affectnet,
    "folder": load_folder,
    "synthetic": load_synthetic,
}

__all__ = ["DATASETS", "labelled_as", "load_files", "samples", "samples_for", "viewed"]


def samples(
    spec: str,
    split: str = "test",
    *,
    size: int | None = None,
    channels: int | None = None,
    classes: str | Sequence[str] | None = None,
    **options: Any,
) -> Samples:
    """Read the samples of a dataset named KIND:PATH, such as "fer2013:fer2013.csv" or "synthetic:500".

    spec: options may follow it as in "synthetic:500?seed=3&watermark=happiness"; several datasets are joined by "+",
        and size, channels and classes behind the last hold for all
    split: one of the dataset's own names, or "train", "select", "test", "all", or several joined by "+"
    size, channels: of the pixels, where another than the dataset's own is wanted
    classes: a view of the emotions ("six", "seven", "eight", "polarity") or class names; rows of others are dropped
    options: the dataset's own, such as mode="majority" for ferplus; train, select or test name the splits that shall
        play that role, such as test="PublicTest+PrivateTest", or "none"

    Raises UnknownNameError, DataError or ConfigError, the last for an option of another type.
    """
    parts = split_spec(spec, DATASETS)
    asked = {"size": size, "channels": channels, "classes": classes}
    given = {name: value for name, value in asked.items() if value is not None} | options
    chosen = options_of(parts, given)
    found = _read(parts[0], split, chosen[0]) if len(parts) == 1 else _read_all(parts, split, chosen)
    return replace(found, source={**found.source, "spec": "+".join(map(str, parts)), "split": split, "options": given})


def options_of(parts: Sequence[Part], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was asked of each part: behind its name, behind the last name for all, or by keyword, the first winning."""
    known = [own_options(lookup(DATASETS, part.kind, "dataset")) | SHARED for part in parts]
    for name, value in given.items():
        if not any(name in own for own in known):
            raise no_option(name, [choice for own in known for choice in own], "+".join(part.kind for part in parts))
        for part, own in zip(parts, known, strict=True):
            if name in own:
                required(name, value, own[name], part.kind)
    behind = [written(part, own) for part, own in zip(parts, known, strict=True)]
    whole = {**given, **{name: value for name, value in behind[-1].items() if name in OF_THE_WHOLE}}
    return [
        {name: value for name, value in whole.items() if name in own} | words
        for own, words in zip(known, behind, strict=True)
    ]


def _read(part: Part, split: str, chosen: Mapping[str, Any]) -> Samples:
    require_apart(chosen, part.kind)
    own = played(split, chosen)
    if own is None:
        raise DataError(f"{part} takes no part in the split {split}.{_needed(split)}")
    return _shown(_loaded(part, own, chosen), chosen)


def _read_all(parts: Sequence[Part], split: str, chosen: Sequence[Mapping[str, Any]]) -> Samples:
    """The parts that take part in the split, as one; the classes are the same in every split."""
    read, orders = [], []
    for tag, part, options in zip(tags([part.kind for part in parts]), parts, chosen, strict=True):
        require_apart(options, part.kind)
        own = played(split, options)
        if own is not None:
            faces = _shown(_loaded(part, own, options), options)
            read.append((tag, faces))
            orders.append(faces.class_names)
        elif "classes" in options:
            orders.append(names_in_view(options["classes"]))
        else:
            orders.append(_loaded(part, "all", options).class_names)
    if not read:
        raise DataError(f"None of the datasets takes part in the split {split}.{_needed(split)}")
    return combined(read, united(orders))


def _needed(split: str) -> str:
    """What to do about a split that is not there."""
    if OTHER_NAMES.get(split.lower(), split) != "select":
        return ""
    return f" Training needs a selection split to choose the best epoch on; name one instead of select={NO_PART}."


def _loaded(part: Part, split: str, chosen: Mapping[str, Any]) -> Samples:
    if not 1 <= chosen.get("size", 1) <= MAX_SIDE or chosen.get("channels", 1) not in MODES:
        raise ConfigError(f"Pictures are read with size 1 to {MAX_SIDE} and 1 or 3 channels.")
    load = DATASETS[part.kind]
    return load(part.place, split, **{name: value for name, value in chosen.items() if name in own_options(load)})


def _shown(faces: Samples, chosen: Mapping[str, Any]) -> Samples:
    """The pictures at the size and with the classes asked for."""
    faces = replace(faces, pixels=fitted(faces.pixels, size=chosen.get("size"), channels=chosen.get("channels")))
    return viewed(faces, chosen["classes"]) if "classes" in chosen else faces


def samples_for(card: ModelCard, spec: str, split: str = "test", *, whole: bool = False, **options: Any) -> Samples:
    """Read samples as a network takes them: its image size and channels, its class order.

    whole: leave pictures at the size the network reads them at, instead of cutting their centre to its input size
    """
    channels, height, width = card.input_size
    if height != width:
        raise DataError(f"Datasets are read as squares; this network takes {height} x {width}.")
    size = card.read_size or height
    found = labelled_as(samples(spec, split, **({"size": size, "channels": channels} | options)), card.class_names)
    return found if whole or size == height else replace(found, pixels=centred(found.pixels, height))
