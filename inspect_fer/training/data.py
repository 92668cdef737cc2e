"""The samples that a recipe asks for: its splits, read as its network takes them, balanced where it says so."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import torch
from torch import Tensor

from inspect_fer.datasets import DATASETS, samples
from inspect_fer.datasets.spec import NO_PART, SHARED, Part, overlap, own_options, played, split_spec, written
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.lookup import lookup, no_such_name
from inspect_fer.schema import Samples
from inspect_fer.training.augment import augment
from inspect_fer.training.config import Augment, Data, Recipe

ROLES = ("train", "select", "test")
PURPOSE = {"train": "to learn from", "select": "to choose the best epoch on"}
CHANGES = Augment(flip=0.5, shift=0.1, rotate=20, scale=0.1, brightness=0.3, contrast=0.3)
"""Rotated, mirrored, scaled, lighter or darker, flatter or harder: the transforms that source 002 names."""

ELSEWHERE = {"size": "size of [data]", "channels": "channels of [network]"}
"""Where a recipe says what datasets take as an option."""


def read_split(recipe: Recipe, spec: str, role: str) -> Samples:
    """Read the split that plays a role ("train", "select", "test") in a recipe.

    spec: KIND:PATH; the recipe's own options and split names hold for the kinds of dataset that it is for, options in
        the spec before them

    Of what is learnt from or chosen on, unlabelled rows are left out, counted in `dropped`, unless all are. Warns of
    that, of a dataset that the recipe is not for, of pictures larger than it says, and of `shared_roles`, but where a
    source's own experiment is meant to have them. Raises DataError, ConfigError or UnknownNameError.
    """
    plan, network = recipe.data, recipe.network
    _require_sound(plan)
    parts = split_spec(spec, DATASETS)
    fits = _fits(plan, parts)
    if role == "train":
        _warn(recipe, spec, parts)
    split, options = (getattr(plan, role), _options(plan, role)) if fits else (role, {})
    if split == NO_PART:
        needed = f" Training needs a {role} split {PURPOSE[role]}." if role in PURPOSE else ""
        raise DataError(f"The recipe has {role} = {NO_PART!r}.{needed}")
    if fits:
        spec = "+".join(str(_with_own(part, plan)) for part in parts)
    found = samples(spec, split, size=plan.size or network.size, channels=network.channels, **options)
    _require_size(recipe, found, role)
    found = _labelled(found, role) if role in PURPOSE else found
    if plan.balanced_copies:
        found = balanced(found, plan.balanced_copies, seed=recipe.training.seed * len(ROLES) + ROLES.index(role))
    return found


def look_ahead(recipe: Recipe, spec: str) -> None:
    """Read the test split before anything is learnt, so that what is wrong with it is told in time.

    Raises DataError for one that was named; where none was, such as in a dataset that has none, it only warns.
    """
    parts = split_spec(spec, DATASETS)
    names = {_played(recipe.data, part, "test", fits=_fits(recipe.data, parts)) for part in parts} - {NO_PART}
    if not names:
        return
    try:
        readable(read_split(recipe, spec, "test"))
    except DataError as problem:
        if names != {"test"}:
            raise DataError(f"{problem} To train without a test split, add test={NO_PART} to {spec}.") from problem
        warnings.warn(f"The network will not be scored on the test split: {problem}", stacklevel=2)


def readable(faces: Samples) -> Samples:
    """The same, once every picture has been read. Raises DataError for one that cannot be."""
    for _ in faces.batches(256):
        pass
    return faces


def shared_roles(recipe: Recipe, spec: str = "") -> list[str]:
    """Say where a recipe learns from, or chooses the epoch on, what it is scored on: a sentence each, [] for nowhere.

    spec: KIND:PATH, whose options may give roles to other splits; without it, what the recipe says alone

    Splits are compared by their names, within each dataset: the same files named twice are not noticed.
    """
    plan = recipe.data
    parts = split_spec(spec, DATASETS) if spec else [Part(kind, 0, "") for kind in plan.kind.split("+")]
    fits = _fits(plan, parts)
    roles = [{role: _played(plan, part, role, fits=fits) for role in ROLES} for part in parts]
    learnt, chosen = _shared(roles, ("select", "test"), "train"), _shared(roles, ("test",), "select")
    several = len(learnt) > 1
    found = {
        f"The split{'s' * several} {' and '.join(learnt)} {'are' if several else 'is'} learnt from too: "
        f"{'their' if several else 'its'} scores say nothing about unseen faces.": learnt,
        f"The epoch is chosen on the test split ({' and '.join(chosen)}), whose score is then too good.": chosen,
    }
    return [sentence for sentence, splits in found.items() if splits]


def _shared(parts: Iterable[Mapping[str, str]], roles: Iterable[str], other: str) -> list[str]:
    """Names of splits that play one of the roles in a dataset and hold rows of what plays the other in it."""
    names = [(name, part[other]) for part in parts for role in roles for name in part[role].split("+")]
    return list(dict.fromkeys(name for name, against in names if overlap(name, against)))


def _played(plan: Data, part: Part, role: str, *, fits: bool) -> str:
    """Which splits of a dataset play a role, by its name or else by the recipe."""
    known = (own_options(lookup(DATASETS, part.kind, "dataset")) if part.kind else {}) | SHARED
    chosen = {**_options(plan, role), **written(_with_own(part, plan), known)} if fits else written(part, known)
    roles = {name: str(value) for name, value in chosen.items() if name in ROLES}
    return played(getattr(plan, role) if fits else role, roles) or NO_PART


def _warn(recipe: Recipe, spec: str, parts: Sequence[Part]) -> None:
    if not _fits(recipe.data, parts):
        kinds = "+".join(part.kind for part in parts)
        text = f"The recipe is for {recipe.data.kind}; on {kinds} its splits and options do not hold."
        warnings.warn(text, stacklevel=3)
    meant = shared_roles(recipe) if recipe.published else []
    unmeant = [sentence for sentence in shared_roles(recipe, spec) if sentence not in meant]
    if unmeant:
        warnings.warn(" ".join(unmeant), stacklevel=3)


def _fits(plan: Data, parts: Sequence[Part]) -> bool:
    """Whether a recipe is for these kinds of dataset, in whatever order and however many of each."""
    return not plan.kind or set(plan.kind.split("+")) == {part.kind for part in parts}


def _options(plan: Data, role: str) -> dict[str, Any]:
    return {**plan.options, **(plan.scoring if role != "train" else {})}


def _with_own(part: Part, plan: Data) -> Part:
    """A dataset with its part of the recipe's options before those that stand behind its name, which win."""
    own = plan.parts.get(part.kind, {})
    words = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value for name, value in own.items()
    }
    return part._replace(query="&".join(filter(None, (urlencode(words, safe="+,", quote_via=quote), part.query))))


