"""FER+. Barsoum et al., ICMI 2016, arXiv:1608.01041: ten crowd votes for each face of FER2013.

The votes are joined to the faces by row, never by image name: the number in the name falls behind the row number, and
four names occur twice.
"""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from inspect_fer.datasets.fer2013 import find_csv, read_table
from inspect_fer.datasets.splits import FER2013_SPLITS, split_names
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError
from inspect_fer.lookup import lookup
from inspect_fer.schema import Samples

COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
KINDS = len(EMOTIONS["ferplus"])


def load_ferplus(root: Path, split: str = "test", *, mode: str = "majority") -> Samples:
    """Join `fer2013new.csv` to `fer2013.csv[.gz]`, both in `root`; label and drop rows by the rule `mode`.

    mode: "majority" keeps a face when one emotion has more than half of the votes that count
    Returns labels (N,) and votes (N, 8), each row the emotions' share of the votes; `dropped` counts what is left out.
    """
    rule = lookup(MODES, mode, "FER+ mode")
    wanted = split_names(split, FER2013_SPLITS)
    source = find_csv(root)
    if source is None:
        raise DataError(f"{root} holds no fer2013.csv or fer2013.csv.gz; FER+ needs it beside fer2013new.csv.")
    table = read_table(source)
    votes, named = read_votes(root / "fer2013new.csv", table.usage)
    labels, shares, reasons = rule(votes)
    reasons[~named] = "no image name"
    rows = torch.isin(table.usage, torch.tensor([FER2013_SPLITS.index(name) for name in wanted]))
    reasons = reasons[rows.numpy()]
    keep = rows.nonzero().flatten()[torch.tensor(reasons.eq("").to_numpy())]
    usage = table.usage[keep].tolist()
    return Samples(
        ids=tuple(f"ferplus/{FER2013_SPLITS[use]}/{row}" for use, row in zip(usage, keep.tolist(), strict=True)),
        pixels=table.pixels[keep],
        labels=labels[keep],
        class_names=EMOTIONS["ferplus"],
        votes=shares[keep],
        dropped={str(name): int(count) for name, count in reasons[reasons.ne("")].value_counts().items()},
    )


def read_votes(path: Path, usage: Tensor) -> tuple[Tensor, "pd.Series[bool]"]:
    """Read the votes (N, 10) float32 and which rows have an image name, checked row by row against FER2013's Usage."""
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as FER+ votes: {str(problem).strip()}.") from problem
    missing = [name for name in ("Usage", "Image name", *COLUMNS) if name not in rows]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; fer2013new.csv has Usage, Image name and ten votes.")
    if len(rows) != len(usage):
        raise DataError(f"{path} has {len(rows)} rows, FER2013 {len(usage)}: they are joined by row and must agree.")
    theirs = torch.tensor([FER2013_SPLITS.index(name) if name in FER2013_SPLITS else -1 for name in rows["Usage"]])
    if not torch.equal(theirs, usage):
        row = int((theirs != usage).nonzero()[0])
        raise DataError(f"{path}, row {row}: Usage differs from FER2013's. One of the two files is in another order.")
    votes = rows[list(COLUMNS)].apply(pd.to_numeric, errors="coerce").to_numpy("float32")
    bad = ~(votes >= 0).all(axis=1)  # also where a vote is not a number
    if bad.any():
        raise DataError(f"{path}, row {int(bad.argmax())}: votes are whole numbers from 0.")
    return torch.tensor(votes), rows["Image name"].notna()


def majority(votes: Tensor) -> "tuple[Tensor, Tensor, pd.Series[str]]":
    """The majority rule of the reference implementation, on votes (N, 10).

    Single votes count as zero; of what remains the top column must have more than half, or the face is dropped; so is
    one whose top is unknown or NF (not a face). Ties go to the first column. Returns labels (N,), the emotions' shares
    (N, 8) and the reason why a row is dropped, "" where it is kept.
    """
    counted = votes.where(votes > 1, 0)
    top, label = counted.max(dim=1)
    reasons = pd.Series([""] * len(votes))
    reasons[(label >= KINDS).numpy()] = "unknown or no face"
    reasons[(top <= counted.sum(1) / 2).numpy()] = "no majority"
    emotions = counted[:, :KINDS]
    return label, emotions / emotions.sum(1, keepdim=True).clamp(min=1), reasons


MODES = {"majority": majority}
