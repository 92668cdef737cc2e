"""A network as a row of slabs: height is the size of a layer's maps, width its channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from inspect_fer.render.look import FIRST, LINE, MUTED, SECOND, axes, figure

TALL, WIDE = 150, 1040
"""Pixels of the highest slab, and about how many all of them take."""
BETWEEN, APART, LETTER = 3, 14, 6.6
"""Pixels between slabs, between groups, and of a letter of a name."""

READ: dict[str, Any] = {"fontsize": 8, "color": SECOND, "ha": "right", "va": "bottom", "parse_math": False}

LayerRow = Mapping[str, Any]
"""name, kind, shape (C, h, w) or (F,), parameters, receptive_field."""


@dataclass(frozen=True)
class Slab:
    """One layer: where it stands, and what a tooltip says; `read` by the CAM methods."""

    x: float
    width: float
    height: float
    words: str
    read: bool


@dataclass(frozen=True)
class Span:
    """A name below some slabs, or a size above one (then `y` is its foot)."""

    name: str
    x: float
    width: float
    y: float = 0


@dataclass(frozen=True)
class NetworkDrawing:
    """Slabs on a common middle line, blocks and sizes by name; pixels."""

    slabs: tuple[Slab, ...]
    blocks: tuple[Span, ...]
    parts: tuple[Span, ...]
    sizes: tuple[Span, ...]
    width: float


def network_drawing(rows: Sequence[LayerRow], cam_layer: str = "") -> NetworkDrawing:
    """Lay out the layers that convolve, connect or change the shape; the others hand the shape on."""
    drawn = _drawn(rows)
    read = _read_by_cam(drawn, rows, cam_layer)
    most = max((row["shape"][1] for row in drawn if len(row["shape"]) == 3), default=1)
    channels = sum(sqrt(row["shape"][0]) for row in drawn)
    unit = min(max((WIDE - (BETWEEN + 4) * len(drawn)) / max(channels, 1), 0.3), 2.4)
    slabs: list[Slab] = []
    blocks: list[Span] = []
    parts: list[Span] = []
    x = 0.0
    for name, members in groupby(drawn, lambda row: row["name"].partition(".")[0]):
        start = x
        for number, inner in groupby(members, _part):
            begin = x
            for row in inner:
                width = max(3.0, unit * sqrt(row["shape"][0]))
                slabs.append(Slab(x, width, _height(row, most), describe(row), row is read))
                x += width + BETWEEN
            parts.append(Span(number, begin, x - BETWEEN - begin))
            x += BETWEEN * 2
        x = max(x - BETWEEN * 3, start + LETTER * len(name))
        blocks.append(Span(name, start, x - start))
        x += APART
    return NetworkDrawing(tuple(slabs), tuple(blocks), _numbered(parts), _sizes(drawn, slabs), max(x - APART, 1))


def describe(row: LayerRow) -> str:
    """A layer in words."""
    shape = " x ".join(map(str, row["shape"]))
    return f"{row['name']}: {row['kind']}, {shape}, {row['parameters']:,} parameters"


def network_figure(rows: Sequence[LayerRow], cam_layer: str = "") -> Figure:
    """Draw the same for a paper."""
    drawing = network_drawing(rows, cam_layer)
    picture = figure(10, 3.8)
    place = axes(picture, 1, 1, 1, title="Height: size of a layer's maps; width: its channels")
    if any(slab.read for slab in drawing.slabs):
        place.text(1, 1.02, f"orange: what CAM methods read, {cam_layer}", transform=place.transAxes, **READ)
    place.set_axis_off()
    place.title.set_visible(True)
    for slab in drawing.slabs:
        corner = slab.x, (TALL - slab.height) / 2
        place.add_patch(Rectangle(corner, slab.width, slab.height, color=SECOND if slab.read else FIRST, linewidth=0))
    words: dict[str, Any] = {"fontsize": 7, "color": MUTED, "ha": "center", "parse_math": False}
    for block in drawing.blocks:
        place.plot([block.x, block.x + block.width], [-14, -14], color=LINE, linewidth=1)
        place.text(block.x + block.width / 2, -18, block.name, va="top", **words)
    for size in drawing.sizes:
        place.text(size.x, TALL - size.y + 5, size.name, **(words | {"ha": "left"}))
    place.set(xlim=(-5, drawing.width + 5), ylim=(-38, TALL + 24))
    return picture


def _drawn(rows: Sequence[LayerRow]) -> list[LayerRow]:
    found: list[LayerRow] = []
    for row in rows:
        works = any(word in row["kind"] for word in ("Conv", "Linear", "Attention"))
        if row["shape"] and (works or not found or list(row["shape"]) != list(found[-1]["shape"])):
            found.append(row)
    return found


def _read_by_cam(drawn: Sequence[LayerRow], rows: Sequence[LayerRow], cam_layer: str) -> LayerRow | None:
    """The slab that stands for the CAM layer: the last one up to where that layer ends."""
    inside = [at for at, row in enumerate(rows) if cam_layer and f"{row['name']}.".startswith(f"{cam_layer}.")]
    before = [row for row in rows[: inside[-1] + 1] if any(row is one for one in drawn)] if inside else []
    return before[-1] if before else None


def _part(row: LayerRow) -> str:
    """The number of a block inside a block, such as 2 in layer1.2.conv1."""
    names = row["name"].split(".")
    return names[1] if len(names) > 2 and names[1].isdecimal() else ""


def _height(row: LayerRow, most: int) -> float:
    shape = row["shape"]
    return TALL * sqrt((shape[1] if len(shape) == 3 else 1) / most) if most > 1 else TALL / 3


def _numbered(parts: Sequence[Span]) -> tuple[Span, ...]:
    """Those that have a number and room for it."""
    return tuple(part for part in parts if part.name and part.width >= LETTER * len(part.name) - 1)


def _sizes(drawn: Sequence[LayerRow], slabs: Sequence[Slab]) -> tuple[Span, ...]:
    """The size of the maps above the first slab that has it, where there is room."""
    found: dict[str, Span] = {}
    end = float("-inf")
    for row, slab in zip(drawn, slabs, strict=True):
        sides = row["shape"][1:]
        name = f"{sides[0]}²" if len(set(sides)) == 1 else " x ".join(map(str, sides))
        if name and name not in found and slab.x >= end:
            found[name] = Span(name, slab.x, LETTER * len(name), (TALL - slab.height) / 2)
            end = slab.x + LETTER * len(name) + 4
    return tuple(found.values())
