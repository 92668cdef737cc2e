"""Canonical emotion names, each dataset's table of ids, and the maps between them."""

from collections.abc import Sequence

CANONICAL = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")

EMOTIONS: dict[str, tuple[str, ...]] = {
    "fer2013": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    "ferplus": CANONICAL,
    "synthetic": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
}
"""The class names of a dataset, in the order of its label ids."""

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
    ids = {canonical(name): index for index, name in enumerate(onto)}
    return [ids.get(canonical(name), -1) for name in names]
