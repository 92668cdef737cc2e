import pytest
import torch

from inspect_fer.datasets.rafdb import load_rafdb
from inspect_fer.errors import DataError


def test_the_ids_on_disk_begin_with_one(tree):
    folder = tree("rafdb", per_class=2)
    listing = (folder / "basic" / "EmoLabel" / "list_patition_label.txt").read_text().split()
    on_disk = dict(zip(listing[::2], listing[1::2], strict=True))
    found = load_rafdb(folder, "all")
    names = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    for name, label in zip(found.ids, found.labels.tolist(), strict=True):
        assert found.class_names[label] == names[int(on_disk[name.rsplit("/", 1)[1] + ".jpg"]) - 1]
    assert found.pixels.shape[1:] == (3, 100, 100)


def test_a_tenth_of_every_class_is_held_out(tree):
    folder = tree("rafdb", per_class=20)
    parts = {split: load_rafdb(folder, split) for split in ("train", "select", "test", "train_all")}
    assert set(parts["select"].counts().values()) == {2}
    assert set(parts["train"].counts().values()) == {18}
    assert set(parts["train_all"].ids) == {*parts["train"].ids, *parts["select"].ids}
    assert load_rafdb(folder, "train+select").ids == parts["train_all"].ids
    names = [name.partition("_")[2] for name in parts["train_all"].ids]
    assert names == sorted(names)  # the publisher's order


def test_both_layouts_give_the_same_faces_in_the_same_splits(shared_miniature):
    from inspect_fer.datasets import samples

    for split in ("train", "select", "test"):
        official, kaggle = (samples(shared_miniature(name), split) for name in ("rafdb", "rafdb-kaggle"))
        assert official.ids == kaggle.ids
        assert torch.equal(official.pixels[:], kaggle.pixels[:])
        assert torch.equal(official.labels, kaggle.labels)


def test_kaggle_without_its_csv_files_is_read_from_the_folders(tree):
    folder = tree("rafdb-kaggle", per_class=2)
    before = load_rafdb(folder, "train_all")
    for path in folder.glob("*.csv"):
        path.unlink()
    after = load_rafdb(folder / "DATASET", "train_all")
    assert before.ids == after.ids
    assert torch.equal(before.labels, after.labels)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines[:3], lines[3].replace(" 2", " 8")], "row 3: id 8 is not a label; RAF-DB has 1 to 7"),
        (
            lambda lines: [f"{line[:-1]}{int(line[-1]) - 1}" for line in lines],
            "id 0 is not a label.*All ids would fit with 1 added to them",
        ),
        (lambda lines: ["name label", *lines], "row 0: expected a line such as train_00001.jpg 5, found 'name label'"),
    ],
)
def test_a_list_that_was_changed_is_told(tree, change, says):
    folder = tree("rafdb", per_class=2)
    path = folder / "basic" / "EmoLabel" / "list_patition_label.txt"
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=says):
        load_rafdb(folder, "train")


def test_pictures_that_the_list_leaves_out_are_counted(tree):
    folder = tree("rafdb", per_class=2)
    path = folder / "basic" / "EmoLabel" / "list_patition_label.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-3]))
    with pytest.warns(UserWarning, match="3 of 14 pictures of this rafdb are in no row of its list; was it cut short"):
        found = load_rafdb(folder, "test")
    assert len(found) == 11
    assert found.dropped == {"picture that the list leaves out": 3}
    assert load_rafdb(folder, "train").dropped == {}


def test_a_picture_has_one_label(tree):
    folder = tree("rafdb-kaggle", per_class=2) / "DATASET" / "train"
    (folder / "2" / "train_00001_aligned.jpg").write_bytes((folder / "1" / "train_00001_aligned.jpg").read_bytes())
    with pytest.raises(DataError, match="train_00001_aligned.jpg lies in folder 1 as well"):
        load_rafdb(folder.parents[1])


def test_what_is_missing_is_told_at_once(tree, tmp_path):
    folder = tree("rafdb", per_class=2)
    next((folder / "basic" / "Image" / "aligned").glob("test_*")).unlink()
    with pytest.raises(DataError, match="1 of 14 pictures are not there, the first is .*aligned.jpg"):
        load_rafdb(folder, "test")
    with pytest.raises(DataError, match="holds neither EmoLabel/list_patition_label.txt nor the folders train/1"):
        load_rafdb(tmp_path / "nowhere")


def test_kaggle_lists_that_contradict_the_folders(tree):
    folder = tree("rafdb-kaggle", per_class=2)
    path = folder / "test_labels.csv"
    text = path.read_text()
    path.write_text(text.replace(",1\n", ",2\n", 1))
    with pytest.raises(DataError, match="row 0: test_00015_aligned.jpg has the label 2 but lies in folder 1"):
        load_rafdb(folder)
    path.write_text(text.replace("test_00015", "test_99999"))
    with pytest.raises(DataError, match="row 0: there is no test_99999_aligned.jpg"):
        load_rafdb(folder)
    path.write_text(text.partition("\n")[2])
    with pytest.raises(DataError, match="has no header: a row of data is in its first line and would be lost"):
        load_rafdb(folder)
