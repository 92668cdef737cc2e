"""How many images of each class the known splits hold: the publishers' lists, what is made of them, and mixtures."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from inspect_fer.datasets.known import PUBLISHED, class_order
from inspect_fer.emotions import CANONICAL, SIX

JOINED = {
    "fer2013:PublicTest+PrivateTest": ("PublicTest", "PrivateTest"),
    "fer2013:all": ("Training", "PublicTest", "PrivateTest"),
    "rafdb:all": ("train_all", "test"),
}
MORE: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "tfeid:high intensity": (
        ("anger", "disgust", "fear", "happiness", "sadness", "surprise"),
        (34, 40, 40, 40, 39, 36),
    ),
    "affectnet:validation": (CANONICAL, (500,) * 8),
    "gimefive:train": (SIX, (15187, 8619, 11923, 7996, 3729, 7619)),
    "gimefive:test": (SIX, (2959, 1160, 1725, 1120, 271, 1098)),
    "gimefive:validation": (SIX, (100,) * 6),
}
"""Splits that no list of PUBLISHED holds. tfeid: the subset of source 003. gimefive: its aggregates."""

WITHOUT_FERPLUS = {"fer2013:Training": 148, "fer2013:PublicTest": 10, "fer2013:PrivateTest": 15}
"""Rows of FER2013 for which FER+ names no image."""

OMITTED = ((), ("neutral",), ("contempt",), ("neutral", "contempt"))


def _counts(names: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def _joined(kind: str, splits: Sequence[str]) -> dict[str, int]:
    return _counts(
        class_order(kind), [sum(parts) for parts in zip(*(PUBLISHED[kind][name] for name in splits), strict=True)]
    )


SPLITS: dict[str, dict[str, int]] = {
    **{f"{kind}:{name}": _joined(kind, [name]) for kind, table in PUBLISHED.items() for name in table},
    **{name: _joined(name.partition(":")[0], splits) for name, splits in JOINED.items()},
    **{name: _counts(*entry) for name, entry in MORE.items()},
}
"""Images of each class by split; classes without any are left out. ferplus: by the majority rule."""


def splits_of(classes: int) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Every known split of so many classes with its counts, also splits left without neutral or contempt.

    Of two that hold the same, the first is named.
    """
    found: list[Mapping[str, int]] = []
    for (split, counts), omitted in product(SPLITS.items(), OMITTED):
        kept = {name: count for name, count in counts.items() if name not in omitted}
        if len(kept) == classes == len(counts) - len(omitted) and kept not in found:
            found.append(kept)
            yield split + (f" without {' and '.join(omitted)}" if omitted else ""), kept
