"""Synthetic faces: the embedded dataset, with known evidence and with defects planted on purpose.

Everything about a face follows from (seed, split, index), so it does not depend on how many are drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch.nn import functional as F  # noqa: N812

from inspect_fer.datasets.synthetic_face import draw_traits, draw_units, paint
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError
from inspect_fer.schema import Samples

CLASSES = EMOTIONS["synthetic"]
SPLITS = {"train": ("train",), "select": ("select",), "test": ("test",), "all": ("train", "select", "test")}
SPELLINGS = {"Training": "train", "PublicTest": "select", "PrivateTest": "test"}
NUMBERS = {"train": 0, "select": 1, "test": 2}
FACE, ORDER, WRONG, DUPLICATE, WATERMARK = range(5)
"""Random streams of one split: what one use draws does not shift the others."""

VISIBLE = 10.0
"""Grey levels of 255 by which a pixel must differ from the neutral face, on the mean of its 3 x 3, to be evidence."""

MARK = np.array([[int(cell) for cell in row] for row in ("2222222", "2111112", "2100012", "2101012", "2100012", "2111112", "2222222")])
