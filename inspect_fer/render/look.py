"""One look for every picture: colours, type and sizes, and the ways a picture leaves as bytes."""

from base64 import b64encode
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image, ImageFont
from PIL.PngImagePlugin import PngInfo

Format = Literal["png", "webp", "svg"]

PAPER, INK, MUTED, LINE = "#ffffff", "#1d2129", "#646b77", "#e4e2dd"
FIRST, SECOND, THIRD = "#2a6496", "#d9722e", "#4a4f57"
AGAINST = ("#123a80", "#3b86cb", "#a8d0f0")
FOR = ("#ffcf8c", "#ee7b36", "#ad2318")
"""Orange to red speaks for a class, blue against it: told apart in every common kind of colour blindness."""

EVIDENCE = LinearSegmentedColormap.from_list("evidence", [*AGAINST, "#f7f5f1", *FOR])
GLOW = LinearSegmentedColormap.from_list(
    "glow", [(0, "#1746b8"), (0.5, "#3fa0ff00"), (0.5, "#ff9d2e00"), (1, "#d42a10")], N=512
)
"""The same two hues over a face: transparent at zero, so lightness is the face's and strength the evidence's."""
AMOUNT = LinearSegmentedColormap.from_list("amount", ["#ffffff", "#cfe0ef", "#7fabd0", FIRST, "#143a5e"])

DPI = 200
NOTE: dict[str, Any] = {"fontsize": 7, "color": MUTED, "parse_math": False}


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of that many inches; no pyplot, so threads do not meet."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=PAPER)


def axes(drawing: Figure, *place: int, title: str = "", x: str = "", y: str = "") -> Axes:
    """Add axes with quiet lines: `place` is (rows, columns, index)."""
    found = drawing.add_subplot(*place)
    found.spines[["top", "right"]].set_visible(False)
    found.spines[["left", "bottom"]].set_color(LINE)
    found.tick_params(colors=MUTED, labelsize=7, length=0)
    found.set_title(title, loc="left", fontsize=9, color=INK, pad=8, fontweight="bold")
    found.set_xlabel(x, fontsize=8, color=MUTED)
    found.set_ylabel(y, fontsize=8, color=MUTED)
    return found


@lru_cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own sans serif, the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def _bytes(picture: Image.Image | Figure, kind: Format, made: str = "") -> bytes:
    """As a file; made: the command that makes it again, kept inside a PNG or SVG."""
    buffer = BytesIO()
    said = {"Description": made} if made else {}
    if isinstance(picture, Figure):
        stamp: dict[str, Any] = {"Date": None} if kind == "svg" else {}  # equal figures make equal files
        picture.savefig(buffer, format=kind, facecolor=picture.get_facecolor(), metadata=stamp | said)
        return buffer.getvalue()
    options: dict[str, Any] = {"quality": 88, "method": 2} if kind == "webp" else {"optimize": True}
    if said:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Description", made)
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_bytes(picture: Image.Image | Figure, made: str = "") -> bytes:
    """A picture or figure as a PNG file; made: the command that makes it again, kept as its description."""
    return _bytes(picture, "png", made)


def svg_text(drawing: Figure, made: str = "") -> str:
    """A figure as an SVG document; made: the command that makes it again, kept as its description."""
    return _bytes(drawing, "svg", made).decode()


def data_uri(picture: Image.Image | Figure, kind: Format = "png") -> str:
    """A picture (PNG, WebP) or figure (also SVG) as a data URI, which needs no file beside the page."""
    media = "svg+xml" if kind == "svg" else kind
    return f"data:image/{media};base64,{b64encode(_bytes(picture, kind)).decode()}"
