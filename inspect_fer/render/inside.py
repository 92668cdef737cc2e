"""Pictures of what is inside a network: matrices, channels over a face, gates, and what excites a channel."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from inspect_fer.render.look import AGAINST, EVIDENCE, FIRST, FOR, GLOW, INK, LINE, MUTED, PAPER, SECOND, axes, figure
from inspect_fer.render.maps import enlarge, overlay_pixels
from inspect_fer.render.sheets import Tile, picture, sheet

SIDE, SMALL_SIDE = 144, 96
FRAME = 8
"""A frame around a cell has at least this side, in pixels of the picture."""
NAMED = 40
"""So many rows are named one by one, no more."""
PIXELS = 1000
"""So many weights can be told apart in a figure's width or height."""


def matrix_figure(weights: Tensor, *, names: Sequence[str] = (), title: str = "") -> Figure:
    """Draw the weights of a linear layer (out, in) on one signed scale: a row is an output. names: of the outputs."""
    outputs, inputs = weights.shape
    drawing = figure(7.0, min(6.0, 1.3 + 0.26 * outputs))
    place = axes(drawing, 1, 1, 1, title=title or f"{outputs} x {inputs} weights", x="input", y="output")
    _shaded(drawing, place, weights, EVIDENCE, "weight")
    if names and outputs <= NAMED:
        place.set_yticks(range(outputs), list(names), parse_math=False)
        place.set_ylabel("")
    return drawing


def table_figure(
    values: Tensor, rows: Sequence[str], columns: Sequence[str], *, title: str = "", unit: str = "logit"
) -> Figure:
    """Draw signed numbers (M, K), one row a channel and one column a class, each written in its cell."""
    drawing = figure(2.0 + 0.62 * len(columns), 1.5 + 0.24 * len(rows))
    place = axes(drawing, 1, 1, 1, title=title)
    limit = _shaded(drawing, place, values, EVIDENCE, unit)
    place.set_xticks(range(len(columns)), list(columns), rotation=40, ha="right", parse_math=False)
    place.set_yticks(range(len(rows)), list(rows), parse_math=False)
    for (row, column), value in np.ndenumerate(values.numpy()):
        shade = PAPER if abs(value) > 0.6 * limit else INK
        place.text(column, row, _signed(float(value)), ha="center", va="center", fontsize=6, color=shade)
    return drawing


def bars_figure(values: Tensor, *, names: Sequence[str] = (), title: str = "", x: str = "feature") -> Figure:
    """Draw the values (F,) of a layer without maps; names: of the features, where they have any."""
    drawing = figure(7.0, 2.6)
    place = axes(drawing, 1, 1, 1, title=title, x="" if names else x)
    place.bar(range(len(values)), values.numpy(), color=[_hue(float(value)) for value in values])
    place.axhline(0, color=LINE, linewidth=0.8)
    if names:
        place.set_xticks(range(len(names)), list(names), parse_math=False)
    return drawing


def gates_figure(values: Mapping[str, Tensor], effects: Mapping[str, Tensor], target: str) -> Figure:
    """Draw what gates let through, and what becomes of one class's logit when a channel is let through or shut.

    values: (C,) in 0..1 of each gate; effects: (2, C) of each, the change with the gate at 1 and at 0
    """
    drawing = figure(7.0, 3.6 * max(1, len(values)))
    for row, (name, passed) in enumerate(values.items()):
        spots = np.arange(len(passed))
        first = axes(drawing, 2 * len(values), 1, 2 * row + 1, title=f"{name}: what passes, 0 to 1")
        first.bar(spots, passed.numpy(), color=FIRST)
        first.set(ylim=(0, 1), xlim=(-0.8, len(passed) - 0.2))
        second = axes(drawing, 2 * len(values), 1, 2 * row + 2, x="channel")
        second.set_ylabel(f"change of logit\n{target}", fontsize=8, color=MUTED, parse_math=False)
        for change, hue, words, side in zip(
            effects[name], (FIRST, SECOND), ("gate at 1", "gate at 0"), (-0.2, 0.2), strict=True
        ):
            second.bar(spots + side, change.numpy(), 0.4, color=hue, label=words)
        second.axhline(0, color=LINE, linewidth=0.8)
        second.set(xlim=(-0.8, len(passed) - 0.2))
        second.legend(frameon=False, fontsize=7, labelcolor=MUTED, ncols=2)
    return drawing


