"""The samples that a recipe asks for: its splits, read as its network takes them, balanced where it says so."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import torch
from torch import Tensor

from inspect_fer.datasets import DATASETS, samples
from inspect_fer.datasets.spec import Part, split_spec
from inspect_fer.errors import DataError
from inspect_fer.schema import Samples
from inspect_fer.training.augment import augment
from inspect_fer.training.config import Augment, Recipe

ROLES = ("train", "select", "test")
CHANGES = Augment(flip=0.5, shift=0.1, rotate=20, scale=0.1, brightness=0.3, contrast=0.3)
"""Rotated, mirrored, scaled, lighter or darker, flatter or harder: the transforms that source 002 names."""


def read_split(recipe: Recipe, spec: str, role: str) -> Samples:
    """Read the split that plays a role ("train", "select", "test") in a recipe.

    spec: KIND:PATH; the recipe's own options and split names hold for the kind of dataset that it is for, options in
        the spec before them. Raises DataError or ConfigError.
    """
    plan, network = recipe.data, recipe.network
    parts = split_spec(spec, DATASETS)
    kinds = "+".join(part.kind for part in parts)
    fits = plan.kind in {"", kinds}
    if not fits and role == "train":
        warnings.warn(f"The recipe is for {plan.kind}; on {kinds} its splits and options do not hold.", stacklevel=2)
    split, options = (getattr(plan, role), dict(plan.options)) if fits else (role, {})
    if fits:
        options |= plan.scoring if role != "train" else {}
        spec = "+".join(str(_with_own(part, plan.parts.get(part.kind, {}))) for part in parts)
    found = samples(spec, split, size=plan.size or network.size, channels=network.channels, **options)
    if plan.balanced_copies:
        found = balanced(found, plan.balanced_copies, seed=recipe.training.seed * len(ROLES) + ROLES.index(role))
    return found


def _with_own(part: Part, own: Mapping[str, Any]) -> Part:
    """A dataset with options before those that stand behind its name, which come before them."""
    return part._replace(query="&".join(filter(None, (urlencode(own, safe="+,"), part.query))))


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
    least = min(counts.values())
    if not least:
        empty = next(name for name, count in counts.items() if not count)
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
