import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.datasets.ckplus import load_ckplus
from inspect_fer.errors import DataError

SHOWN = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


def frames_of(found):
    return [name.rsplit("/", 1)[1] for name in found.ids]


def test_the_emotion_belongs_to_the_last_frame(tree):
    found = load_ckplus(tree("ckplus"), "all")
    assert found.class_names == SHOWN
    assert {name.rsplit("_", 1)[1] for name in frames_of(found)} == {"00000003"}
    for name, label, subject in zip(frames_of(found), found.labels.tolist(), found.subjects, strict=True):
        assert name.split("_")[1] == f"{label + 1:03}"  # the miniature's sequences follow the ids on disk, 1 anger ...
        assert name.startswith(subject)
    assert found.dropped == {"sequence without an emotion": 5}


def test_more_last_frames_and_the_neutral_first_one(tree):
    folder = tree("ckplus")
    two = load_ckplus(folder, "all", frames=2)
    assert len(two) == 2 * 35
    both = load_ckplus(folder, "all", frames=2, neutral=True)
    assert both.class_names == ("neutral", *SHOWN)
    assert both.counts() == {"neutral": 35, **dict.fromkeys(SHOWN, 10)}
    first = {name.endswith("00000001") for name in frames_of(both[both.labels == 0])}
    assert first == {True}
    every = load_ckplus(folder, "all", frames=3, neutral=True)  # a frame is not read twice
    assert every.counts()["neutral"] == 0


def test_the_split_is_by_person_and_follows_the_seed(tree):
    folder = tree("ckplus", per_class=8)
    splits = {
        seed: {split: set(load_ckplus(folder, split, seed=seed).subjects) for split in ("train", "select", "test")}
        for seed in (0, 1)
    }
    for parts in splits.values():
        assert {split: len(people) for split, people in parts.items()} == {"train": 6, "select": 2, "test": 2}
        assert len(set.union(*parts.values())) == 10
    assert splits[0] != splits[1]


def test_class_folders_and_sequences_put_a_person_into_the_same_split(shared_miniature):
    for split in ("train", "select", "test"):
        tree, folders = (samples(shared_miniature(name), split) for name in ("ckplus", "ckplus48"))
        assert set(tree.subjects) == set(folders.subjects)
        assert tree.class_names == folders.class_names


def test_frames_of_the_class_folders(tree):
    folder = tree("ckplus48")
    found = load_ckplus(folder, "all", frames=1)
    assert {name.rsplit("_", 1)[1] for name in frames_of(found)} == {"00000012"}
    assert found.dropped == {"earlier frame of its sequence": 70}
    with pytest.raises(DataError, match="holds no sequences from a neutral face on"):
        load_ckplus(folder, "all", neutral=True)


def test_the_csv_has_ids_of_its_own_and_no_people(tree):
    folder = tree("ckextended", per_class=2)
    found = load_ckplus(folder, "all")
    assert found.class_names == ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
    assert found.subjects is None
    assert load_ckplus(folder / "ckextended.csv", "PublicTest").ids == load_ckplus(folder, "select").ids
    assert load_ckplus(folder, "test", size=24, channels=3).pixels.shape == (16, 3, 24, 24)
    with pytest.raises(DataError, match="neutral and frames need the folder cohn-kanade-images"):
        load_ckplus(folder, "test", frames=2)
    path = folder / "ckextended.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:17]))
    with pytest.raises(DataError, match="holds no rows of PrivateTest"):
        load_ckplus(folder, "test")


def test_what_contradicts_itself_is_told(tree, tmp_path):
    folder = tree("ckplus")
    path = folder / "Emotion" / "S005" / "001" / "S005_001_00000003_emotion.txt"
    for text, says in (
        ("   8.0000000e+00\n", "id 8.0000000e\\+00 is not a label; CK\\+ has 1 to 7, 1 anger ... 7 surprise"),
        ("   0.0000000e+00\n", "is not a label"),
        ("1.5", "is not a label"),
        ("", "holds 0 lines; an emotion of CK\\+ is one number"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=says):
            load_ckplus(folder, "all")
    path = path.rename(path.with_name("S005_002_00000002_emotion.txt"))
    with pytest.raises(DataError, match="S005_002_00000002_emotion.txt is one of two emotions of its sequence"):
        load_ckplus(folder, "all")
    path.rename(path.with_name("S099_001_00000003_emotion.txt")).write_text("1.0")
    with pytest.raises(DataError, match="S099_001_00000003_emotion.txt belongs to a sequence that is not in"):
        load_ckplus(folder, "all")
    for path in (folder / "Emotion").rglob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match="no \\*_emotion.txt"):
        load_ckplus(folder, "all")
    with pytest.raises(DataError, match="holds neither cohn-kanade-images nor ckextended.csv nor the class folders"):
        load_ckplus(tmp_path / "nowhere")
    with pytest.raises(DataError, match="1 or more, not 0"):
        load_ckplus(folder, frames=0)


def test_class_folders_that_contradict_the_names(tree):
    folder = tree("ckplus48", per_class=2)
    path = next((folder / "CK+48" / "fear").iterdir())
    path.rename(folder / "CK+48" / "anger" / path.name)
    with pytest.raises(DataError, match="lies in anger and fear; CK\\+48 has anger, contempt"):
        load_ckplus(folder)
    (folder / "CK+48" / "anger" / "face.png").write_bytes(path.name.encode())
    with pytest.raises(DataError, match="face.png is not called like a frame of CK\\+"):
        load_ckplus(folder)


def test_pixels_are_a_square_of_the_middle(tree):
    folder = tree("ckplus", per_class=2)
    found = load_ckplus(folder, "test", size=49)
    assert found.pixels.shape[1:] == (1, 49, 49)
    assert found.pixels[:1].dtype == torch.uint8
