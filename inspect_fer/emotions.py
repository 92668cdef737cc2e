"""Canonical emotion names, each dataset's table of ids, and the maps between them."""

from collections.abc import Mapping, Sequence

CANONICAL = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")

EMOTIONS: dict[str, tuple[str, ...]] = {
    "fer2013": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    "ferplus": CANONICAL,
    "rafdb": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    "ckplus": ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
    "ckextended": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt"),
    "tfeid": CANONICAL,
    "disfa": ("happiness", "surprise", "disgust", "sadness", "fear"),
    "affectnet": ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
    "synthetic": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
}
"""The class names of a dataset, in the order of its label ids."""

FIRST_ID: dict[str, int] = {"rafdb": 1}
"""The id of a dataset's first class on disk, where that is not 0."""

SIX = ("happiness", "surprise", "sadness", "anger", "disgust", "fear")

VIEWS: dict[str, dict[str, tuple[str, ...]]] = {
    "six": {name: (name,) for name in SIX},
    "seven": {name: (name,) for name in EMOTIONS["fer2013"]},
    "eight": {name: (name,) for name in CANONICAL},
    "polarity": {
        "positive": ("happiness", "neutral", "surprise"),
        "negative": ("sadness", "anger", "fear", "disgust", "contempt"),
    },
}
"""Ways to look at the emotions: the classes of a view, in the order of their ids, with the emotions each stands for.

six: source 003's final order. seven: FER2013's. eight: CANONICAL. polarity: source 002's two classes; its text leaves
out disgust and knows no contempt, both stand with the negative ones here.
"""

ALIASES: dict[str, str] = {
    "angry": "anger",
    "contemptuous": "contempt",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
}
"""Other spellings that datasets and folders use."""


def canonical(name: str) -> str:
    """Return the canonical spelling of an emotion ("Happy" -> "happiness"); other names come back lower-case."""
    plain = name.strip().lower()
    return ALIASES.get(plain, plain)


def relabelling(names: Sequence[str], onto: Sequence[str]) -> list[int]:
    """For each class of `names`, its id among `onto`, compared by canonical name; -1 where there is none."""
    return regrouping(names, {name: (name,) for name in onto})


def regrouping(names: Sequence[str], view: Mapping[str, Sequence[str]]) -> list[int]:
    """For each class of `names`, the id of the class of `view` that stands for it; -1 where none does."""
    ids = {canonical(name): index for index, members in enumerate(view.values()) for name in members}
    return [ids.get(canonical(name), -1) for name in names]


def united(orders: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The classes of several datasets in one order: theirs where they agree, else CANONICAL and then the others."""
    if len(set(map(tuple, orders))) == 1:
        return tuple(orders[0])
    held = list(dict.fromkeys(canonical(name) for order in orders for name in order))
    return (*(name for name in CANONICAL if name in held), *(name for name in held if name not in CANONICAL))
