"""Single frames of videos, read with as little decoding as their order allows."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from inspect_fer.datasets.lazy import square
from inspect_fer.errors import DataError
from inspect_fer.images import fit

if TYPE_CHECKING:
    import cv2

STEP_OVER = 48
"""Frames ahead up to which decoding on is quicker than seeking."""


class Frame(NamedTuple):
    """A frame of a video, counted from 0."""

    video: Path
    number: int


def frame_count(video: Path) -> int:
    """How many frames a video has. Raises DataError where it is none."""
    import cv2

    with _opened(video) as capture:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT))


def read_frames(frames: Sequence[Frame], *, size: int, channels: int) -> Tensor:
    """Read frames as squares about their centre, (n, channels, size, size) uint8; each video is opened once."""
    asked = defaultdict(list)
    for row, frame in enumerate(frames):
        asked[frame.video].append((frame.number, row))
    found = torch.empty(len(frames), channels, size, size, dtype=torch.uint8)
    for video, wanted in asked.items():
        for row, pixels in _read(video, sorted(wanted)):
            found[row] = fit(square(pixels[None]), size=size, channels=channels)[0]
    return found


@contextmanager
def _opened(video: Path) -> "Iterator[cv2.VideoCapture]":
    import cv2

    capture = cv2.VideoCapture(str(video))
    try:
        if not capture.isOpened():
            raise DataError(f"{video} cannot be read as a video.")
        yield capture
    finally:
        capture.release()


def _read(video: Path, wanted: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Tensor]]:
    """Rows with their frames (3, H, W), wanted in ascending order."""
    import cv2

    with _opened(video) as capture:
        place, pixels = 0, torch.empty(0)
        for number, row in wanted:
            if number >= place:
                _move(capture, place, number)
                done, picture = capture.read()
                if not done:
                    raise DataError(f"{video} ends before frame {number}, or cannot be decoded there.")
                place = number + 1
                pixels = torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
            yield row, pixels


def _move(capture: "cv2.VideoCapture", place: int, number: int) -> None:
    import cv2

    if number - place > STEP_OVER:
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        return
    for _ in range(number - place):
        capture.grab()
