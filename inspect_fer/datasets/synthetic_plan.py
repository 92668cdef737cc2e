"""What synthetic faces show, decided before any is drawn: whose face, which emotion, which defects."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from inspect_fer.datasets.splits import ROLES
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError
from inspect_fer.lookup import no_such_name

CLASSES = EMOTIONS["synthetic"]
FACE, ORDER, WRONG, DUPLICATE, WATERMARK = range(1, 6)
"""Random streams: what one of them draws does not shift the others."""


@dataclass(frozen=True)
class Options:
    """What may be asked of synthetic faces, checked; see `load_synthetic`."""

    seed: int = 0
    wrong_labels: float = 0.0
    duplicates: float = 0.0
    watermark: str | None = None
    watermark_share: float = 0.8
    size: int = 48

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise DataError(f"The seed of synthetic faces is 0 or more, not {self.seed}.")
        if self.size < 24:
            raise DataError(f"Synthetic faces are at least 24 pixels wide, not {self.size}.")
        for name in ("wrong_labels", "duplicates", "watermark_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name} is a share of the faces from 0 to 1, not {getattr(self, name)}.")
        if self.watermark is not None and self.watermark not in CLASSES:
            raise DataError(no_such_name(self.watermark, CLASSES, "class of synthetic faces"))

    def given(self) -> dict[str, int | float | str]:
        """Those that are not the default."""
        return {own.name: getattr(self, own.name) for own in fields(self) if getattr(self, own.name) != own.default}


@dataclass(frozen=True)
class Plan:
    """What a split shows, one (N,) array each: whose face, what it feels, what its label says, what was planted."""

    split: str
    face: NDArray[np.int64]
    truth: NDArray[np.int64]
    label: NDArray[np.int64]
    watermark: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]

    def of(self, row: int) -> "Plan":
        """The plan of one face alone."""
        one = slice(row, row + 1)
        return Plan(
            self.split, self.face[one], self.truth[one], self.label[one], self.watermark[one], self.duplicate[one]
        )


def stream(seed: int, split: str, purpose: int, index: int = 0) -> np.random.Generator:
    """Random numbers of a face, or of a whole split, for one purpose alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, ROLES.index(split), index, purpose])))


def plan_split(count: int, split: str, options: Options) -> Plan:
    """Decide what each face of a split is, before any is drawn."""
    face, truth, duplicate = np.arange(count), _classes(count, split, options.seed), np.zeros(count, dtype=np.bool_)
    watermark = duplicate.copy()
    if options.watermark is not None:
        rows = np.flatnonzero(truth == CLASSES.index(options.watermark))
        chosen = _some(len(rows), options.watermark_share, stream(options.seed, split, WATERMARK))
        watermark[rows[chosen]] = True
    if split != "train" and options.duplicates:
        train, generator = plan_split(count, "train", options), stream(options.seed, split, DUPLICATE)
        rows, copied = _some(count, options.duplicates, generator), generator.permutation(count)
        duplicate[rows] = True
        face[rows] = copied[: len(rows)]
        truth[rows], watermark[rows] = train.truth[face[rows]], train.watermark[face[rows]]
    label, generator = truth.copy(), stream(options.seed, split, WRONG)
    wrong = _some(count, options.wrong_labels, generator)
    label[wrong] = (truth[wrong] + generator.integers(1, len(CLASSES), len(wrong))) % len(CLASSES)
    return Plan(split, face, truth, label, watermark, duplicate)


def _classes(count: int, split: str, seed: int) -> NDArray[np.int64]:
    """Seven classes in random order, again and again, so that the start does not depend on the count."""
    generator, rounds = stream(seed, split, ORDER), -(-count // len(CLASSES))
    return np.concatenate([generator.permutation(len(CLASSES)) for _ in range(rounds)])[:count]


def _some(count: int, share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose a share of the rows 0..count-1."""
    return generator.permutation(count)[: round(share * count)]
