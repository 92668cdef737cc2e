"""Datasets: a function each, from where it lies to `Samples`."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from torch import Tensor

from inspect_fer.datasets.fer2013 import load_fer2013
from inspect_fer.datasets.ferplus import load_ferplus
from inspect_fer.datasets.folder import load_files, load_folder
from inspect_fer.datasets.labels import labelled_as
from inspect_fer.datasets.synthetic import load_synthetic
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.images import MODES, fit
from inspect_fer.lookup import lookup, no_such_name
from inspect_fer.schema import MAX_SIDE, ModelCard, Samples

DATASETS: dict[str, Callable[..., Samples]] = {
    "fer2013": load_fer2013,
    "ferplus": load_ferplus,
    "folder": load_folder,
    "synthetic": load_synthetic,
}

__all__ = ["DATASETS", "labelled_as", "load_files", "samples", "samples_for"]


def samples(
    spec: str, split: str = "test", *, size: int | None = None, channels: int | None = None, **options: Any
) -> Samples:
    """Read the samples of a dataset named KIND:PATH, such as "fer2013:fer2013.csv" or "synthetic:500".

    spec: options may follow it as in "synthetic:500?seed=3&watermark=happiness"
    split: one of the dataset's own names, or "train", "select", "test", "all"
    size, channels: of the pixels, where another than the dataset's own is wanted
    options: the dataset's own, such as mode="majority" for ferplus

    Raises UnknownNameError, DataError or ConfigError.
    """
    kind, colon, rest = spec.partition(":")
    where, _, query = rest.partition("?")
    if not colon or not where:
        raise DataError(f"A dataset is named KIND:PATH, such as fer2013:fer2013.csv or synthetic:500, not {spec!r}.")
    load, place = lookup(DATASETS, kind, "dataset"), _place(kind, where)
    given = {name: value for name, value in (("size", size), ("channels", channels)) if value is not None} | options
    own = {name: kinds for name, kinds in get_type_hints(load).items() if name in _own_options(load)}
    chosen = given | _values(query, own | {"size": int, "channels": int}, kind)
    unknown = [name for name in chosen if name not in {*own, "size", "channels"}]
    if unknown:
        raise _no_option(unknown[0], own, kind)
    if not 1 <= chosen.get("size", 1) <= MAX_SIDE or chosen.get("channels", 1) not in MODES:
        raise ConfigError(f"Pictures are read with size 1 to {MAX_SIDE} and 1 or 3 channels.")
    read = load(place, split, **{name: value for name, value in chosen.items() if name in own})
    if isinstance(read.pixels, Tensor):
        read = replace(read, pixels=fit(read.pixels, size=chosen.get("size"), channels=chosen.get("channels")))
    lasting = f"{kind}:{place}" + (f"?{query}" if query else "")
    return replace(read, source={"spec": lasting, "split": split, "options": given})


def _own_options(load: Callable[..., Samples]) -> list[str]:
    parameters = inspect.signature(load).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _no_option(name: str, own: Iterable[str], kind: str) -> ConfigError:
    return ConfigError(no_such_name(name, dict.fromkeys([*own, "size", "channels"]), f"option of {kind}"))


def _values(query: str, kinds: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Options written behind a dataset's name, as what the dataset takes: a number, a word, or words with commas."""
    found = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            raise _no_option(name, kinds, kind)
        try:
            found[name] = _value(text, kinds[name])
        except ValueError as problem:
            raise ConfigError(f"The option {name} of {kind} is a number, not {text!r}.") from problem
    return found


def _value(text: str, wanted: Any) -> int | float | str | list[str]:
    parts = {wanted, *get_args(wanted)}
    if int in parts:
        return int(text)
    if float in parts:
        return float(text)
    return text.split(",") if any(get_origin(part) is Sequence for part in parts) else text


def _place(kind: str, where: str) -> Path | int:
    if kind != "synthetic":
        return Path(where).expanduser().absolute()
    if not where.isdecimal():
        raise DataError(f"synthetic:N draws N faces; {where!r} is not a number.")
    return int(where)


def samples_for(card: ModelCard, spec: str, split: str = "test", **options: Any) -> Samples:
    """Read samples as a network takes them: its image size and channels, its class order."""
    channels, height, width = card.input_size
    if height != width:
        raise DataError(f"Datasets are read as squares; this network takes {height} x {width}.")
    return labelled_as(samples(spec, split, **({"size": height, "channels": channels} | options)), card.class_names)
