"""Miniatures of the datasets that are folders of pictures or videos."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from inspect_fer.datasets.action_units import UNITS
from inspect_fer.datasets.miniature_face import Artist, save
from inspect_fer.emotions import EMOTIONS

LISTS = ("train", "test")
RAFDB, CKPLUS, TFEID, AFFECTNET = (EMOTIONS[name] for name in ("rafdb", "ckplus", "tfeid", "affectnet"))
SHOWN_BY = {"happiness": (6, 12), "surprise": (1, 2, 26), "disgust": (9,), "sadness": (1, 4), "fear": (1, 2, 4), "": ()}
"""Action units that show each emotion, and that show none."""

NO_EMOTION = (8, 9, 10)


def write_rafdb(root: Path, artist: Artist) -> str:
    """basic/EmoLabel/list_patition_label.txt and basic/Image/aligned."""
    listing = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    listing.parent.mkdir(parents=True)
    lines = []
    for face in artist.faces(RAFDB, LISTS):
        name = f"{face.split}_{face.number:05}"
        save(root / "basic" / "Image" / "aligned" / f"{name}_aligned.jpg", face.pixels, size=100, colour=True)
        lines.append(f"{name}.jpg {RAFDB.index(face.emotion) + 1}\n")
    listing.write_text("".join(lines))
    return f"rafdb:{root}"


def write_rafdb_kaggle(root: Path, artist: Artist) -> str:
    """DATASET/train/1..7 and DATASET/test/1..7, the two csv files beside it."""
    lines = {name: ["image,label\n"] for name in LISTS}
    for face in artist.faces(RAFDB, LISTS):
        label, name = RAFDB.index(face.emotion) + 1, f"{face.split}_{face.number:05}_aligned.jpg"
        save(root / "DATASET" / face.split / str(label) / name, face.pixels, size=100, colour=True)
        lines[face.split].append(f"{name},{label}\n")
    for name, text in lines.items():
        (root / f"{name}_labels.csv").write_text("".join(text))
    return f"rafdb:{root}"


def write_ckplus(root: Path, artist: Artist) -> str:
    """cohn-kanade-images and Emotion: a sequence of three frames a person and emotion, and one without an emotion."""
    for subject in range(artist.people()):
        for sequence, emotion in enumerate((*CKPLUS[1:], "neutral"), start=1):
            place = Path(f"S{subject + 5:03}") / f"{sequence:03}"
            for frame, shown in enumerate(("neutral", emotion, emotion), start=1):
                name = f"{place.parts[0]}_{place.parts[1]}_{frame:08}"
                pixels = artist.face(shown, 100 * subject + 10 * sequence + frame)
                save(root / "cohn-kanade-images" / place / f"{name}.png", pixels, canvas=(64, 49))
            (root / "Emotion" / place).mkdir(parents=True)
            if emotion != "neutral":
                (root / "Emotion" / place / f"{name}_emotion.txt").write_text(
                    f"   {CKPLUS.index(emotion)}.0000000e+00\n"
                )
    return f"ckplus:{root}"


def write_ckplus48(root: Path, artist: Artist) -> str:
    """CK+48: class folders of the last three frames of each sequence."""
    for subject in range(artist.people()):
        for sequence, emotion in enumerate(CKPLUS[1:], start=1):
            folder = root / "CK+48" / {"happiness": "happy"}.get(emotion, emotion)
            for frame in (10, 11, 12):
                pixels = artist.face(emotion, 100 * subject + 10 * sequence + frame)
                save(folder / f"S{subject + 5:03}_{sequence:03}_{frame:08}.png", pixels)
    return f"ckplus:{root}"


def write_tfeid(root: Path, artist: Artist) -> str:
    """Pictures in one folder, such as f01_dfh_ax.jpg."""
    return _tfeid(root, artist, folders=False)


def write_tfeid_folders(root: Path, artist: Artist) -> str:
    """The same pictures in class folders."""
    return _tfeid(root, artist, folders=True)


def _tfeid(root: Path, artist: Artist, *, folders: bool) -> str:
    for model in range(1, artist.people() + 1):
        for number, emotion in enumerate(TFEID):
            letter = {"surprise": "p"}.get(emotion, emotion[0])
            name = f"{'fm'[model % 2]}{model:02}_dfh_{letter}x.jpg"
            place = Path(emotion, name) if folders else Path(name)
            save(root / place, artist.face(emotion, 10 * model + number), canvas=(48, 60))
    return f"tfeid:{root}"


def write_disfa(root: Path, artist: Artist) -> str:
    """Two videos and twelve label files for each of three people; one label file lacks its last line."""
    shown = [emotion for emotion in SHOWN_BY for _ in range(2 * artist.per_class)] + ["happiness"]
    for subject in ("SN001", "SN002", "SN003"):
        frames = [artist.face(emotion or "neutral", number) for number, emotion in enumerate(shown)]
        for side in ("Left", "Right"):
            _write_video(root / f"Videos_{side}Camera" / f"{side}Video{subject}_comp.avi", frames)
        folder = root / "ActionUnit_Labels" / subject
        folder.mkdir(parents=True)
        for unit in UNITS:
            lines = [f"{frame},{3 * (unit in SHOWN_BY[emotion])}\n" for frame, emotion in enumerate(shown, start=1)]
            missing = subject == "SN002" and unit == UNITS[0]
            (folder / f"{subject}_au{unit}.txt").write_text("".join(lines[:-1] if missing else lines))
    return f"disfa:{root}?every=2"


def _write_video(path: Path, frames: Iterable[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for grey in frames:
        writer.write(np.repeat(np.pad(grey, ((0, 0), (8, 8)))[..., None], 3, axis=2))
    writer.release()


def write_affectnet(root: Path, artist: Artist) -> str:
    """Manually_Annotated_Images with training.csv and validation.csv; a row of each id without an emotion in both."""
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    lines = {name: [header] for name in LISTS}
    for split, number, label, emotion in _annotated(artist):
        place = f"{number % 3}/face{number}.jpg"
        path = root / "Manually_Annotated_Images" / place
        save(path, artist.face(emotion, number), canvas=(80, 60), colour=True)
        lines[split].append(f"{place},16,6,48,48,20.0;30.0,{label},0.1,0.2\n")
    for name, file in zip(LISTS, ("training.csv", "validation.csv"), strict=True):
        (root / file).write_text("".join(lines[name]))
    return f"affectnet:{root}"


def write_affectnet_new(root: Path, artist: Artist) -> str:
    """train_set and val_set with images/N.jpg and annotations/N_exp.npy, which holds a word."""
    for split, number, label, emotion in _annotated(artist):
        folder = root / {"train": "train_set", "test": "val_set"}[split]
        save(folder / "images" / f"{number}.jpg", artist.face(emotion, number), size=64, colour=True)
        (folder / "annotations").mkdir(exist_ok=True)
        np.save(folder / "annotations" / f"{number}_exp.npy", np.array(str(label)))
    return f"affectnet:{root}"


def _annotated(artist: Artist) -> Iterable[tuple[str, int, int, str]]:
    faces = [
        (face.split, face.number, AFFECTNET.index(face.emotion), face.emotion)
        for face in artist.faces(AFFECTNET, LISTS)
    ]
    extra: Sequence[tuple[str, int]] = [(split, label) for split in LISTS for label in NO_EMOTION for _ in range(2)]
    return [*faces, *((split, len(faces) + row, label, "neutral") for row, (split, label) in enumerate(extra, start=1))]


def write_folder(root: Path, artist: Artist) -> str:
    """train, select and test, each with class folders."""
    for face in artist.faces(EMOTIONS["fer2013"], ("train", "select", "test")):
        save(root / face.split / face.emotion / f"{face.number}.png", face.pixels)
    return f"folder:{root}"
