import pytest
import torch
from PIL import Image

from inspect_fer.datasets.folder import load_files, load_folder
from inspect_fer.errors import DataError
from inspect_fer.images import ImageFiles


def put(root, place, colour=(10, 20, 30), size=(30, 30)):
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def tree(tmp_path):
    for name in ("happy", "Anger"):
        for number in range(3):
            put(tmp_path / "faces", f"{name}/deep/{number}.png", (number, 0, 0))
    return tmp_path / "faces"


def test_label_order_is_alphabetical_and_recorded(tree):
    found = load_folder(tree, "all")
    assert found.class_names == ("Anger", "happy")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.ids[0] == "folder/Anger/deep/0.png"


def test_a_given_order_is_kept_and_matches_by_canonical_name(tree):
    found = load_folder(tree, "test", class_names=("happiness", "sadness", "anger"))
    assert found.class_names == ("happiness", "sadness", "anger")
    assert found.labels.tolist() == [2, 2, 2, 0, 0, 0]
    with pytest.raises(DataError, match="folder 'Anger', which is none of the classes sad, happy"):
        load_folder(tree, "test", class_names=("sad", "happy"))


def test_pictures_stay_on_disk_until_rows_are_read(tree):
    found = load_folder(tree, "all", size=24, channels=1)
    assert isinstance(found.pixels, ImageFiles)
    assert found.pixels.shape == (6, 1, 24, 24)
    few = found[torch.tensor([False, True, False, False, False, True])]
    assert isinstance(few.pixels, ImageFiles)
    assert few.pixels[:].shape == (2, 1, 24, 24)
    (tree / "happy" / "deep" / "2.png").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"2.png cannot be read as a picture"):
        few.pixels[:]
    assert few.pixels[:1].shape == (1, 1, 24, 24)


def test_colour_keeps_three_channels_and_values(tree):
    pixels = load_folder(tree, "all").pixels[torch.tensor([2])]
    assert pixels.shape == (1, 3, 30, 30)
    assert pixels[0, :, 0, 0].tolist() == [2, 0, 0]


def test_split_folders(tmp_path):
    for split, name in (("train", "sad"), ("valid", "sad"), ("test", "happy")):
        put(tmp_path, f"{split}/{name}/1.png")
    assert load_folder(tmp_path, "select").ids == ("folder/valid/sad/1.png",)
    assert load_folder(tmp_path, "all").class_names == ("happy", "sad")
    (tmp_path / "valid").rename(tmp_path / "other")
    with pytest.raises(DataError, match="has no split 'select'; it has"):
        load_folder(tmp_path, "select")


def test_an_unsplit_tree_is_no_training_set(tree):
    with pytest.raises(DataError, match="is not split. To train on it"):
        load_folder(tree, "train")


def test_pictures_without_class_folders_have_no_labels(tmp_path):
    put(tmp_path, "a.png")
    found = load_folder(tmp_path, "test")
    assert (found.labels.tolist(), found.class_names) == ([-1], ())


def test_bad_folders(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="There are no pictures below"):
        load_folder(tmp_path)


def test_pictures_of_two_sizes_need_a_size(tmp_path):
    put(tmp_path, "sad/1.png")
    put(tmp_path, "sad/2.png", size=(40, 20))
    with pytest.raises(DataError, match="2.png has 40 x 20 pixels, the first picture 30 x 30. Give a size"):
        load_folder(tmp_path).pixels[:]
    assert load_folder(tmp_path, size=16).pixels[:].shape == (2, 3, 16, 16)


def test_single_files(tmp_path):
    found = load_files([put(tmp_path, "a.png"), put(tmp_path, "b.png")], size=8, channels=1)
    assert found.pixels.shape == (2, 1, 8, 8)
    assert found.ids == ((tmp_path / "a.png").as_posix(), (tmp_path / "b.png").as_posix())


def test_pictures_of_one_name_keep_apart(tmp_path):
    for colour, place in enumerate(("sad/a.png", "sad/a.bmp", "happy/a.png")):
        put(tmp_path, place, (colour, 0, 0))
    found = load_folder(tmp_path)
    assert len(set(found.ids)) == 3
    assert [int(found.find((name,)).pixels[:][0, 0, 0, 0]) for name in found.ids] == [2, 1, 0]


def test_two_folders_for_one_class_are_refused(tmp_path):
    put(tmp_path, "happy/1.png")
    put(tmp_path, "Happiness/1.png")
    with pytest.raises(DataError, match="two folders for one class: 'Happiness' and 'happy'"):
        load_folder(tmp_path)


def test_every_split_has_the_classes_of_all(tmp_path):
    for place in ("train/sad/1.png", "train/happy/1.png", "test/happy/1.png"):
        put(tmp_path, place)
    (tmp_path / "train" / "notes").mkdir()  # no pictures, no class
    found = {split: load_folder(tmp_path, split) for split in ("train", "test")}
    assert found["test"].class_names == found["train"].class_names == ("happy", "sad")
    assert found["test"].labels.tolist() == [0]


def test_joined_splits(tmp_path):
    for place in ("train/sad/1.png", "valid/sad/1.png"):
        put(tmp_path, place)
    assert load_folder(tmp_path, "train+select").ids == ("folder/train/sad/1.png", "folder/valid/sad/1.png")
    with pytest.raises(DataError, match="has no split 'train\\+test'; it has train, select"):
        load_folder(tmp_path, "train+test")
