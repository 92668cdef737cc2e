"""Synthetic faces: the embedded dataset, with known evidence and with defects planted on purpose."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from inspect_fer.datasets.lazy import LazyRows
from inspect_fer.datasets.splits import FER2013_SPLITS, ROLES, split_names
from inspect_fer.datasets.synthetic_face import Stroke, Traits, draw_traits, strokes_of
from inspect_fer.datasets.synthetic_plan import CLASSES, FACE, Options, Plan, plan_split, stream
from inspect_fer.errors import DataError
from inspect_fer.schema import Samples

__all__ = ["CLASSES", "list_synthetic", "load_synthetic"]

UNITS: dict[str, dict[int, float]] = {
    "anger": {4: 1.0, 5: 0.2, 7: 0.8, 23: 0.8, 24: 1.0},
    "disgust": {4: 0.3, 6: 0.3, 7: 0.5, 9: 1.0, 10: 1.0, 15: 0.5, 16: 0.4},
    "fear": {1: 1.0, 2: 0.4, 4: 0.5, 5: 1.0, 20: 1.0, 25: 1.0, 26: 0.1},
    "happiness": {6: 0.9, 12: 1.0, 25: 0.8},
    "sadness": {1: 1.0, 4: 0.5, 7: 0.3, 15: 1.0, 17: 0.6},
    "surprise": {1: 0.9, 2: 1.0, 5: 0.8, 25: 0.5, 26: 1.0},
    "neutral": {},
}
"""The action units of each emotion, with their share of its full intensity."""

VISIBLE = 8
"""Grey levels of 255 by which the mean of 3 x 3 pixels must differ from the neutral face to be evidence."""

CANVAS = 288
"""Faces are drawn at least this wide, and at least twice too large, then reduced: that smooths every edge."""

RINGS = np.maximum(np.abs(np.arange(-3, 4))[:, None], np.abs(np.arange(-3, 4)))
MARK = np.where(RINGS % 2 == 0, 250, 30).astype(np.uint8)
"""The watermark of a 48 x 48 face, a dot in a ring; it stands one pixel from the bottom right corner."""


def load_synthetic(
    count: int,
    split: str = "test",
    *,
    seed: int = 0,
    wrong_labels: float = 0.0,
    duplicates: float = 0.0,
    watermark: str | None = None,
    watermark_share: float = 0.8,
    size: int = 48,
) -> Samples:
    """Draw `count` faces of one split: pixels (count, 1, size, size) uint8, every seven in a row one of each class.

    Splits are "train", "select", "test" (the names of FER2013's are understood too), several of them joined by "+", and
    "all", the three after one another. Face i of a split follows from (seed, split, i) alone, not from `count`.
    `evidence` marks the pixels in which a face visibly differs from the same face at rest: brows, eyes, mouth, folds
    and a dropped chin; none for neutral faces, which carry no expression.

    Defects, at random and in exact numbers, with the answer in `truth` ("label", "watermark", "duplicate"):
    wrong_labels: the share of faces whose label names another class
    duplicates: the share of faces of "select" and "test" that are replaced by a face of the first `count` of "train",
        each copied once, pixel by pixel
    watermark: a class; `watermark_share` of its faces bear a mark in the bottom right corner, away from the face, and
        no evidence. Without it the same faces come out, but for the mark. A copied face is marked as it is in "train"

    Raises DataError for a count below 1, an unknown split or class, a share outside 0..1.
    """
    options = Options(seed, wrong_labels, duplicates, watermark, watermark_share, size)
    plans = _plans(count, split, options)
    drawn = [_draw_split(plan, options) for plan in plans]
    pixels, evidence = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return replace(_listed(plans, options), pixels=pixels, evidence=evidence)


def list_synthetic(count: int, split: str = "test", **options: Any) -> Samples:
    """The same samples as `load_synthetic` gives, but without evidence and drawn when rows are asked for."""
    asked = Options(**options)
    return _listed(_plans(count, split, asked), asked)


def _plans(count: int, split: str, options: Options) -> list[Plan]:
    splits = split_names(split, groups={name: (role,) for name, role in zip(FER2013_SPLITS, ROLES, strict=True)})
    if count < 1:
        raise DataError(f"Ask for 1 synthetic face or more, not {count}: synthetic:700 has 100 of each class.")
    return [plan_split(count, name, options) for name in splits]


def _listed(plans: Sequence[Plan], options: Options) -> Samples:
    """What is planned, before any face is drawn."""
    count, splits = len(plans[0].face), tuple(plan.split for plan in plans)
    places = [(plan, row) for plan in plans for row in range(count)]
    return Samples(
        ids=tuple(f"synthetic/{plan.split}/{row}" for plan, row in places),
        pixels=LazyRows(places, partial(_draw_rows, options=options), torch.Size((1, options.size, options.size))),
        labels=_joined([plan.label for plan in plans]),
        class_names=CLASSES,
        truth={
            "label": _joined([plan.truth for plan in plans]),
            "watermark": _joined([plan.watermark for plan in plans]),
            "duplicate": _joined([plan.duplicate for plan in plans]),
        },
        source={
            "spec": f"synthetic:{count}",
            "split": "all" if splits == ROLES else "+".join(splits),
            "options": options.given(),
        },
    )


def _joined(arrays: list[NDArray[np.int64]] | list[NDArray[np.bool_]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(arrays))


def _draw_rows(places: Sequence[tuple[Plan, int]], *, options: Options) -> torch.Tensor:
    """Pixels (n, 1, H, W) of some rows of plans."""
    return torch.cat([_draw_split(plan.of(row), options)[0] for plan, row in places])


def _draw_split(plan: Plan, options: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (N, 1, H, W) and evidence (N, H, W) of a plan."""
    size, count = options.size, len(plan.face)
    pixels, evidence = np.empty((count, size, size), np.uint8), np.empty((count, size, size), np.bool_)
    for row, (face, label, copied) in enumerate(zip(plan.face, plan.truth, plan.duplicate, strict=True)):
        generator = stream(options.seed, "train" if copied else plan.split, FACE, int(face))
        pixels[row], evidence[row] = _draw_face(generator, CLASSES[label], size)
    _stamp(pixels, plan.watermark)
    return torch.from_numpy(pixels)[:, None], torch.from_numpy(evidence)


def _draw_face(generator: np.random.Generator, emotion: str, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One face with noise, and its evidence, both (H, W)."""
    traits, units = draw_traits(generator), _draw_units(emotion, generator)
    light, rest = _light(traits, size), [0.0] * len(units)
    shown = (_paint(strokes_of(traits, units), traits, size) * light).clip(max=255)
    noisy = shown + traits["noise"] * generator.standard_normal((size, size))
    pixels = noisy.round().clip(0, 255).astype(np.uint8)
    if not any(units):
        return pixels, np.zeros((size, size), np.bool_)
    neutral = (_paint(strokes_of(traits, rest), traits, size) * light).clip(max=255)
    change = Image.fromarray(np.abs(shown - neutral).astype(np.uint8))
    return pixels, np.asarray(change.filter(ImageFilter.BoxBlur(round(size / 48)))) > VISIBLE


def _draw_units(emotion: str, generator: np.random.Generator) -> list[float]:
    """Draw how strongly each action unit is shown: 0.45 to 1 of the emotion's, each unit up to 15 % more or less.

    A quarter of the happy faces smile with closed lips.
    """
    strength, closed = generator.uniform(0.45, 1), generator.random() < 0.25
    spread, units = generator.uniform(0.85, 1.15, 32).tolist(), [0.0] * 32
    for unit, share in UNITS[emotion].items():
        units[unit] = strength * spread[unit] * share
    if emotion == "happiness" and closed:
        units[25] = 0.0
    return units


def _light(traits: Traits, size: int) -> NDArray[np.float64]:
    """How brightly each pixel is lit, (H, W): from one side, on a head that falls off towards its edge."""
    grid = np.linspace(-1, 1, size)
    x, y = grid - traits["shift_x"], grid[:, None] - traits["shift_y"]
    edge = np.minimum(1, (x / traits["width"]) ** 2 + (y / traits["chin"]) ** 2)
    return traits["gain"] * (1 + traits["light_x"] * x + traits["light_y"] * y) * (1 - 0.25 * edge**2)


def _paint(strokes: list[Stroke], traits: Traits, size: int) -> NDArray[np.uint8]:
    """Draw the strokes too large, reduce them and blur them: (H, W) grey levels, evenly lit."""
    factor = max(2, -(-CANVAS // size))
    half = size * factor / 2  # pixels a face unit
    flat = (_posed(strokes, traits) * half).ravel().tolist()
    picture = Image.new("L", (size * factor, size * factor), round(traits["background"]))
    draw, start = ImageDraw.Draw(picture), 0
    for stroke in strokes:
        stop, tone = start + 2 * len(stroke.points), min(255, round(stroke.tone))
        if stroke.width:
            draw.line(flat[start:stop], tone, max(1, round(stroke.width * half)))
        else:
            draw.polygon(flat[start:stop], tone)
        start = stop
    blur = ImageFilter.GaussianBlur(traits["blur"] * size / 48)
    return np.asarray(picture.reduce(factor).filter(blur))


def _posed(strokes: list[Stroke], traits: Traits) -> NDArray[np.float64]:
    """The points of all strokes on a head that is turned, rolled, scaled and shifted, (P, 2) in 0..2."""
    x, y = np.concatenate([stroke.points for stroke in strokes]).T
    depth = np.repeat([stroke.depth for stroke in strokes], [len(stroke.points) for stroke in strokes])
    x, y = x + depth * traits["yaw"] * (1 - x * x), y + depth * traits["pitch"]
    cos, sin = traits["scale"] * math.cos(traits["roll"]), traits["scale"] * math.sin(traits["roll"])
    return np.stack([cos * x - sin * y + traits["shift_x"] + 1, sin * x + cos * y + traits["shift_y"] + 1], axis=1)


def _stamp(pixels: NDArray[np.uint8], rows: NDArray[np.bool_]) -> None:
    """Draw the watermark over the rows chosen, in place."""
    size = pixels.shape[1]
    side, margin = round(len(MARK) * size / 48), round(size / 48)
    cells = np.arange(side) * len(MARK) // side
    pixels[rows, size - margin - side : size - margin, size - margin - side : size - margin] = MARK[cells][:, cells]
