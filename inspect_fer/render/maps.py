"""Heat maps over faces: hue says for or against, strength of colour says how much."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.lookup import lookup
from inspect_fer.render.look import GLOW
from inspect_fer.render.sheets import Legend, Tile, picture, sheet
from inspect_fer.schema import Explanation, Samples

SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "own": lambda peaks: peaks,
    "image": lambda peaks: peaks.amax(dim=1, keepdim=True),
    "shared": lambda peaks: peaks.max() if peaks.numel() else peaks,
}
"""What full colour stands for: the peak of each map, of all maps of its image, or of all maps given."""

SCALE_NOTES = {
    "own": "each map on its own scale",
    "image": "the maps of a face on one scale",
    "shared": "all maps on one scale",
}
STRENGTH = ListedColormap(GLOW(np.linspace(0.5, 1, 256)), "strength")
"""The positive half of GLOW, for maps that nowhere lie below zero."""

TILE, CELL, CHUNK = 160, 96, 256


def signed(maps: Tensor, scale: str | float = "own") -> Tensor:
    """Scale maps (N, T, H, W) into -1..1, zero staying zero; a map that is not finite becomes zero everywhere.

    scale: a name of SCALES, or the value that full colour stands for.
    """
    maps = _finite(maps)
    peaks = maps.abs().amax(dim=(2, 3), keepdim=True)
    limit = lookup(SCALES, scale, "scale")(peaks) if isinstance(scale, str) else torch.tensor(float(scale))
    return (maps / limit).nan_to_num(0.0, 0.0, 0.0).clamp(-1, 1)


def _finite(maps: Tensor) -> Tensor:
    """Maps (N, T, H, W), zero where one of a map's values is not finite."""
    return maps.float().where(maps.isfinite().all(dim=3, keepdim=True).all(dim=2, keepdim=True), 0.0)


def peak(explanation: Explanation) -> float:
    """What full colour stands for where all these maps are on one scale; 0 without any."""
    parts = [_finite(explanation.of(rows).evidence()) for rows in torch.arange(len(explanation)).split(CHUNK)]
    return max(float(part.abs().max()) if part.numel() else 0.0 for part in parts)


def fine_note(fine: Mapping[str, bool]) -> str:
    """What is to be said after the scale's note, of methods some of which are `Explanation.fine`; "" where none is."""
    those = [name for name, one in fine.items() if one]
    whose = f" for {', '.join(those)}" if len(those) < len(fine) else ""
    return f", full colour at the 99th percentile{whose}" if those else ""


def heat(maps: Tensor, *, scale: str | float = "own") -> np.ndarray:
    """Colour maps (N, T, H, W) -> (N, T, H, W, 4) uint8, transparent where there is no evidence; see `signed`.

    maps: of an explanation its `evidence()`, which is bounded where the maps are as fine as the image.
    """
    return np.asarray(GLOW((signed(maps.detach().cpu(), scale).numpy() + 1) / 2, bytes=True))


