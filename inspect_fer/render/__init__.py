"""The only colours of the project: heat maps, overlays, sheets of tiles and charts, as pictures and figures."""

from inspect_fer.render.figures import class_scores_figure, confusion_figure, curves_figure, reliability_figure, shares
from inspect_fer.render.look import data_uri, png_bytes, svg_text
from inspect_fer.render.maps import (
    SCALE_NOTES,
    SCALES,
    enlarge,
    fine_note,
    heat,
    map_sheet,
    overlay,
    overlay_pixels,
    peak,
    signed,
)
from inspect_fer.render.sheets import activation_sheet, face_wall, filter_sheet

__all__ = [
    "SCALES",
    "SCALE_NOTES",
    "activation_sheet",
    "class_scores_figure",
    "confusion_figure",
    "curves_figure",
    "data_uri",
    "enlarge",
    "face_wall",
    "filter_sheet",
    "fine_note",
    "heat",
    "map_sheet",
    "overlay",
    "overlay_pixels",
    "peak",
    "png_bytes",
    "reliability_figure",
    "shares",
    "signed",
    "svg_text",
]
