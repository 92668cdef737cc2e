"""Sheets of tiles: filter kernels, activation maps and walls of faces, in rows with captions and a legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import torch
from matplotlib.colors import Colormap
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from inspect_fer.render.look import AMOUNT, EVIDENCE, INK, LINE, MUTED, PAPER, font

MARGIN, GAP, SMALL, LARGE = 20, 10, 12, 15
LINE_HEIGHT, HEADER, TITLE_LINE = 17, 34, 20
NARROWEST = 320
"""A title is broken where it is wider than the tiles, and than this."""
KERNEL, CELL, FACE = 64, 72, 64

Legend = tuple[str, str, Colormap]
"""What the low and the high end of a colour map mean."""


@dataclass(frozen=True)
class Tile:
    """A picture with its name and, in grey below, what is to be said of it."""

    picture: Image.Image
    caption: str = ""
    remark: str = ""


def picture(pixels: np.ndarray) -> Image.Image:
    """(H, W), (H, W, 3) or (H, W, 4) uint8 as a picture."""
    return Image.fromarray(np.ascontiguousarray(pixels))


def sheet(
    rows: Sequence[Sequence[Tile]], *, title: str = "", legend: Legend | None = None, gap: int = GAP
) -> Image.Image:
    """Lay out rows of tiles of one size, with a title above, broken to their width, and a colour bar below."""
    tiles = [tile for row in rows for tile in row]
    width = max((tile.picture.width for tile in tiles), default=0)
    height = max((tile.picture.height for tile in tiles), default=0)
    lines = 2 if any(tile.remark for tile in tiles) else int(any(tile.caption for tile in tiles))
    across, down = width + gap, height + gap + lines * LINE_HEIGHT
    bold = font(LARGE, bold=True)
    taken = max(map(len, rows), default=0) * across - gap
    title_lines = broken(title, bold, max(taken, NARROWEST))
    top = MARGIN + (HEADER + TITLE_LINE * (len(title_lines) - 1) if title else 0)
    needed = max(taken, *(ceil(bold.getlength(line)) for line in title_lines), 200 if legend else 0)
    bottom = MARGIN + (HEADER if legend else 0)
    canvas = Image.new("RGB", (needed + 2 * MARGIN, top + max(0, len(rows) * down - gap) + bottom), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, words in enumerate(title_lines):
        draw.text((MARGIN, MARGIN + number * TITLE_LINE), words, INK, bold)
    for row, line in enumerate(rows):
        for column, tile in enumerate(line):
            place = MARGIN + column * across, top + row * down
            canvas.paste(tile.picture, place)
            _write(draw, tile, (place[0], place[1] + tile.picture.height + 3), width)
    if legend:
        _colour_bar(canvas, draw, legend, (MARGIN, canvas.height - MARGIN - SMALL))
    return canvas


def filter_sheet(kernels: Tensor, *, limit: int = 32, layer: str = "") -> Image.Image:
    """Draw filter kernels (out, in, kh, kw), all on one signed scale, each under its number.

    Filters with one input channel fill a grid; with more, a row is a filter and a column an input channel. At most
    `limit` rows, and as many input channels, are drawn, or limit squared tiles of a grid. layer: whose they are.
    """
    shown = kernels[: limit**2] if kernels.shape[1] == 1 else kernels[:limit, :limit]
    filters, channels = shown.shape[:2]
    pictures = _coloured(shown.flatten(0, 1), KERNEL, EVIDENCE, signed=True)
    if channels == 1:
        rows = _grid([Tile(tile, str(number)) for number, tile in enumerate(pictures)])
    else:
        rows = [[Tile(next(pictures), f"{row} · {column}") for column in range(channels)] for row in range(filters)]
    inputs = f"{_of(channels, kernels.shape[1])} input channel{'s' * (kernels.shape[1] > 1)}"
    title = " · ".join(filter(None, (layer, f"{_of(filters, len(kernels))} filters", inputs, "one scale")))
    return sheet(rows, title=title, legend=("negative", "positive", EVIDENCE))


def activation_sheet(maps: Tensor, *, limit: int = 256, layer: str = "") -> Image.Image:
    """Draw the activation maps of one layer (C, h, w), all on one scale, each under its number; at most `limit`.

    The scale runs from zero up, or is signed when a value lies below zero. layer: whose they are.
    """
    both = bool((maps < 0).any())
    colours = EVIDENCE if both else AMOUNT
    pictures = map(_edged, _coloured(maps[:limit], CELL, colours, signed=both))
    tiles = [Tile(tile, str(number)) for number, tile in enumerate(pictures)]
    legend = ("negative", "positive", colours) if both else ("zero", "strong", colours)
    title = " · ".join(filter(None, (layer, f"{_of(len(tiles), len(maps))} channels", "one scale")))
    return sheet(_grid(tiles), title=title, legend=legend)


def face_wall(pixels: Tensor, *, captions: Sequence[str] = (), limit: int = 400, side: int = FACE) -> Image.Image:
    """Draw a wall of faces (N, C, H, W) uint8, at most `limit`, about `side` pixels high."""
    shown = pixels[:limit].cpu()
    zoom = max(1, round(side / pixels.shape[2]))
    size = pixels.shape[3] * zoom, pixels.shape[2] * zoom
    names = [*captions, *[""] * len(shown)]
    tiles = [
        Tile(picture(face.expand(3, -1, -1).permute(1, 2, 0).numpy()).resize(size, Image.Resampling.BICUBIC), name)
        for face, name in zip(shown, names, strict=False)
    ]
    return sheet(_grid(tiles), gap=6)


def _of(shown: int, there: int) -> str:
    return str(there) if shown == there else f"{shown} of {there}"


def _coloured(maps: Tensor, side: int, colours: Colormap, *, signed: bool) -> Iterator[Image.Image]:
    """Colour maps (C, h, w) on one scale and enlarge their cells to about `side` pixels, one map at a time."""
    values = maps.detach().cpu().float().nan_to_num(0.0, 0.0, 0.0)
    limit = values.abs().max() if values.numel() else torch.tensor(1.0)
    level = (values / limit.clamp(min=torch.finfo().tiny)).numpy()
    zoom = max(1, round(side / max(maps.shape[1:])))
    for tile in (level + 1) / 2 if signed else level:
        cells = picture((colours(tile)[..., :3] * 255).round().astype(np.uint8))
        yield cells.resize((cells.width * zoom, cells.height * zoom), Image.Resampling.NEAREST)


def _edged(tile: Image.Image) -> Image.Image:
    """With a hairline around it: a map that is nearly white has an edge on white paper too."""
    return ImageOps.expand(tile, 1, LINE)


def _grid(tiles: list[Tile]) -> list[list[Tile]]:
    """Break tiles into rows, a little wider than high."""
    columns = max(1, ceil(sqrt(1.6 * len(tiles))))
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def _write(draw: ImageDraw.ImageDraw, tile: Tile, place: tuple[int, int], width: int) -> None:
    draw.text(place, fit(tile.caption, font(SMALL), width), INK, font(SMALL))
    draw.text((place[0], place[1] + LINE_HEIGHT), fit(tile.remark, font(SMALL), width), MUTED, font(SMALL))


def broken(words: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Break words into lines that fit, at spaces; at least one line, and a single word is never broken."""
    lines = [""]
    for word in words.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and letters.getlength(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def fit(words: str, letters: ImageFont.FreeTypeFont, width: float) -> str:
    """Shorten words with an ellipsis until they fit."""
    if letters.getlength(words) <= width:
        return words
    while words and letters.getlength(words + "…") > width:
        words = words[:-1]
    return words + "…"


def _colour_bar(canvas: Image.Image, draw: ImageDraw.ImageDraw, legend: Legend, place: tuple[int, int]) -> None:
    low, high, colours = legend
    x, y = place
    shades = colours(np.linspace(0, 1, 96))
    over_grey = 0.6 * (1 - shades[:, 3:]) + shades[:, :3] * shades[:, 3:]  # as over a face; opaque colours stay
    bar = np.repeat((over_grey[None] * 255).astype(np.uint8), SMALL, axis=0)
    draw.text((x, y - 1), low, MUTED, font(SMALL))
    x += ceil(font(SMALL).getlength(low)) + 8
    canvas.paste(picture(bar), (x, y))
    draw.text((x + 96 + 8, y - 1), high, MUTED, font(SMALL))
