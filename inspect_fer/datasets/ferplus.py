"""FER+. Barsoum et al., ICMI 2016, arXiv:1608.01041: ten crowd votes for each face of FER2013.

Two layouts. `fer2013new.csv` beside `fer2013.csv[.gz]` is the authority: its votes are joined to the faces by row,
never by image name, because the number in the name falls behind the row number and four names occur twice. The folders
FER2013Train, FER2013Valid and FER2013Test hold pictures with a `label.csv` each, joined by name; a few hundred of
their votes differ from the authority's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from inspect_fer.datasets.fer2013 import find_csv
from inspect_fer.datasets.known import checked
from inspect_fer.datasets.listing import UNLISTED, Face, gather, pictures
from inspect_fer.datasets.pixel_csv import SIDE, read_table
from inspect_fer.datasets.splits import FER2013_SPLITS, split_names
from inspect_fer.datasets.tables import read_headless
from inspect_fer.datasets.votes import COLUMNS, MODES, VOTES, Rule, as_votes, read_votes
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError, SplitError
from inspect_fer.images import image_files
from inspect_fer.lookup import lookup
from inspect_fer.schema import Samples

FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
CLASSES = EMOTIONS["ferplus"]


def load_ferplus(root: Path, split: str = "test", *, mode: str = "majority") -> Samples:
    """Read the faces and votes of a split, its rows labelled and dropped by the rule `mode`.

    mode: "majority" keeps a face when one emotion has more than half of the votes that count; "crossentropy" and
        "probability" when few emotions hold most of them (the same rows and shares: with "probability" a training
        draws classes from the shares); "multi_target" when the emotions with 30 % or more hold more than half

    Returns labels (N,), the emotion with the most votes, and votes (N, 8): each emotion's share of the votes, or for
    multi_target an equal share for each target; `dropped` counts what is left out. Raises DataError for what is missing
    or does not fit together.
    """
    rule = lookup(MODES, mode, "FER+ mode")
    wanted = split_names(split, FER2013_SPLITS)
    source = find_csv(root)
    if source is not None:
        found = _from_csv(root, source, wanted, rule)
    elif any((root / folder / "label.csv").is_file() for folder in FOLDERS.values()):
        found = _from_folders(root, wanted, rule)
    else:
        raise DataError(
            f"{root} holds no fer2013.csv or fer2013.csv.gz; FER+ needs it beside {VOTES}, or the folders "
            f"{', '.join(FOLDERS.values())} with a label.csv each."
        )
    return checked(found, "ferplus", wanted) if mode == "majority" else found


def _from_csv(root: Path, source: Path, wanted: Sequence[str], rule: Rule) -> Samples:
    table = read_table(source)
    votes, named = read_votes(root / VOTES, table.usage)
    labels, shares, reasons = rule(votes)
    reasons = reasons.astype(object)
    reasons[~named.numpy()] = "no image name"
    rows = table.rows_of(wanted)
    keep = (rows & torch.from_numpy(reasons == "")).nonzero().flatten()
    usage = table.usage[keep].tolist()
    return Samples(
        ids=tuple(f"ferplus/{FER2013_SPLITS[use]}/{row}" for use, row in zip(usage, keep.tolist(), strict=True)),
        pixels=table.pixels[keep],
        labels=labels[keep],
        class_names=CLASSES,
        votes=shares[keep],
        dropped=Counter(reason for reason in reasons[rows.numpy()].tolist() if reason),
    )


def _from_folders(root: Path, wanted: Sequence[str], rule: Rule) -> Samples:
    """The folder layout: FER2013Train/{label.csv, fer0000000.png, ...} and so on."""
    faces: list[Face[Path]] = []
    shares = []
    for split in wanted:
        folder = root / FOLDERS[split]
        if not folder.is_dir():
            raise SplitError(f"{root} holds no {split}: there is no folder {FOLDERS[split]}.")
        names, votes = _read_label_csv(folder / "label.csv")
        labels, share, reasons = rule(votes)
        again = pd.Series(names).duplicated().tolist()
        whys = ["image name occurs twice" if twice else str(why) for twice, why in zip(again, reasons, strict=True)]
        listed = zip(names, labels.tolist(), whys, strict=True)
        faces += [Face(folder / name, Path(name).stem, label, split, dropped=why) for name, label, why in listed]
        others = set(image_files(folder)) - {folder / name for name in names}
        faces += [Face(path, path.stem, -1, split, dropped=UNLISTED) for path in others]
        shares.append(share[torch.tensor([not why for why in whys])])
    found = gather("ferplus", faces, wanted, partial(pictures, size=SIDE, channels=1), CLASSES)
    return replace(found, votes=torch.cat(shares))


def _read_label_csv(path: Path) -> tuple[list[str], torch.Tensor]:
    """Read names and votes (N, 10) of a label.csv, which has no header: name, box, ten votes."""
    rows = read_headless(path, ["name", "box", *COLUMNS])
    if not str(rows["box"].iloc[0]).lstrip().startswith("("):
        raise DataError(
            f"{path}, row 0: expected a name, a box such as (0, 0, 48, 48) and ten votes; label.csv has no header."
        )
    return rows["name"].astype(str).tolist(), as_votes(rows[list(COLUMNS)], path)