def enlarge(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Faces (N, C, H, W) uint8 as smooth colour pictures (N, H', W', 3) float in 0..255."""
    colour = pixels.cpu().float().expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels.cpu().float()
    if tuple(colour.shape[2:]) != size:
        colour = F.interpolate(colour, size=size, mode="bicubic", antialias=True).clamp(0, 255)
    return colour.permute(0, 2, 3, 1)


def overlay_pixels(
    pixels: Tensor, maps: Tensor, *, opacity: float = 0.6, scale: str | float = "own", zoom: int = 4
) -> np.ndarray:
    """Lay maps over faces: pixels (N, C, H, W) uint8, maps (N, T, h, w) -> (N, T, H*zoom, W*zoom, 3) uint8.

    Colour and opacity follow |value| / limit, up to `opacity` at the limit: where there is no evidence the face stays
    as it is. `scale` chooses the limit, see SCALES; a number is the limit itself. maps: see `heat`.
    """
    size = pixels.shape[2] * zoom, pixels.shape[3] * zoom
    if not maps.numel():
        return np.zeros((*maps.shape[:2], *size, 3), dtype=np.uint8)
    faces = enlarge(pixels, size).numpy()[:, None]
    spread = F.interpolate(maps.detach().cpu().float(), size=size, mode="bilinear")
    colours = heat(spread, scale=scale).astype(np.float32)
    share = opacity * colours[..., 3:] / 255
    return np.asarray((faces * (1 - share) + colours[..., :3] * share).round().astype(np.uint8))


def overlay(samples: Samples, explanation: Explanation, *, scale: str = "own", limit: int = 64) -> Image.Image:
    """Draw a sheet: one row a face, the face first, then its map for every target, with names and a legend.

    scale: a name of SCALES; at most `limit` faces are drawn. Raises DataError when a face is not among the samples.
    """
    shown = _first(explanation, limit)
    faces = samples.find(shown.ids) if shown.ids else samples[:0]
    pixels = faces.pixels[:]
    zoom = max(1, round(TILE / pixels.shape[2]))
    evidence = shown.evidence()
    pictures = overlay_pixels(pixels, evidence, scale=scale, zoom=zoom)
    plain = enlarge(pixels, pictures.shape[2:4]).round().byte().numpy() if shown.ids else pictures
    names = samples.class_names
    rows = []
    for row, label in enumerate(faces.labels.tolist()):
        first = Tile(picture(plain[row]), f"given: {names[label]}" if label >= 0 else "no label")
        rows.append([first, *_tiles(pictures[row], shown, row, names)])
    return sheet(rows, title=_title(explanation, len(shown), scale), legend=_legend(evidence, shown))


def map_sheet(explanation: Explanation, *, scale: str = "own", limit: int = 64) -> Image.Image:
    """Draw maps without the faces: one row a face, one column a target, named by its class id; see `overlay`."""
    shown = _first(explanation, limit)
    names = tuple(f"class {target}" for target in range(int(shown.targets.max()) + 1 if shown.targets.numel() else 0))
    blank = torch.full((len(shown), 1, *shown.input_size[1:]), 255, dtype=torch.uint8)
    evidence, zoom = shown.evidence(), max(1, round(CELL / shown.input_size[1]))
    pictures = overlay_pixels(blank, evidence, opacity=1, scale=scale, zoom=zoom)
    rows = [_tiles(pictures[row], shown, row, names) for row in range(len(shown))]
    return sheet(rows, title=_title(explanation, len(shown), scale), legend=_legend(evidence, shown))


def _first(explanation: Explanation, limit: int) -> Explanation:
    """The first images of an explanation, and one target where every one has the same map."""
    shown = explanation.of(torch.arange(min(limit, len(explanation))))
    return shown.only([0]) if shown.class_free else shown


def _legend(evidence: Tensor, explanation: Explanation) -> Legend:
    """What the colours mean: one-sided where nothing lies below zero, not for or against where no class is meant."""
    if not (evidence < 0).any():
        return "none", "strong", STRENGTH
    return ("below zero", "above zero", GLOW) if explanation.class_free else ("against", "for", GLOW)


def _title(explanation: Explanation, shown: int, scale: str) -> str:
    left_out = f", {shown} of {len(explanation)} faces" if shown < len(explanation) else ""
    layers = ", ".join(filter(None, (explanation.layer, explanation.fusion)))
    scaled = f"{SCALE_NOTES[scale]}{fine_note({'': explanation.fine})}"
    parts = (explanation.method.get("name", "map"), layers, f"{scaled}{left_out}")
    return " · ".join(filter(None, parts))


def _tiles(pictures: np.ndarray, explanation: Explanation, row: int, names: tuple[str, ...]) -> list[Tile]:
    """One captioned tile a target of one face."""
    targets = explanation.targets[row].tolist()
    remarks = [explanation.remark(row, column) for column in range(len(targets))]
    captions = ["any class"] * len(targets) if explanation.class_free else [names[target] for target in targets]
    return [Tile(picture(tile), *words) for tile, *words in zip(pictures, captions, remarks, strict=True)]
