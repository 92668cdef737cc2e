"""The wall: many faces at once, with their maps, drawn in the browser from one sprite sheet; a click opens a face."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from inspect_fer.render import data_uri, enlarge, heat
from inspect_fer.render.look import SECOND
from inspect_fer.render.sheets import picture
from inspect_fer.schema import Explanation, Prediction, Samples

Mode = Literal["over", "beside", "off"]
SIDE, COLUMNS = 96, 16


def _part(kind: str) -> str:
    return Path(__file__).with_name(f"wall.{kind}").read_text(encoding="utf-8")


_mount = st.components.v2.component("inspect_fer.wall", html=_part("html"), css=_part("css"), js=_part("js"))


@dataclass(frozen=True)
class Wall:
    """What a wall shows: sprite sheets as data URIs, and (first line, second line, spoken words) a face.

    fine: whether the maps are as fine as the image
    """

    faces: str
    maps: str
    tile: tuple[int, int]
    captions: tuple[tuple[str, str, str], ...]
    fine: bool


def sprite(tiles: np.ndarray) -> str:
    """Lay tiles (N, h, w, c) uint8 out in rows of COLUMNS, as one WebP data URI."""
    rows = ceil(len(tiles) / COLUMNS)
    empty = np.zeros((rows * COLUMNS - len(tiles), *tiles.shape[1:]), np.uint8)
    grid = np.concatenate([tiles, empty]).reshape(rows, COLUMNS, *tiles.shape[1:])
    height, width, channels = tiles.shape[1:]
    return data_uri(picture(grid.swapaxes(1, 2).reshape(rows * height, COLUMNS * width, channels)), "webp")


def face_tiles(faces: Samples) -> np.ndarray:
    """Faces as tiles whose longer side is SIDE, (N, h, w, 3) uint8."""
    pixels = faces.pixels[:]
    height, width = pixels.shape[2:]
    zoom = SIDE / max(height, width)
    tiles = enlarge(pixels, (max(1, round(height * zoom)), max(1, round(width * zoom)))).round().byte().numpy()
    return np.asarray(tiles)


def one_map_each(explanation: Explanation, ids: Sequence[str], targets: Tensor) -> Explanation:
    """The map of one target (n,) for each id (T = 1); zero, so without colour, where there is none."""
    places = {name: row for row, name in enumerate(explanation.ids)}
    maps = torch.zeros(len(ids), 1, *explanation.maps.shape[2:])
    for row, (name, target) in enumerate(zip(ids, targets.tolist(), strict=True)):
        known = explanation.targets[places[name]].tolist() if name in places else []
        if known and (explanation.class_free or target in known):
            maps[row, 0] = explanation.maps[places[name], 0 if explanation.class_free else known.index(target)]
    return replace(explanation, ids=tuple(ids), maps=maps, targets=targets[:, None], turned=None, confidence=None)


def map_tiles(explanation: Explanation, scale: str | float) -> np.ndarray:
    """Maps (N, 1, h, w) as transparent tiles (N, h', w', 4) uint8, at most SIDE high and wide."""
    maps = explanation.evidence()
    if max(maps.shape[2:]) > SIDE:
        maps = torch.nn.functional.interpolate(maps, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return heat(maps, scale=scale)[:, 0]


def captions(prediction: Prediction, rows: Sequence[int]) -> tuple[tuple[str, str, str], ...]:
    """What stands below each face, and what a screen reader says of it."""
    names = prediction.class_names
    found = []
    for row in rows:
        label, predicted = int(prediction.labels[row]), names[int(prediction.predicted[row])]
        sure = f"{100 * float(prediction.confidence[row]):.0f} %"
        given = f"given {names[label]}" if label >= 0 else "no label"
        found.append((f"{predicted} {sure}", given, f"{prediction.ids[row]}: {given}, predicted {predicted} at {sure}"))
    return tuple(found)


def wall(shown: Wall, *, mode: Mode, chosen: int, key: str, label: str, on_pick: Callable[[], None]) -> None:
    """Mount a wall. A click or Enter puts the face's index at `st.session_state[key]["picked"]`, then calls it."""
    _mount(
        key=key,
        data={
            "faces": shown.faces,
            "maps": "" if mode == "off" else shown.maps,
            "tile": list(shown.tile),
            "columns": COLUMNS,
            "captions": [list(words) for words in shown.captions],
            "chosen": chosen,
            "mode": mode,
            "height": 640,
            "label": label,
            "accent": SECOND,
            "set": f"{len(shown.captions)} {shown.captions[0][2] if shown.captions else ''}",
        },
        on_picked_change=on_pick,
    )
