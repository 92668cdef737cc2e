"""Charts of a run's scores: confusion matrix, training curves, reliability and scores of each class."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from torch import Tensor

from inspect_fer.render.look import AMOUNT, FIRST, INK, LINE, MUTED, NOTE, PAPER, SECOND, THIRD, axes, figure

By = Literal["count", "row", "column"]
BY_NOTES = {"count": "number of faces", "row": "share of the label", "column": "share of the answer"}


def shares(matrix: Tensor | Sequence[Sequence[int]], by: By = "row") -> np.ndarray:
    """Divide a confusion matrix (K, K) by its row sums, column sums or, for "count", its largest cell: 0..1."""
    counts = np.asarray(matrix, dtype=float)
    whole = {
        "count": counts.max(initial=0),
        "row": counts.sum(1, keepdims=True),
        "column": counts.sum(0, keepdims=True),
    }
    return np.asarray(counts / np.maximum(whole[by], 1))


def confusion_figure(matrix: Tensor | Sequence[Sequence[int]], class_names: Sequence[str], by: By = "count") -> Figure:
    """Draw a confusion matrix (K, K), rows true, columns predicted, as counts or as shares of rows or columns."""
    counts, level = np.asarray(matrix), shares(matrix, by)
    classes = len(class_names)
    side = 1.6 + 0.5 * classes
    drawing = figure(side + 0.4, side)
    place = axes(drawing, 1, 1, 1, title=f"Confusion: {BY_NOTES[by]}", x="answered", y="given")
    place.imshow(np.sqrt(level), cmap=AMOUNT, vmin=0, vmax=1)  # the root keeps small cells in sight
    place.set_xticks(range(classes), class_names, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
    place.set_yticks(range(classes), class_names, parse_math=False)
    place.spines[:].set_visible(False)
    for (row, column), count in np.ndenumerate(counts):
        words = f"{count:.0f}" if by == "count" else f"{100 * level[row, column]:.0f} %"
        shade = PAPER if level[row, column] > 0.4 else (INK if count else MUTED)
        place.text(column, row, words, ha="center", va="center", fontsize=7, color=shade)
    return drawing


def curves_figure(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw loss and accuracy over the epochs on each split, and a line where fine-tuning begins.

    history: one mapping an epoch, with any of epoch, phase, loss, accuracy, select_loss, test_loss, ...; what an epoch
        does not hold is left out
    """
    epochs = [float(number) for number in range(1, len(history) + 1)]
    panels = [name for name in ("loss", "accuracy") if any(name in key for line in history for key in line)]
    drawing = figure(3.4 * max(1, len(panels)), 2.6)
    for index, name in enumerate(panels):
        place = axes(drawing, 1, len(panels), index + 1, title=name.capitalize(), x="epoch")
        place.grid(axis="y", color=LINE, linewidth=0.6)
        place.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        _curve(place, epochs, history, name, "training", FIRST)
        _curve(place, epochs, history, f"select_{name}", "selection", SECOND)
        if any(f"test_{name}" in line for line in history):
            _curve(place, epochs, history, f"test_{name}", "test", THIRD)
        for before, after in pairwise(range(len(history))):
            if history[before].get("phase") != history[after].get("phase"):
                place.axvline(epochs[before] + 0.5, color=MUTED, linewidth=1, linestyle=":", label="fine-tuning")
        place.legend(frameon=False, fontsize=7, labelcolor=MUTED)
        if name == "accuracy":
            place.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
            place.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    return drawing


def reliability_figure(scores: Mapping[str, Any]) -> Figure:
    """Draw the reliability of `metrics.evaluate`: accuracy over confidence, and how many faces lie in each bin."""
    curve = scores["reliability"]
    edges = np.asarray(curve["edges"], dtype=float)
    middle, width = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    count = np.asarray(curve["count"], dtype=float)
    accuracy = np.array([np.nan if value is None else value for value in curve["accuracy"]])
    drawing = figure(3.2, 3.4)
    error = "Reliability" if scores.get("ece") is None else f"Calibration error (ECE) {scores['ece']:.3f}"
    place = axes(drawing, 1, 1, 1, title=error, x="confidence", y="accuracy")
    place.bar(middle, count / max(count.max(), 1) * 0.3, width * 0.92, color=LINE, label="faces in the bin")
    place.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label="well calibrated")
    filled = count > 0
    place.plot(
        middle[filled], accuracy[filled], color=FIRST, marker="o", markersize=3.5, linewidth=1.6, label="network"
    )
    place.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    drawing.legend(frameon=False, fontsize=7, labelcolor=MUTED, loc="outside lower center", ncols=3)
    return drawing


def class_scores_figure(scores: Mapping[str, Any]) -> Figure:
    """Draw precision, recall and F1 of every class of `metrics.evaluate`, best F1 on top."""
    rows = sorted(scores["per_class"].items(), key=lambda row: row[1]["f1"] or 0)
    drawing = figure(4.6, 0.8 + 0.36 * len(rows))
    place = axes(drawing, 1, 1, 1, title="Scores of each class")
    height = np.arange(len(rows))
    found = {name: np.array([row[name] or 0 for _, row in rows]) for name in ("precision", "recall", "f1")}
    place.barh(height, found["f1"], 0.52, color=AMOUNT(0.35), label="F1")
    place.scatter(found["precision"], height, s=18, color=FIRST, label="precision", zorder=3, clip_on=False)
    place.scatter(found["recall"], height, s=18, color=SECOND, marker="D", label="recall", zorder=3, clip_on=False)
    place.set_yticks(height, [name for name, _ in rows], parse_math=False)
    for level, (_, row) in zip(height.tolist(), rows, strict=True):
        place.text(1.02, level, f"n = {row['support']}", va="center", **NOTE)
    place.set(xlim=(0, 1))
    place.grid(axis="x", color=LINE, linewidth=0.6)
    place.set_axisbelow(True)
    drawing.legend(frameon=False, fontsize=7, labelcolor=MUTED, loc="outside lower center", ncols=3)
    return drawing


def _curve(
    place: Axes, epochs: list[float], history: Sequence[Mapping[str, Any]], key: str, name: str, hue: str
) -> None:
    points = [(epoch, line[key]) for epoch, line in zip(epochs, history, strict=True) if line.get(key) is not None]
    if points:
        dot = "o" if len(points) < 12 else ""
        place.plot(*zip(*points, strict=True), color=hue, linewidth=1.6, label=name, marker=dot, markersize=3.5)
