import pytest

from inspect_fer.datasets import samples
from inspect_fer.datasets.tfeid import load_tfeid
from inspect_fer.errors import DataError


def test_the_name_says_model_and_emotion(tree):
    found = load_tfeid(tree("tfeid", per_class=2), "all")
    letters = {"a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "p": "surprise", "s": "sadness"}
    for name, label, subject in zip(found.ids, found.labels.tolist(), found.subjects, strict=True):
        model, pose, emotion = name.rsplit("/", 1)[1].split("_")
        assert subject == model
        assert pose == "dfh"
        assert found.class_names[label] == letters.get(emotion[0], found.class_names[label])


def test_class_folders_give_the_same_splits(shared_miniature):
    for split in ("train", "select", "test"):
        flat, folders = (samples(shared_miniature(name), split) for name in ("tfeid", "tfeid-folders"))
        assert sorted(flat.ids) == sorted(folders.ids)
        assert flat.counts() == folders.counts()


def test_other_spellings(tree):
    folder = tree("tfeid", per_class=2)
    next(folder.glob("m01_dfh_px.jpg")).rename(folder / "M01_DFH_PX_surprise.jpg")
    found = load_tfeid(folder, "all")
    assert found.counts()["surprise"] == 4
    assert "m01" in found.subjects


def test_names_that_say_no_person_are_read_whole_or_not_at_all(tree):
    folder = tree("tfeid-folders", per_class=2)
    path = next((folder / "anger").iterdir())
    path.rename(path.with_name("angry face.jpg"))
    found = load_tfeid(folder, "all")
    assert found.subjects is None
    assert "tfeid/all/anger/angry face.jpg" in found.ids
    with pytest.raises(DataError, match="does not say whom it shows, so there is no split by person"):
        load_tfeid(folder, "train")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("fear/m01_dfh_px.jpg", "says fear and surprise of its emotion"),
        ("m01_dfh_zx.jpg", "says nothing of its emotion"),
        ("portrait.jpg", "says nothing of its emotion"),
    ],
)
def test_pictures_that_contradict_themselves_or_say_nothing(tree, place, says):
    folder = tree("tfeid", per_class=2)
    (folder / place).parent.mkdir(exist_ok=True)
    next(folder.glob("m01_dfh_px.jpg")).rename(folder / place)
    with pytest.raises(DataError, match=says):
        load_tfeid(folder, "all")


def test_no_pictures(tmp_path):
    with pytest.raises(DataError, match="There are no pictures below"):
        load_tfeid(tmp_path)
