"""The votes of FER+ and the reference implementation's rules for them. Barsoum et al., ICMI 2016, arXiv:1608.01041.

Every rule takes votes (N, 10), one column each for eight emotions, unknown and NF (not a face), and returns labels
(N,), shares (N, 8) that add up to one, and the reason why a row is dropped, "" where it is kept. All of them begin by
setting single votes to zero, call what remains S, drop rows whose arg-max is unknown or NF, and take the first column
in a tie.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspect_fer.datasets.splits import FER2013_SPLITS
from inspect_fer.datasets.tables import read_csv
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError

VOTES = "fer2013new.csv"
COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
KINDS = len(EMOTIONS["ferplus"])
NO_EMOTION, NO_MAJORITY, TOO_SPREAD = "unknown or no face", "no majority", "votes too spread"

Judged = tuple[Tensor, Tensor, NDArray[np.str_]]
Rule = Callable[[Tensor], Judged]


def read_votes(path: Path, usage: Tensor) -> tuple[Tensor, Tensor]:
    """Read votes (N, 10) float32 and which rows have an image name (N,), each row's Usage checked against FER2013's."""
    rows = read_csv(path, ["Usage", "Image name", *COLUMNS], title="FER+")
    if len(rows) != len(usage):
        raise DataError(f"{path} has {len(rows)} rows, FER2013 {len(usage)}: they are joined by row and must agree.")
    theirs = torch.tensor([FER2013_SPLITS.index(name) if name in FER2013_SPLITS else -1 for name in rows["Usage"]])
    if not torch.equal(theirs, usage):
        row = int((theirs != usage).nonzero()[0])
        raise DataError(f"{path}, row {row}: Usage differs from FER2013's. One of the two files is in another order.")
    return as_votes(rows[list(COLUMNS)], path), torch.tensor(rows["Image name"].notna().to_numpy(bool))


def as_votes(rows: pd.DataFrame, path: Path) -> Tensor:
    """Ten columns as votes (N, 10) float32. Raises DataError for what is no whole number from 0."""
    votes = rows.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    bad = ~((votes >= 0) & (votes == np.floor(votes))).all(axis=1)  # also where a vote is not a number
    if bad.any():
        raise DataError(f"{path}, row {int(bad.argmax())}: votes are whole numbers from 0.")
    return torch.tensor(votes)


def majority(votes: Tensor) -> Judged:
    """Keep a row when its top column has more than S / 2. Shares are those of all votes for emotions."""
    counted = _counted(votes)
    top, label = counted.max(dim=1)
    return _judged(label, counted, top <= counted.sum(1) / 2, NO_MAJORITY)


def crossentropy(votes: Tensor) -> Judged:
    """Take columns in descending order, equal counts together, until they hold 75 % of S or are three.

    If unknown or NF comes up, stop, and leave it out when an emotion was taken before; so left out, it is not among the
    three. Drop a row when half of S or less is covered, or more than three columns were taken. Shares are those of the
    columns taken.
    """
    left = _counted(votes)
    total, rows = left.sum(1), len(votes)
    taken, part, count = torch.zeros_like(left), torch.zeros(rows), torch.zeros(rows)
    going = part < 0.75 * total
    while going.any():
        top, stopped = left.amax(1), torch.zeros(rows, dtype=torch.bool)
        for column in range(left.shape[1]):
            hit = going & ~stopped & (left[:, column] == top)
            alone = taken.sum(1) == 0
            keep = hit & alone if column >= KINDS else hit
            part += torch.where(hit, top, 0)
            taken[:, column] = taken[:, column].where(~keep, top)
            left[:, column] = left[:, column].where(~hit, 0)
            count += keep
            if column >= KINDS:
                stopped |= hit
        going &= ~stopped & (part < 0.75 * total) & (count < 3)
    return _judged(taken.argmax(1), taken, (taken.sum(1) <= total / 2) | (count > 3), TOO_SPREAD)


def multi_target(votes: Tensor) -> Judged:
    """Take every column of 30 % of S or more; drop a row when they cover half of S or less.

    Each emotion taken has an equal share, which is more than zero where it is a target; the label is the one with the
    most votes.
    """
    counted = _counted(votes)
    total = counted.sum(1, keepdim=True)
    taken = counted.where((10 * counted >= 3 * total) & (total > 0), 0)  # in whole numbers: 3 of 10 is 30 %
    label, _, reasons = _judged(taken.argmax(1), taken, taken.sum(1) <= total[:, 0] / 2, TOO_SPREAD)
    return label, _shares((taken > 0).float()), reasons


MODES: dict[str, Rule] = {
    "majority": majority,
    "probability": crossentropy,
    "crossentropy": crossentropy,
    "multi_target": multi_target,
}


def _counted(votes: Tensor) -> Tensor:
    return votes.where(votes > 1, 0)


def _judged(label: Tensor, taken: Tensor, rejected: Tensor, why: str) -> Judged:
    reasons = np.where(rejected.numpy(), why, np.where(label.numpy() >= KINDS, NO_EMOTION, ""))
    return label, _shares(taken), reasons


def _shares(taken: Tensor) -> Tensor:
    emotions = taken[:, :KINDS]
    return emotions / emotions.sum(1, keepdim=True).clamp(min=1)
