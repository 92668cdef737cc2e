"""The few rules of look that Streamlit's own options do not cover."""

import numpy as np
import streamlit as st
from PIL import Image

from inspect_fer.render.look import FIRST, SECOND
from inspect_fer.render.sheets import picture

CSS = """
<style>
.stMainBlockContainer { padding: 3.2rem clamp(1rem, 3.2vw, 3rem) 4rem; max-width: 1560px; }
.stMainBlockContainer h1 { font-size: 2.1rem; letter-spacing: -0.02em; padding: 0.2rem 0 0.1rem; }
.stMainBlockContainer h3 { font-size: 1.25rem; letter-spacing: -0.01em; }
.stMetric { font-variant-numeric: tabular-nums; }
@media (min-width: 700px) { div:has(> .st-key-detail) { position: sticky; top: 3.5rem; } }
</style>
"""


def apply_style() -> None:
    """Add the rules to this page."""
    st.html(CSS)


def page_icon() -> Image.Image:
    """A face with warm evidence at its mouth; drawn here, because Streamlit fetches icons by name from outside."""
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    head = rows**2 + columns**2 < 0.95
    eyes = ((abs(columns) - 0.35) ** 2 + (rows + 0.25) ** 2) < 0.018
    mouth = (rows > 0.2) & (abs(np.hypot(rows, columns) - 0.58) < 0.09)
    drawn = np.zeros((64, 64, 4), np.uint8)
    for where, colour in ((head, FIRST), (eyes, "#ffffff"), (mouth, SECOND)):
        drawn[where] = (*bytes.fromhex(colour[1:]), 255)
    return picture(drawn)
