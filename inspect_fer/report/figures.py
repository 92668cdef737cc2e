"""Every figure of a report by name: a chart or a picture, or None where the run has nothing to draw."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from inspect_fer.render import confusion_figure, curves_figure, enlarge, fine_note, overlay_pixels, reliability_figure
from inspect_fer.render.report_drawing import network_figure
from inspect_fer.render.report_figures import (
    Curve,
    counts_figure,
    histograms_figure,
    intervals_figure,
    mean_sheet,
    ranking_figure,
    sets_figure,
)
from inspect_fer.render.sheets import Tile, picture, sheet
from inspect_fer.report.album import SIDE
from inspect_fer.report.facts import histograms, label_counts, split_of
from inspect_fer.report.material import Report
from inspect_fer.report.stored import maps_of
from inspect_fer.schema import Explanation

Drawing = Figure | Image.Image | None
ACROSS, OVERLAY = 6, 150
"""So many faces a line of a sheet, and about so many pixels wide, so that "given happiness" fits below."""
MOST_CURVES = 16
PICTURES = frozenset({"class-means", "mistakes", "uncertain", "random"})
"""Figures made of faces, which are PNG whatever the format."""


def _roc(report: Report) -> Drawing:
    curves = [(f"{name} {one.auc:.3f}", one.false_alarms, one.found) for name, one in report.ranking.items()]
    across, up = "false alarms (false positive rate)", "found (true positive rate)"
    return _ranked(curves, "ROC, each class against the rest", across, up, chance=True)


def _precision_recall(report: Report) -> Drawing:
    curves = [
        (f"{name} {one.average_precision:.3f}", one.recall, one.precision) for name, one in report.ranking.items()
    ]
    return _ranked(curves, "Precision over recall", "recall", "precision", chance=False)


def _ranked(curves: Sequence[Curve], title: str, x: str, y: str, *, chance: bool) -> Drawing:
    left_out = f" ({MOST_CURVES} of {len(curves)} classes)" if len(curves) > MOST_CURVES else ""
    return ranking_figure(curves[:MOST_CURVES], title=title, x=x + left_out, y=y, chance=chance) if curves else None


def _means(report: Report) -> Drawing:
    means = report.means
    if not means.maps:
        return None
    counts = [max(numbers) for numbers in zip(*means.counts.values(), strict=True)]
    names, note = [report.names[name] for name in means.classes], fine_note(means.fine)
    return mean_sheet(means.faces, means.maps, names, counts, note=note)


def _overlays(report: Report, rows: Sequence[int], title: str) -> Drawing:
    """Faces with the first method's map of the predicted class, where there is one."""
    if not rows:
        return None
    prediction, names = report.prediction, report.names
    method = next(iter(report.run.explanations), "")
    ids = [prediction.ids[row] for row in rows]
    maps = maps_of(report.run, method, ids) if method else {}
    faces = report.samples.find(tuple(ids))
    tiles = []
    for place, row in enumerate(rows):
        given, answer = int(prediction.labels[row]), int(prediction.predicted[row])
        words = (
            f"{names[answer]} {100 * prediction.confidence[row]:.0f} %",
            f"given {names[given]}" if given >= 0 else "",
        )
        face = _overlaid(faces.pixels[place : place + 1], answer, maps.get(ids[place]))
        tiles.append(Tile(picture(face), *words))
    return sheet(_lines(tiles), title=f"{title}{_under(report, method, rows, maps)}")


def _under(report: Report, method: str, rows: Sequence[int], maps: Mapping[str, Explanation]) -> str:
    """What a title says of the maps that lie over these faces; "" where none has any."""
    if not maps:
        return ""
    whose = "" if not report.partly else " among the explained faces" if len(maps) == len(rows) else ", explained first"
    return f"{whose}: {method}{fine_note({'': any(one.fine for one in maps.values())})}"


def _overlaid(pixels: Tensor, answer: int, one: Explanation | None) -> np.ndarray:
    """One face (1, C, H, W), with its map for this answer where it has one, (H', W', 3) uint8."""
    maps = torch.zeros(1, 1, *pixels.shape[2:])
    if one is not None:
        targets = one.targets[0].tolist()
        column = 0 if one.class_free or answer not in targets else targets.index(answer)
        maps = one.evidence()[:, [column]]
    return np.asarray(overlay_pixels(pixels, maps, zoom=max(1, round(OVERLAY / pixels.shape[2])))[0, 0])


def _labels(report: Report) -> Drawing:
    found = histograms(report)
    if len(found) == 1:
        return counts_figure(label_counts(report.prediction), title=f"Labels of {split_of(report)}")
    marked = [name for name, counts in found.items() if counts.own]
    return histograms_figure({name: counts.classes for name, counts in found.items()}, marked=marked)


def _random(report: Report) -> Drawing:
    rows = report.random
    if not rows:
        return None
    faces = report.samples.find(tuple(report.prediction.ids[row] for row in rows))
    labels = report.prediction.labels[rows].tolist()
    words = [report.names[label] if label >= 0 else "no label" for label in labels]
    pixels = enlarge(faces.pixels[:], (SIDE, SIDE)).round().byte().numpy()
    tiles = [Tile(picture(face), name) for face, name in zip(pixels, words, strict=True)]
    return sheet(_lines(tiles), title="Drawn at random")


def _lines(tiles: list[Tile]) -> list[list[Tile]]:
    return [tiles[start : start + ACROSS] for start in range(0, len(tiles), ACROSS)]


def _if_labelled(draw: Callable[[Report], Drawing]) -> Callable[[Report], Drawing]:
    return lambda report: draw(report) if report.scores["n"] else None


FIGURES: dict[str, Callable[[Report], Drawing]] = {
    "scores": _if_labelled(lambda report: intervals_figure(report.scores, report.intervals)),
    "confusion": _if_labelled(lambda report: confusion_figure(report.scores["confusion"], report.names)),
    "confusion-by-row": _if_labelled(lambda report: confusion_figure(report.scores["confusion"], report.names, "row")),
    "confusion-by-column": _if_labelled(
        lambda report: confusion_figure(report.scores["confusion"], report.names, "column")
    ),
    "sets": lambda report: (
        sets_figure(report.scores["sets"]["matrices"]) if report.scores.get("sets", {}).get("matrices") else None
    ),
    "roc": _roc,
    "precision-recall": _precision_recall,
    "reliability": _if_labelled(lambda report: reliability_figure(report.scores)),
    "training": lambda report: curves_figure(report.history) if report.history else None,
    "class-means": _means,
    "mistakes": lambda report: _overlays(report, report.few(report.mistakes), "Most certain mistakes"),
    "uncertain": lambda report: _overlays(report, report.few(report.uncertain), "Most uncertain answers"),
    "labels": _labels,
    "random": _random,
    "network": lambda report: (
        network_figure(report.layers, report.card.get("cam_layer", "")) if report.layers else None
    ),
}
