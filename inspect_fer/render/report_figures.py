"""Charts of a report: how well classes are ranked, scores with their intervals, counts, sets, and mean maps."""

from collections.abc import Collection, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection as Drawn
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter
from PIL import Image
from torch import Tensor

from inspect_fer.render.look import AMOUNT, FIRST, GLOW, INK, LINE, MUTED, NOTE, PAPER, SECOND, THIRD, axes, figure
from inspect_fer.render.maps import enlarge, overlay_pixels
from inspect_fer.render.sheets import Tile, picture, sheet

LINES = ("#2a6496", "#d9722e", "#3a9277", "#b0508c", "#c99a1b", "#5fb1e0", "#1d2129", "#8a8f98")
"""Told apart in every common kind of colour blindness (after Okabe and Ito, 2008); dashes follow where they run out."""
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))
LIGHT = "#b9bdc4"
"""Of bars that stand beside the marked ones."""
MEAN_FACE = 120
FEW_FACES = 10
"""A mean map of fewer faces says little of a class, and is marked."""
TICKS = 7.0
SHEET, MARGIN = (11.69, 8.27), 0.7
"""Pages of a PDF are A4 on its side, inches."""
GROWN, DENSE = 2.2, 110
"""How much larger than by itself a figure is on a page at most, with all its words; pixels an inch of pictures."""

Curve = tuple[str, np.ndarray, np.ndarray]
"""What the legend says, then x and y."""


