"""How many rows of each class the publishers' files hold, to recognise a class order that was mixed up on the way."""

import warnings
from collections.abc import Mapping, Sequence

from inspect_fer.emotions import EMOTIONS
from inspect_fer.schema import Samples

TITLES = {"fer2013": "FER2013", "ferplus": "FER+", "rafdb": "RAF-DB", "ckplus": "CK+", "ckplus48": "CK+48"}

PUBLISHED: dict[str, dict[str, tuple[int, ...]]] = {
    "fer2013": {
        "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "PublicTest": (467, 56, 496, 895, 653, 415, 607),
        "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
    },
    "ferplus": {
        "Training": (8740, 7287, 3149, 3014, 2100, 119, 532, 119),
        "PublicTest": (1182, 865, 415, 351, 287, 24, 62, 13),
        "PrivateTest": (1090, 893, 396, 384, 273, 18, 83, 16),
    },
    "rafdb": {
        "train_all": (1290, 281, 717, 4772, 1982, 705, 2524),
        "test": (329, 74, 160, 1185, 478, 162, 680),
    },
    "ckplus": {"all": (0, 45, 18, 59, 25, 69, 28, 83)},
    "ckplus48": {"all": (0, 135, 54, 177, 75, 207, 84, 249)},
    "ckextended": {"all": (45, 59, 25, 69, 28, 83, 593, 18)},
}
"""Per list and split, one count a class in the order of EMOTIONS. ferplus: by the majority rule, from fer2013new.csv.

ckplus: the last frame of every labelled sequence. ckplus48: the class folders.
"""


def class_order(kind: str) -> tuple[str, ...]:
    """The class names that the counts of PUBLISHED[kind] belong to."""
    return EMOTIONS["ckplus" if kind == "ckplus48" else kind]


def check_counts(kind: str, split: str, counts: Mapping[str, int]) -> str | None:
    """Say which classes seem to have changed places; None where the counts are the published ones, or just others.

    kind, split: an entry of PUBLISHED; several splits may be joined by "+"
    counts: rows of each class by name; a class not named has none
    """
    table = PUBLISHED.get(kind, {})
    lists = [table.get(name) for name in split.split("+")]
    if not all(lists):
        return None
    published = [sum(values) for values in zip(*(entry for entry in lists if entry), strict=True)]
    names = class_order(kind)
    found = [counts.get(name, 0) for name in names]
    if found == published or sorted(found) != sorted(published):
        return None
    swapped = [
        f"{name} has {here}, published for {names[published.index(here)]}"
        for name, here, there in zip(names, found, published, strict=True)
        if here != there
    ]
    return (
        f"The classes of this {TITLES.get(kind, kind)} ({split}) hold the published numbers of rows in another order: "
        f"{'; '.join(swapped)}. The ids on disk seem to follow another class order than the publisher's."
    )


def warn_of_order(kind: str, splits: Sequence[str], counts: Mapping[str, int]) -> None:
    """Warn where `check_counts` finds classes that changed places."""
    problem = check_counts(kind, "+".join(splits), counts)
    if problem:
        warnings.warn(problem, UserWarning, stacklevel=2)


def checked(samples: Samples, kind: str, splits: Sequence[str]) -> Samples:
    """The samples as they are, after a warning where their class counts speak of another order."""
    warn_of_order(kind, splits, samples.counts())
    return samples
