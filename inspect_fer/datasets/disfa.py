"""DISFA. Mavadati, Mahoor, Bartlett, Trinh and Cohn, IEEE Transactions on Affective Computing 2013.

27 people were filmed by two cameras (Videos_LeftCamera/LeftVideoSN001_comp.avi and so on), and each frame was coded
for the intensity of twelve action units (ActionUnit_Labels/SN001/SN001_au1.txt, a line FRAME,INTENSITY each). Frames
are read from the videos when rows are asked for. Faces are not cropped: the whole picture is read, cut to a square
about its centre.

There are no official splits: they are drawn by person, 60 % train, 20 % select, 20 % test.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from inspect_fer.datasets.action_units import UNITS, emotions_of
from inspect_fer.datasets.lazy import LazyRows
from inspect_fer.datasets.listing import Face, gather, split_by_person
from inspect_fer.datasets.splits import split_names
from inspect_fer.datasets.tables import read_lines
from inspect_fer.datasets.video_frames import Frame, frame_count, read_frames
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError
from inspect_fer.lookup import lookup
from inspect_fer.schema import Samples

VIDEO = re.compile(r"(?P<camera>left|right)video(?P<subject>sn\d+)_comp\.avi", re.IGNORECASE)
LABELS = re.compile(r"(?P<subject>sn\d+)_au(?P<unit>\d+)\.txt", re.IGNORECASE)
CAMERAS = {"left": ("left",), "right": ("right",), "both": ("left", "right")}
UNDETERMINED = {"keep": "", "drop": "undetermined"}


def load_disfa(
    root: Path,
    split: str = "test",
    *,
    every: int = 20,
    camera: str = "left",
    threshold: int = 2,
    undetermined: str = "keep",
    size: int = 768,
    channels: int = 3,
    seed: int = 0,
) -> Samples:
    """Read frames of a split: "train", "select", "test" by person (`subjects`), or "all".

    every: read one frame of so many, counted from the first; the videos have 20 a second
    camera: "left", "right" or "both"
    threshold: the intensity, 1 to 5, from which an action unit is shown
    undetermined: "keep" frames that no rule gives one emotion, with the label -1, or "drop" them; `source` says how
        many were kept
    size, channels: of the pixels, cropped about the centre
    seed: of the split by person

    The labels follow the rules of the paper's table 6, see `action_units`. Raises DataError for what is missing or
    damaged.
    """
    if every < 1 or not 1 <= threshold <= 5:
        raise DataError(f"every is 1 or more and threshold 1 to 5, not {every} and {threshold}.")
    wanted, cameras = split_names(split), lookup(CAMERAS, camera, "camera of DISFA")
    unclear = lookup(UNDETERMINED, undetermined, "way to treat undetermined frames")
    files = sorted(root.rglob("*"))
    coded = _label_files(files)
    videos = {place: path for place, path in _videos(files).items() if place[1] in cameras}
    if not coded or not videos:
        side = cameras[0].title()
        needed = f"Videos_{side}Camera/{side}VideoSN001_comp.avi and ActionUnit_Labels/SN001/SN001_au1.txt"
        raise DataError(f"{root} holds no {'labels' if videos else 'videos'}; DISFA has files such as {needed}.")
    faces = [
        face
        for (subject, side), path in sorted(videos.items())
        for face in _frames(path, side, subject, coded.get(subject, {}), every, threshold, unclear)
    ]
    read = partial(read_frames, size=size, channels=channels)
    rows = partial(LazyRows[Frame], read=read, image=torch.Size((channels, size, size)))
    found = gather("disfa", split_by_person(faces, wanted, seed), wanted, rows, EMOTIONS["disfa"])
    return replace(found, source={"undetermined": int((found.labels < 0).sum())})


def _videos(files: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """By person and camera, whatever the case of the names."""
    named = ((VIDEO.fullmatch(path.name), path) for path in files)
    return {(name["subject"].upper(), name["camera"].lower()): path for name, path in named if name}


def _label_files(files: Sequence[Path]) -> dict[str, dict[int, Path]]:
    """By person and action unit."""
    found: dict[str, dict[int, Path]] = {}
    for path in files:
        name = LABELS.fullmatch(path.name)
        if name:
            found.setdefault(name["subject"].upper(), {})[int(name["unit"])] = path
    return found


def _frames(
    video: Path, side: str, subject: str, files: dict[int, Path], every: int, threshold: int, unclear: str
) -> Iterator[Face[Frame]]:
    """The chosen frames of one video; those that a label file leaves out are dropped."""
    missing = [str(unit) for unit in UNITS if unit not in files]
    if missing:
        raise DataError(f"{video} has no labels of {subject} for action unit {', '.join(missing)}.")
    coded = [_intensities(files[unit]) for unit in UNITS]
    numbers = range(1, frame_count(video) + 1, every)
    known = [number for number in numbers if all(number in unit for unit in coded)]
    table = torch.tensor([[unit[number] for unit in coded] for number in known]).view(-1, len(UNITS))
    labels = dict(zip(known, emotions_of(table, threshold=threshold).tolist(), strict=True))
    for number in numbers:
        label = labels.get(number, -1)
        dropped = "no action-unit label" if number not in labels else unclear if label < 0 else ""
        yield Face(Frame(video, number - 1), f"{subject}/{side}/{number:05}", label, subject=subject, dropped=dropped)


def _intensities(path: Path) -> dict[int, int]:
    """Frame, from 1, to intensity, 0 to 5."""
    found = {}
    for row, line in enumerate(read_lines(path)):
        entry = re.fullmatch(r"\s*(\d+)\s*,\s*([0-5])\s*", line)
        if entry is None:
            raise DataError(
                f"{path}, row {row}: expected FRAME,INTENSITY with an intensity of 0 to 5, found {line[:40]!r}."
            )
        found[int(entry[1])] = int(entry[2])
    return found
