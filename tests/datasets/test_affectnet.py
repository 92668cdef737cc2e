import numpy as np
import pytest
import torch
from PIL import Image

from inspect_fer.datasets.affectnet import load_affectnet
from inspect_fer.errors import DataError

LAYOUTS = ("affectnet", "affectnet-new")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_without_an_emotion_are_dropped_and_counted(tree, layout):
    found = load_affectnet(tree(layout, per_class=2), "test")
    assert found.counts() == dict.fromkeys(found.class_names, 2)
    assert found.class_names[:3] == ("neutral", "happiness", "sadness")
    assert found.dropped == {"none": 2, "uncertain": 2, "non-face": 2}


@pytest.mark.parametrize("split", ["train", "train_all", "all"])
def test_a_list_cut_short_is_told(tree, split):
    folder = tree("affectnet", per_class=2)
    path = folder / "training.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-5]))
    with pytest.warns(UserWarning, match=r"5 of \d+ pictures of this affectnet are in no row of its list"):
        found = load_affectnet(folder, split)
    assert found.dropped["picture that the list leaves out"] == 5
    load_affectnet(folder, "test")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_twentieth_of_every_class_is_held_out_by_name(tree, layout):
    folder = tree(layout, per_class=20)
    train, select, whole = (load_affectnet(folder, split) for split in ("train", "select", "train_all"))
    assert set(select.counts().values()) == {1}
    assert set(train.counts().values()) == {19}
    assert sorted(whole.ids) == sorted((*train.ids, *select.ids))


def test_pictures_are_cropped_to_the_box_of_the_face(tree):
    folder = tree("affectnet", per_class=2)
    path = folder / "Manually_Annotated_Images" / "0" / "face99.png"
    picture = Image.new("RGB", (90, 70), (9, 9, 9))
    picture.paste((200, 100, 50), (20, 10, 60, 50))
    picture.save(path)
    rows = (folder / "validation.csv").read_text().splitlines()
    rows[1] = "0/face99.png,20,10,40,40,1.0;2.0,3,0.1,0.2"
    (folder / "validation.csv").write_text("\n".join(rows))
    found = load_affectnet(folder, "test", size=40).find(("affectnet/test/0/face99.png",))
    assert found.labels.tolist() == [3]
    assert torch.equal(
        found.pixels[:], torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            "0/face2.jpg,16,6,48,48,x,11,0,0",
            "row 0: id 11 is not a label; AffectNet has 0 to 10, 0 neutral ... 7 contempt",
        ),
        ("0/face2.jpg,NULL,6,48,48,x,1,0,0", "row 0: expected numbers for face_x, face_y, face_width, face_height"),
        ("0/nobody.jpg,16,6,48,48,x,1,0,0", "1 of 16 pictures are not there, the first is .*nobody.jpg"),
    ],
)
def test_bad_rows(tree, row, says):
    folder = tree("affectnet", per_class=2)
    header, _, *rows = (folder / "validation.csv").read_text().splitlines()
    (folder / "validation.csv").write_text("\n".join([header, row, *rows]))
    with pytest.raises(DataError, match=says):
        load_affectnet(folder, "test")


def test_a_box_outside_the_picture(tree):
    folder = tree("affectnet", per_class=2)
    path = folder / "validation.csv"
    path.write_text(path.read_text().replace(",16,6,48,48,", ",100,6,48,48,"))
    found = load_affectnet(folder, "test", size=8)  # which takes the list alone
    with pytest.raises(DataError, match="has 80 x 60 pixels; its face box 100..148, 6..54 is outside"):
        found.pixels[:1]


def test_annotations_are_never_unpickled(tree):
    folder = tree("affectnet-new", per_class=2)
    path = next((folder / "val_set" / "annotations").iterdir())
    np.save(path, np.array({"a": "thing"}, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="_exp.npy is not one number as numpy saves it"):
        load_affectnet(folder, "test")


@pytest.mark.parametrize("value", [3, 3.0, "3"])
def test_annotations_as_number_or_word(tree, value):
    folder = tree("affectnet-new", per_class=2)
    np.save(folder / "val_set" / "annotations" / "17_exp.npy", np.array(value))
    found = load_affectnet(folder, "test").find(("affectnet/test/17",))
    assert found.class_names[int(found.labels[0])] == "surprise"


def test_pictures_and_annotations_that_lack_the_other_are_counted(tree):
    folder = tree("affectnet-new", per_class=2)
    (folder / "val_set" / "images" / "17.jpg").unlink()
    (folder / "val_set" / "annotations" / "18_exp.npy").unlink()
    found = load_affectnet(folder, "test")
    assert len(found) == 14
    assert found.dropped["annotation without picture"] == found.dropped["picture without annotation"] == 1


def test_what_is_missing(tree, tmp_path):
    with pytest.raises(
        DataError, match="holds neither Manually_Annotated_Images with training.csv and validation.csv nor"
    ):
        load_affectnet(tmp_path / "nowhere")
    folder = tree("affectnet", per_class=2)
    (folder / "training.csv").unlink()
    assert len(load_affectnet(folder, "test")) == 16
    with pytest.raises(DataError, match="holds Manually_Annotated_Images but no training.csv"):
        load_affectnet(folder, "train")
    new = tree("affectnet-new", per_class=2)
    for path in (new / "val_set" / "annotations").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="val_set holds no annotations/N_exp.npy"):
        load_affectnet(new, "test")
