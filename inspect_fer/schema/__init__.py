"""The data that flows through the library.

Letters: N images, K classes, T targets explained per image, C channels, H x W image, h x w feature map.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspect_fer.schema.card import MAX_SIDE, Classifier, ModelCard, Output
from inspect_fer.schema.explanation import HEALTH, SATURATED, Explanation, Footprint
from inspect_fer.schema.prediction import Prediction, probabilities_of
from inspect_fer.schema.samples import LazyPixels, Samples
from inspect_fer.schema.shown import Shown

Tick = Callable[[int, int], None]
"""Told about progress: how many are done, and of how many."""


@dataclass(frozen=True)
class Run(Shown):
    """A run on disk, opened: where it is, what made it, and what it holds (see `inspect_fer.runs`)."""

    folder: Path
    manifest: Mapping[str, Any]
    prediction: Prediction
    explanations: Mapping[str, Explanation]
    metrics: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.prediction)


__all__ = [
    "HEALTH",
    "MAX_SIDE",
    "SATURATED",
    "Classifier",
    "Explanation",
    "Footprint",
    "LazyPixels",
    "ModelCard",
    "Output",
    "Prediction",
    "Run",
    "Samples",
    "Tick",
    "probabilities_of",
]
