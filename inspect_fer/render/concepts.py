"""The concepts of a layer: a row a concept, what the network answers to it, and where it is in each face."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from inspect_fer.render.look import FIRST, INK, LINE, MUTED, PAPER, font
from inspect_fer.render.maps import STRENGTH, enlarge, overlay_pixels
from inspect_fer.render.sheets import LINE_HEIGHT, SMALL, Tile, broken, fit, picture, sheet

SIDE = 120
BAR = 4


def concept_sheet(
    pixels: Tensor,
    maps: Tensor,
    probabilities: Tensor,
    class_names: Sequence[str],
    labels: Sequence[str] = (),
    *,
    title: str = "",
) -> Image.Image:
    """Lay each concept's maps over faces that stand beside one another, with the two likeliest classes before them.

    pixels (n, C, H, W) uint8; maps (n, k, h, w) in 0..1, where full colour is 1; probabilities (k, K) of the concepts
    alone; labels: n words below the faces, which make the first row
    """
    zoom = max(1, ceil(SIDE / pixels.shape[2]))
    size = round(SIDE * pixels.shape[3] / pixels.shape[2]), SIDE
    large = (pixels.shape[2] * zoom, pixels.shape[3] * zoom)
    faces = enlarge(pixels, large).round().byte().numpy()
    laid = overlay_pixels(pixels, maps, scale=1.0, zoom=zoom)
    names = [*labels, *[""] * len(pixels)]
    rows = [
        [
            Tile(_note("what the network answers to a concept alone", size)),
            *map(Tile, (_scaled(face, size) for face in faces), names),
        ]
    ]
    for number, each in enumerate(probabilities):
        head = _head(f"concept {number}", each, class_names, size)
        rows.append([Tile(head), *(Tile(_scaled(tile, size)) for tile in laid[:, number])])
    return sheet(rows, title=title, legend=("none", "most", STRENGTH))


def best_two(probabilities: Tensor, class_names: Sequence[str]) -> list[tuple[str, str]]:
    """The two likeliest classes of probabilities (K,), with their percentage in words."""
    best = probabilities.sort(descending=True, stable=True)
    pairs = zip(best.indices[:2].tolist(), best.values[:2].tolist(), strict=True)
    return [(class_names[index], f"{100 * value:.0f} %") for index, value in pairs]


def _scaled(tile: np.ndarray, size: tuple[int, int]) -> Image.Image:
    return picture(tile).resize(size, Image.Resampling.LANCZOS)


def _note(words: str, size: tuple[int, int]) -> Image.Image:
    """Words at the foot of an empty tile."""
    note, lines = Image.new("RGB", size, PAPER), broken(words, font(SMALL), size[0])
    for line, part in enumerate(lines):
        ImageDraw.Draw(note).text((0, size[1] - LINE_HEIGHT * (len(lines) - line)), part, MUTED, font(SMALL))
    return note


def _head(name: str, probabilities: Tensor, class_names: Sequence[str], size: tuple[int, int]) -> Image.Image:
    """A concept's name, and the two likeliest classes, each over a bar as long as it is likely."""
    head, letters = Image.new("RGB", size, PAPER), font(SMALL)
    draw, (width, height) = ImageDraw.Draw(head), size
    draw.text((0, 0), name, INK, font(SMALL, bold=True))
    best = probabilities.sort(descending=True, stable=True).values
    for line, (words, percent) in enumerate(best_two(probabilities, class_names)):
        top, room = height // 3 + line * height // 3, letters.getlength(percent)
        draw.text((0, top), fit(words, letters, width - room - 6), INK, letters)
        draw.text((width - room, top), percent, INK, letters)
        below = top + SMALL + 7
        draw.rectangle((0, below, width - 1, below + BAR - 1), LINE)
        if filled := round(float(best[line]) * width):
            draw.rectangle((0, below, filled - 1, below + BAR - 1), FIRST)
    return head