def channel_sheet(
    pixels: Tensor,
    rows: Sequence[tuple[Tile, Tensor, Sequence[str], Sequence[str]]],
    *,
    title: str = "",
    ends: tuple[str, str] = ("below zero", "active"),
) -> Image.Image:
    """Lay channels' maps over one face, pixels (C, H, W) uint8: each row a named tile, then M maps (M, h, w).

    rows: a tile, whose picture the face takes, maps, captions and remarks; a map has its own scale. ends: what blue
    and red mean
    """
    zoom = max(1, round(SIDE / pixels.shape[1]))
    face = enlarge(pixels[None], (pixels.shape[1] * zoom, pixels.shape[2] * zoom))[0].round().byte().numpy()
    lines = []
    for first, maps, captions, remarks in rows:
        laid = overlay_pixels(pixels[None], maps[None], zoom=zoom)[0]
        tiles = [Tile(picture(tile), *words) for tile, *words in zip(laid, captions, remarks, strict=True)]
        lines.append([Tile(picture(face), first.caption, first.remark), *tiles])
    return sheet(lines, title=title, legend=(*ends, GLOW))


def by_sign(maps: Tensor, values: Tensor) -> Tensor:
    """Give maps (M, h, w) the sign of what each channel contributes, values (M,); their size stays."""
    return maps.abs() * values.sign()[:, None, None]


def exciting_sheet(
    rows: Sequence[tuple[Tensor, Tensor, Sequence[str], Sequence[str]]], size: tuple[int, int], *, title: str = ""
) -> Image.Image:
    """Draw, a row a channel, the faces that excite it, each with a frame around the cell that is most active.

    rows: pixels (k, C, H, W) uint8, places (k, 2) of the cells, captions, remarks; size: (h, w) of the maps, (1, 1)
    for features, which have no place
    """
    lines = []
    for pixels, places, captions, remarks in rows:
        tiles = framed(pixels, places, size)
        lines.append([Tile(tile, *words) for tile, *words in zip(tiles, captions, remarks, strict=True)])
    return sheet(lines, title=title)


def framed(pixels: Tensor, places: Tensor, size: tuple[int, int], *, side: int = SMALL_SIDE) -> list[Image.Image]:
    """Faces (k, C, H, W) uint8, enlarged to about `side`, with a frame around one cell each of maps of `size`."""
    zoom = max(1, round(side / pixels.shape[2]))
    height, width = pixels.shape[2] * zoom, pixels.shape[3] * zoom
    faces = [picture(face) for face in enlarge(pixels, (height, width)).round().byte().numpy()]
    down, across = height / size[0], width / size[1]
    more, wider = max(0.0, FRAME - down) / 2, max(0.0, FRAME - across) / 2
    for face, (row, column) in zip(faces, places.tolist(), strict=True):
        left, top = column * across - wider, row * down - more
        corners = (left, top, left + across + 2 * wider - 1, top + down + 2 * more - 1)
        if size != (1, 1):
            ImageDraw.Draw(face).rectangle([round(corner) for corner in corners], outline=SECOND, width=2)
    return faces


def picture_sheet(
    pixels: Tensor, captions: Sequence[str], remarks: Sequence[str], *, columns: int = 8, title: str = ""
) -> Image.Image:
    """Draw pictures (M, C, H, W) uint8, each with a caption and a remark below."""
    zoom = max(1, round(SIDE / pixels.shape[2]))
    large = enlarge(pixels, (pixels.shape[2] * zoom, pixels.shape[3] * zoom)).round().byte().numpy()
    tiles = [Tile(picture(face), *words) for face, *words in zip(large, captions, remarks, strict=True)]
    return sheet([tiles[at : at + columns] for at in range(0, len(tiles), columns)], title=title)


def _shaded(drawing: Figure, place: Axes, values: Tensor, colours: Colormap, unit: str) -> float:
    """Shade a matrix about zero, with a colour bar; returns what full colour stands for."""
    limit = float(values.abs().max()) or 1.0
    fine = "nearest" if max(values.shape) <= PIXELS else "auto"  # "auto" blurs across rows, and keeps single columns
    shades = place.imshow(values.numpy(), cmap=colours, vmin=-limit, vmax=limit, aspect="auto", interpolation=fine)
    place.spines[:].set_visible(False)
    bar = drawing.colorbar(shades, ax=place, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelsize=6, length=0)
    bar.set_label(unit, fontsize=7, color=MUTED)
    return limit


def _hue(value: float) -> str:
    return FOR[1] if value > 0 else AGAINST[1]


def _signed(value: float) -> str:
    return f"{value:+z.2f}" if abs(value) < 10 else f"{value:+.1f}"  # z: no minus before 0.00
