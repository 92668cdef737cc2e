"""Find the face in a picture: OpenCV's frontal Haar cascade. Viola and Jones, CVPR 2001."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import torch
from torch import Tensor

from inspect_fer.errors import DataError
from inspect_fer.images import fit, read_image
from inspect_fer.schema import Samples

Box = tuple[int, int, int, int]


@cache
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))


def find_face(pixels: Tensor) -> Box | None:
    """The largest upright frontal face of a picture (C, H, W) uint8: left, top, width, height in pixels, or None."""
    grey = fit(pixels[None], size=None, channels=1)[0, 0].numpy()
    found = _cascade().detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24))
    if not len(found):
        return None
    left, top, width, height = (int(value) for value in max(found, key=lambda box: box[2] * box[3]))
    return left, top, width, height


def crop_face(pixels: Tensor, *, size: int, channels: int, name: str = "the picture") -> Tensor:
    """Cut the largest face out of a picture (C, H, W) and scale it to (channels, size, size) uint8.

    Raises DataError when no face is found.
    """
    box = find_face(pixels)
    if box is None:
        raise DataError(
            f"No upright, frontal face was found in {name}. If it is cropped to a face already, use it as it is."
        )
    left, top, width, height = box
    return fit(pixels[None, :, top : top + height, left : left + width], size=size, channels=channels)[0]


def load_photos(paths: Sequence[Path], *, size: int, channels: int) -> Samples:
    """Read photographs and keep the largest face of each, without labels. Raises DataError for one without a face."""
    faces = [crop_face(read_image(path), size=size, channels=channels, name=str(path)) for path in paths]
    ids = tuple(path.as_posix() for path in paths)
    return Samples(ids, torch.stack(faces), torch.full((len(ids),), -1), ())
