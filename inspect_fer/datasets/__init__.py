"""Datasets: a function each, from where it lies to `Samples`."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from torch import Tensor

from inspect_fer.datasets.fer2013 import load_fer2013
from inspect_fer.datasets.ferplus import load_ferplus
from inspect_fer.datasets.folder import load_files, load_folder
from inspect_fer.datasets.labels import labelled_as
from inspect_fer.datasets.synthetic import load_synthetic
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.images import fit
from inspect_fer.lookup import lookup, no_such_name
from inspect_fer.schema import ModelCard, Samples

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
    load = lookup(DATASETS, kind, "dataset")
    given = {name: value for name, value in (("size", size), ("channels", channels)) if value is not None} | options
    chosen = _values(query) | given
    own = _own_options(load)
    unknown = [name for name in chosen if name not in {*own, "size", "channels"}]
    if unknown:
        raise ConfigError(no_such_name(unknown[0], [*own, "size", "channels"], f"option of {kind}"))
    read = load(_place(kind, where), split, **{name: value for name, value in chosen.items() if name in own})
    if isinstance(read.pixels, Tensor):
        read = replace(read, pixels=fit(read.pixels, size=chosen.get("size"), channels=chosen.get("channels")))
    return replace(read, source={"spec": spec, "split": split, "options": given})


def _own_options(load: Callable[..., Samples]) -> list[str]:
    parameters = inspect.signature(load).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _values(query: str) -> dict[str, Any]:
    """Options written behind a dataset's name; numbers become numbers, words with commas lists of words."""
    return {name: _value(text) for name, text in parse_qsl(query, keep_blank_values=True)}


def _value(text: str) -> int | float | str | list[str]:
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text.split(",") if "," in text else text


def _place(kind: str, where: str) -> Path | int:
    if kind != "synthetic":
        return Path(where).expanduser()
    if not where.isdecimal():
        raise DataError(f"synthetic:N draws N faces; {where!r} is not a number.")
    return int(where)


def samples_for(card: ModelCard, spec: str, split: str = "test", **options: Any) -> Samples:
    """Read samples as a network takes them: its image size and channels, its class order."""
    channels, height, width = card.input_size
    if height != width:
        raise DataError(f"Datasets are read as squares; this network takes {height} x {width}.")
    return labelled_as(samples(spec, split, **({"size": height, "channels": channels} | options)), card.class_names)