def ranking_figure(curves: Sequence[Curve], *, title: str, x: str, y: str, chance: bool = False) -> Figure:
    """Draw a curve a class in the unit square; chance: with the diagonal of a coin that is thrown."""
    drawing = figure(3.2, 3.0 + 0.16 * ceil(len(curves) / 2))
    place = axes(drawing, 1, 1, 1, title=title, x=x, y=y)
    if chance:
        place.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    for number, (name, across, up) in enumerate(curves):
        dash = DASHES[number // len(LINES) % len(DASHES)]
        place.plot(across, up, color=LINES[number % len(LINES)], linestyle=dash, linewidth=1.4, label=_plain(name))
    place.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
    place.grid(color=LINE, linewidth=0.5)
    place.set_axisbelow(True)
    _legend(drawing, columns=2)
    return drawing


def intervals_figure(scores: Mapping[str, Any], intervals: Mapping[str, Any]) -> Figure:
    """Draw precision, recall and F1 of every class of `metrics.evaluate` with their 95 % intervals."""
    rows = list(reversed(scores["per_class"].items()))
    drawing = figure(5.0, 1.0 + 0.46 * len(rows))
    place = axes(drawing, 1, 1, 1, title="Scores of each class, 95 % intervals")
    for step, (measure, hue) in enumerate((("precision", FIRST), ("recall", SECOND), ("f1", THIRD))):
        heights = [level + 0.22 * (1 - step) for level in range(len(rows))]
        values = np.array([row[measure] or 0 for _, row in rows])
        ranges = [intervals["per_class"].get(name, {}).get(measure) or (np.nan, np.nan) for name, _ in rows]
        place.hlines(heights, *zip(*ranges, strict=True), color=hue, linewidth=1.2, alpha=0.65)
        place.scatter(values, heights, s=14, color=hue, zorder=3, label="F1" if measure == "f1" else measure)
    place.set_yticks(range(len(rows)), [name for name, _ in rows], parse_math=False)
    for level, (_, row) in enumerate(rows):
        place.text(1.03, level, f"n = {row['support']}", va="center", **NOTE)
    place.set(xlim=(0, 1.01))
    place.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    place.grid(axis="x", color=LINE, linewidth=0.6)
    place.set_axisbelow(True)
    _legend(drawing, columns=3)
    return drawing


def counts_figure(counts: Mapping[str, int], *, title: str) -> Figure:
    """Draw how many faces each class has."""
    drawing = figure(4.6, 0.8 + 0.3 * len(counts))
    place = axes(drawing, 1, 1, 1, title=title, x="faces")
    place.barh(range(len(counts)), list(counts.values()), 0.6, color=FIRST)
    place.set_yticks(range(len(counts)), list(counts), parse_math=False)
    place.invert_yaxis()
    for level, count in enumerate(counts.values()):
        place.text(count, level, f" {count:,}", va="center", **NOTE)
    place.margins(x=0.12)
    return drawing


def histograms_figure(
    counts: Mapping[str, Mapping[str, int]],
    *,
    marked: Collection[str] = (),
    title: str = "Labels of every split (• of this run)",
) -> Figure:
    """Draw the shares of the same classes in several sets beside each other, on one scale, with numbers of faces.

    counts: by set, faces by class; marked: the sets in full colour, whose names are followed by a dot
    """
    classes = list(next(iter(counts.values())))
    drawing = figure(1.1 + 2.1 * len(counts), 1.1 + 0.3 * len(classes))
    drawing.suptitle(title, x=0.01, ha="left", fontsize=9, color=INK, fontweight="bold")
    totals = {name: max(1, sum(found.values())) for name, found in counts.items()}
    most = max((count / totals[name] for name, found in counts.items() for count in found.values()), default=0) or 1
    for number, (name, found) in enumerate(counts.items()):
        place = axes(drawing, 1, len(counts), number + 1, x="share of faces, %")
        shares = [100 * count / totals[name] for count in found.values()]
        place.barh(range(len(classes)), shares, 0.6, color=FIRST if name in marked else LIGHT)
        place.set_title(f"{name}{' •' * (name in marked)}", loc="left", fontsize=8, color=INK, parse_math=False)
        place.set_yticks(range(len(classes)), classes if number == 0 else [""] * len(classes), parse_math=False)
        for level, (share, count) in enumerate(zip(shares, found.values(), strict=True)):
            place.text(share, level, f" {count:,}", va="center", **NOTE)
        place.set(xlim=(0, 130 * most))
        place.invert_yaxis()
    return drawing


def sets_figure(matrices: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """Draw a 2 x 2 grid a class: [[TN, FP], [FN, TP]] of sets, shaded by the share of its row."""
    columns = min(4, max(1, len(matrices)))
    rows = max(1, ceil(len(matrices) / columns))
    drawing = figure(1.9 * columns, 1.9 * rows)
    for number, (name, matrix) in enumerate(matrices.items()):
        place = axes(drawing, rows, columns, number + 1)
        place.set_title(name, loc="left", fontsize=8, color=INK, parse_math=False)
        _two_by_two(place, np.asarray(matrix, dtype=float))
    return drawing


def mean_sheet(
    faces: Tensor, maps: Mapping[str, Tensor], class_names: Sequence[str], counts: Sequence[int], *, note: str = ""
) -> Image.Image:
    """Draw class-mean maps over class-mean faces: a row a method, a column a class.

    faces: (K, C, H, W) uint8; maps: by method, (K, h, w) float, each with its own scale; counts: faces in each mean
    note: what follows on the scale, see `fine_note`
    """
    zoom = max(1, round(MEAN_FACE / faces.shape[2]))
    plain = enlarge(faces, (faces.shape[2] * zoom, faces.shape[3] * zoom)).round().byte().numpy()
    rows = [[Tile(picture(face), *words) for face, *words in zip(plain, class_names, _faces(counts), strict=True)]]
    for method, found in maps.items():
        tiles = overlay_pixels(faces, found[:, None], zoom=zoom)[:, 0]
        rows.append([Tile(picture(tile), name, method) for tile, name in zip(tiles, class_names, strict=True)])
    return sheet(rows, title=f"Class means, each map on its own scale{note}", legend=("against", "for", GLOW))


def _faces(counts: Sequence[int]) -> list[str]:
    words = ["no map", "1 face only", *(f"{count} faces, few" for count in range(2, FEW_FACES))]
    return [words[count] if count < FEW_FACES else f"{count:,} faces" for count in counts]


def picture_figure(image: Image.Image) -> Figure:
    """A picture as a figure, for a page of a PDF."""
    drawing = figure(image.width / DENSE, image.height / DENSE)
    place = drawing.add_subplot()
    place.imshow(np.asarray(image))
    place.set_axis_off()
    return drawing


def words_figure(title: str, *columns: Sequence[tuple[str, str]]) -> Figure:
    """Draw a page of names and values in columns of growing width, for a PDF."""
    wide, high = (side - 2 * MARGIN for side in SHEET)
    drawing = figure(wide, high)
    words: dict[str, Any] = {"va": "top", "parse_math": False}
    drawing.text(0, 1, title, fontsize=17, color=INK, fontweight="bold", **words)
    pitch = min(0.25, (high - 0.7) / max(1, *map(len, columns)))
    for left, name_width, room, lines in zip((0, 0.42), (0.21, 0.17), (28, 62), columns, strict=False):
        for number, (name, value) in enumerate(lines):
            top, size = 1 - (0.6 + pitch * number) / high, 36 * pitch
            drawing.text(left, top, name, fontsize=size, color=MUTED, **words)
            short = value if len(value) < room else f"{value[: room - 2]}…"
            drawing.text(left + name_width, top, short, fontsize=size, color=INK, **words)
    return drawing


def on_page(drawing: Figure, caption: str) -> Figure:
    """Put a figure on a page of a PDF, of the same size for all, in the middle, and a line below it."""
    width, height = drawing.get_size_inches()
    room = SHEET[0] - 2 * MARGIN, SHEET[1] - 2 * MARGIN
    grown = min(room[0] / width, room[1] / height, GROWN)
    across, up = grown * width / SHEET[0], grown * height / SHEET[1]
    box = (1 - across) / 2, (1 - up) / 2, across, up
    drawing.set_size_inches(SHEET)
    _enlarge(drawing, grown)
    below = 0.0
    for legend in drawing.legends:  # an outside legend with a place of its own is left out of the layout
        legend.set_bbox_to_anchor(box, drawing.transSubfigure)
        below = 1.3 * legend.get_window_extent().height / drawing.bbox.height
    above = 0.0
    for words in drawing.texts:  # placed by shares of the whole figure: of words_figure, and a title over several axes
        x, y = words.get_position()
        words.set_position((box[0] + x * box[2], box[1] + y * box[3]))
        words.set_in_layout(False)  # or the layout would move the title to the edge of the paper
        if drawing.axes and words.get_text() == drawing.get_suptitle():
            words.set(y=box[1] + box[3], va="top")
            above = 1.6 * words.get_window_extent().height / drawing.bbox.height
    if isinstance(engine := drawing.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(rect=(box[0], box[1] + below, box[2], box[3] - below - above))
    drawing.text(MARGIN / SHEET[0], 0.5 * MARGIN / SHEET[1], caption, wrap=True, va="center", **NOTE)
    return drawing


def _enlarge(drawing: Figure, times: float) -> None:
    """Let words, lines and dots grow with a figure."""
    for place in drawing.axes:
        for axis in (place.xaxis, place.yaxis):
            axis.set_tick_params(labelsize=times * float(axis.get_tick_params().get("labelsize", TICKS)))
            axis.labelpad *= times
    ticks = {words for place in drawing.axes for axis in (place.xaxis, place.yaxis) for words in axis.get_ticklabels()}
    for words in drawing.findobj(Text):
        if words not in ticks:
            words.set_fontsize(times * float(words.get_fontsize()))
    for line in drawing.findobj(Line2D):
        line.set_linewidth(times * line.get_linewidth())
        line.set_markersize(times * line.get_markersize())
    for drawn in drawing.findobj(Drawn):
        drawn.set_linewidth([times * width for width in np.atleast_1d(drawn.get_linewidth())])
        if isinstance(drawn, PathCollection):
            drawn.set_sizes(times**2 * drawn.get_sizes())


def _two_by_two(place: Axes, counts: np.ndarray) -> None:
    level = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    place.imshow(level, cmap=AMOUNT, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        shade = PAPER if level[row, column] > 0.5 else INK
        place.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=8, color=shade)
    place.set_xticks((0, 1), ("not said", "said"))
    place.set_yticks((0, 1), ("not so", "so"))
    place.spines[:].set_visible(False)


def _plain(name: str) -> str:
    """A name that neither begins an underscore, which legends hide, nor a formula."""
    return name.replace("$", r"\$").lstrip("_") or "unnamed"


def _legend(drawing: Figure, *, columns: int) -> None:
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    if any(place.get_legend_handles_labels()[0] for place in drawing.axes):
        drawing.legend(fontsize=7, labelcolor=MUTED, **where)
