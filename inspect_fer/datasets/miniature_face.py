"""The faces of miniature datasets: a few synthetic ones, each time with other noise and light."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspect_fer.datasets.splits import FER2013_SPLITS
from inspect_fer.datasets.synthetic import CLASSES, load_synthetic

Pixels = NDArray[np.uint8]
SIDE = 48


class Drawn(NamedTuple):
    """One face of a miniature: the list it belongs to, its emotion, a number that no other has, its pixels (48, 48)."""

    split: str
    emotion: str
    number: int
    pixels: Pixels


@dataclass(frozen=True)
class Artist:
    """Draws the faces; the same per_class and seed, the same faces."""

    per_class: int = 3
    seed: int = 0

    def faces(self, emotions: Sequence[str], splits: Sequence[str] = FER2013_SPLITS) -> Iterator[Drawn]:
        """So many faces of each class in every split, numbered from 1."""
        number = 0
        for split in splits:
            for emotion in emotions:
                for _ in range(self.per_class):
                    number += 1
                    yield Drawn(split, emotion, number, self.face(emotion, number))

    def people(self) -> int:
        """How many people give a fifth each to select and test, and `per_class` or more to train."""
        return self.per_class + 2

    def face(self, emotion: str, number: int) -> Pixels:
        """A face of 48 x 48 grey values. Contempt, which synthetic faces do not show, looks neutral."""
        few = _pool(self.seed)[emotion if emotion in CLASSES else "neutral"]
        generator = np.random.default_rng([self.seed, number])
        grey = few[number % len(few)] * generator.uniform(0.8, 1.1) + generator.normal(0, 4, (SIDE, SIDE))
        return grey.clip(0, 255).astype(np.uint8)


@cache
def _pool(seed: int) -> dict[str, list[Pixels]]:
    drawn = load_synthetic(3 * len(CLASSES), "train", seed=seed)
    return {
        name: [drawn.pixels[row][0].numpy() for row in (drawn.labels == label).nonzero().flatten()]
        for label, name in enumerate(CLASSES)
    }


def save(
    path: Path, pixels: Pixels, *, size: int = SIDE, canvas: tuple[int, int] | None = None, colour: bool = False
) -> None:
    """Write a face as a picture of that size, in the middle of a larger canvas (width, height) where one is given."""
    picture = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    if canvas is not None:
        width, height = canvas
        around = Image.new("L", canvas, 90)
        around.paste(picture, ((width - size) // 2, (height - size) // 2))
        picture = around
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture.convert("RGB") if colour else picture).save(path)