def _require_sound(plan: Data) -> None:
    """Raise ConfigError for options of the datasets that a recipe cannot hold, UnknownNameError for unknown kinds."""
    kinds = plan.kind.split("+") if plan.kind else list(DATASETS)
    for kind in kinds:
        lookup(DATASETS, kind, "dataset")
    for kind, own in plan.parts.items():
        if kind not in kinds:
            raise ConfigError(no_such_name(kind, kinds, "dataset of the recipe"))
        if not isinstance(own, Mapping):
            raise ConfigError(
                f'[data] parts holds a table for each kind, as {kind} = {{ train = "all" }}, not {own!r}.'
            )
    for options in (plan.options, plan.scoring, *plan.parts.values()):
        for name, place in ELSEWHERE.items():
            if name in options:
                raise ConfigError(f"The options of a recipe's datasets cannot hold {name}; use {place}.")


def _require_size(recipe: Recipe, faces: Samples, role: str) -> None:
    """Raise ConfigError for pictures that the network cannot take; warn of ones of which it sees the centre alone."""
    network, (_, channels, side, _) = recipe.network, faces.pixels.shape
    if channels != network.channels:
        raise ConfigError(
            f"The pictures have {channels} channels, the recipe {network.channels}; change channels of [network], or "
            "leave it out behind the dataset."
        )
    if side < network.size:
        raise ConfigError(
            f"The pictures are read at {side} pixels, fewer than the recipe's {network.size}; change size of "
            "[network], or leave it out behind the dataset."
        )
    if side > max(recipe.data.size or 0, network.size) and role == "train":
        warnings.warn(
            f"The pictures are read at {side} pixels, of which the network sees the {network.size} in the centre; "
            "leave size out behind the dataset, or name it in [data], where that is meant.",
            stacklevel=3,
        )


def _labelled(faces: Samples, role: str) -> Samples:
    """The labelled rows, after a warning where they are fewer; all where none is labelled."""
    rows = (faces.labels >= 0).nonzero().flatten()
    gone = len(faces) - len(rows)
    if not gone or not len(rows):
        return faces
    warnings.warn(f"{gone} of the {len(faces)} faces of the {role} split are unlabelled and left out.", stacklevel=3)
    return replace(faces[rows], dropped={**faces.dropped, "unlabelled": gone})


def balanced(faces: Samples, copies: int, *, seed: int = 0) -> Samples:
    """Reduce every class to the size of the smallest and add `copies` changed copies of each face; source 002.

    A copy of sample ID is called ID#1, ID#2, ... The same seed gives the same set. Raises DataError for a class
    without samples.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = faces[_equal_rows(faces, generator)]
    pixels = chosen.pixels[:]
    changed = [_changed(pixels, generator) for _ in range(copies)]
    again = list(range(len(chosen))) * (copies + 1)
    return replace(
        chosen,
        ids=(*chosen.ids, *(f"{name}#{copy + 1}" for copy in range(copies) for name in chosen.ids)),
        pixels=torch.cat([pixels, *changed]),
        labels=chosen.labels[again],
        votes=None if chosen.votes is None else chosen.votes[again],
        evidence=None,
        subjects=None if chosen.subjects is None else chosen.subjects * (copies + 1),
        truth={name: values[again] for name, values in chosen.truth.items()},
    )


def _equal_rows(faces: Samples, generator: torch.Generator) -> Tensor:
    """As many rows of each class as the smallest has, drawn at random, in the order of the set."""
    counts = faces.counts()
    least = min(counts.values(), default=0)
    if not least:
        empty = next((name for name, count in counts.items() if not count), "any class")
        raise DataError(f"There is no face of {empty}, so classes cannot be made equal.")
    drawn = torch.randperm(len(faces), generator=generator)
    labels = faces.labels[drawn]
    rows = [drawn[labels == label][:least] for label in range(len(faces.class_names))]
    return torch.cat(rows).sort().values


def _changed(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Changed copies of pixels (N, C, H, W) uint8; what comes in from outside is the picture's mean."""
    mean = pixels.float().mean((2, 3), keepdim=True)
    changed = augment((pixels - mean) / 64, CHANGES, generator) * 64 + mean
    return changed.round().clamp(0, 255).to(torch.uint8)
