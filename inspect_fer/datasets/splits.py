"""Splits: their names, and the ones drawn here where a publisher gives none.

"train", "select" and "test" are understood for every dataset, beside its own names; "+" joins several.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType

from inspect_fer.errors import DataError, SplitError
from inspect_fer.lookup import no_such_name

ROLES = ("train", "select", "test")
"""What a split is for: to learn from, to choose the best epoch on, to report on."""

FER2013_SPLITS = ("Training", "PublicTest", "PrivateTest")
OTHER_NAMES = {"training": "train", "valid": "select", "validation": "select", "val": "select"}

WHOLE_TRAIN = MappingProxyType({"train_all": ("train", "select")})
"""The publisher's whole training list, where `select` is held out of it."""


def split_names(
    split: str, own: tuple[str, ...] = ROLES, groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> tuple[str, ...]:
    """Which of a dataset's three `own` splits are meant by `split`; "all" means all three, "+" joins several.

    groups: further names, each for one or more of the own splits

    Raises DataError with the nearest name and every choice.
    """
    known: dict[str, tuple[str, ...]] = {role: (name,) for role, name in zip(ROLES, own, strict=True)}
    known |= {**{name: (name,) for name in own}, **groups, "all": own}
    found: list[str] = []
    for name in split.split("+"):
        plain = name if name in known else OTHER_NAMES.get(name.lower(), name)
        if plain not in known:
            choices = dict.fromkeys([*own, *ROLES, "all", *groups])
            raise DataError(no_such_name(name, choices, "split"))
        found += known[plain]
    return tuple(dict.fromkeys(found))


def by_subject(subjects: Iterable[str], *, seed: int = 0) -> dict[str, str]:
    """Give every person one split: 60 % train, 20 % select, 20 % test, drawn by the seed and the name alone.

    Raises DataError for fewer than three people.
    """
    people = sorted(set(subjects), key=lambda name: _draw(f"{seed}/{name}"))
    if len(people) < 3:
        held = ", ".join(people) or "nobody"
        raise SplitError(f"Splitting by person takes three people or more, here: {held}. Ask for split 'all'.")
    fifth = max(1, round(0.2 * len(people)))
    roles = ["select"] * fifth + ["test"] * fifth + ["train"] * (len(people) - 2 * fifth)
    return dict(zip(people, roles, strict=True))


def held_out(names: Sequence[str], labels: Sequence[int], share: float) -> list[bool]:
    """Choose a share of every class, and of a class with two rows or more at least one, drawn by the names alone."""
    rows_of = defaultdict(list)
    for row, label in enumerate(labels):
        rows_of[label].append(row)
    chosen = [False] * len(names)
    for rows in rows_of.values():
        count = max(round(share * len(rows)), int(len(rows) > 1))
        for row in sorted(rows, key=lambda row: _draw(names[row]))[:count]:
            chosen[row] = True
    return chosen


def _draw(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()
