"""Miniatures of the layouts of FER2013: csv files of pixels, votes beside them, and folders of 48 x 48 pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from inspect_fer.datasets.miniature_face import Artist, Drawn, save
from inspect_fer.datasets.splits import FER2013_SPLITS
from inspect_fer.emotions import CANONICAL, EMOTIONS

FER = EMOTIONS["fer2013"]
FOLDER_OF = {"anger": "angry", "happiness": "happy", "sadness": "sad"}
VOTE_COLUMNS = (*CANONICAL, "unknown", "NF")


def write_fer2013(root: Path, artist: Artist) -> str:
    """fer2013.csv."""
    path = root / "fer2013.csv"
    _write(path, "emotion,pixels,Usage", _rows(artist.faces(FER), FER))
    return f"fer2013:{path}"


def write_icml(root: Path, artist: Artist) -> str:
    """icml_face_data.csv: spaces in the header, another order of the columns."""
    path = root / "icml_face_data.csv"
    rows = ([label, usage, pixels] for label, pixels, usage in _rows(artist.faces(FER), FER))
    _write(path, "emotion, Usage, pixels", rows)
    return f"fer2013:{path}"


def write_fer2013_folders(root: Path, artist: Artist) -> str:
    """train/CLASS/Training_N.jpg and test/CLASS/{PublicTest,PrivateTest}_N.jpg."""
    for face in artist.faces(FER):
        top = "train" if face.split == "Training" else "test"
        folder = root / top / FOLDER_OF.get(face.emotion, face.emotion)
        save(folder / f"{face.split}_{face.number}.jpg", face.pixels)
    return f"fer2013:{root}"


def write_ckextended(root: Path, artist: Artist) -> str:
    """ckextended.csv."""
    names, path = EMOTIONS["ckextended"], root / "ckextended.csv"
    _write(path, "emotion,pixels,Usage", _rows(artist.faces(names), names))
    return f"ckplus:{path}"


def write_ferplus(root: Path, artist: Artist) -> str:
    """fer2013.csv and fer2013new.csv; the last rows of every split are one without a majority, and no face."""
    faces = _voted(artist)
    _write(root / "fer2013.csv", "emotion,pixels,Usage", _rows((face for face, _ in faces), FER))
    votes = (
        [
            face.split,
            "" if vote[-1] == 10 else f"fer{face.number:07}.png",
            *vote,
        ]  # no face was shown, so it has no name
        for face, vote in faces
    )
    _write(root / "fer2013new.csv", ",".join(("Usage", "Image name", *VOTE_COLUMNS)), votes)
    return f"ferplus:{root}"


def write_ferplus_folders(root: Path, artist: Artist) -> str:
    """FER2013Train, FER2013Valid and FER2013Test, each with label.csv and its pictures."""
    lists: dict[str, list[str]] = {}
    for face, vote in _voted(artist):
        folder = dict(zip(FER2013_SPLITS, ("FER2013Train", "FER2013Valid", "FER2013Test"), strict=True))[face.split]
        name = f"fer{face.number:07}.png"
        save(root / folder / name, face.pixels)
        lists.setdefault(folder, []).append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, vote))}\n')
    for folder, lines in lists.items():
        (root / folder / "label.csv").write_text("".join(lines))
    return f"ferplus:{root}"


def _voted(artist: Artist) -> list[tuple[Drawn, list[int]]]:
    """Faces with votes: seven for their emotion and three for the next, or divided, or none for a face."""
    found = []
    for face in artist.faces(CANONICAL):
        first = CANONICAL.index(face.emotion)
        found.append((face, _votes({first: 7, (first + 1) % len(CANONICAL): 3})))
    number = len(found)
    for split in FER2013_SPLITS:
        for vote in ({0: 4, 1: 3, 2: 3}, {VOTE_COLUMNS.index("NF"): 10}):
            number += 1
            found.append((Drawn(split, "neutral", number, artist.face("neutral", number)), _votes(vote)))
    return sorted(found, key=lambda entry: FER2013_SPLITS.index(entry[0].split))


def _votes(given: dict[int, int]) -> list[int]:
    return [given.get(column, 0) for column in range(len(VOTE_COLUMNS))]


def _rows(faces: Iterable[Drawn], names: Sequence[str]) -> Iterable[list[object]]:
    for face in faces:
        emotion = face.emotion if face.emotion in names else "neutral"
        yield [names.index(emotion), " ".join(map(str, np.ravel(face.pixels).tolist())), face.split]


def _write(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
