"""Labels of every split, against counting them one by one, and without a look at a picture."""

from collections import Counter

import pytest
import torch

from inspect_fer import images
from inspect_fer.datasets import counts, folder, lazy, samples, synthetic, video_frames
from inspect_fer.datasets.counts import Counts, count_labels, split_counts
from inspect_fer.datasets.miniature import LAYOUTS
from inspect_fer.emotions import EMOTIONS, VIEWS, canonical
from inspect_fer.errors import ConfigError, DataError

SMALL = {"size": 24, "channels": 1}
NAMES = EMOTIONS["fer2013"]
FER2013 = ["Training", "PublicTest", "PrivateTest"]


def counted_by_hand(faces, class_names):
    """Faces by class, None for those of no class among these."""
    wanted = {canonical(name): name for name in class_names}
    given = [faces.class_names[label] if label >= 0 else "" for label in faces.labels.tolist()]
    return Counter(wanted.get(canonical(name)) for name in given)


def as_counter(found):
    return Counter({**found.classes, None: found.unlabelled})


def never(*_, **__):
    raise AssertionError("a picture was read or drawn")


@pytest.fixture
def without_pictures(monkeypatch):
    """Count while no picture can be read or drawn."""

    def count(*asked, **options):
        with monkeypatch.context() as patch:
            for place, name in (
                *((module, "read_image") for module in (images, lazy, folder)),
                (video_frames, "_read"),
                (synthetic, "_draw_face"),
            ):
                patch.setattr(place, name, never)
            return split_counts(*asked, **options)

    return count


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_split_of_every_dataset_is_counted_without_a_picture(layout, shared_miniature, without_pictures):
    spec = shared_miniature(layout)
    found = without_pictures(spec, "select", NAMES, **SMALL)
    assert len(found) == 3
    for role, (name, split) in zip(("train", "select", "test"), found.items(), strict=True):
        faces = samples(spec, role, **SMALL)
        assert as_counter(split) == counted_by_hand(faces, NAMES)
        assert split.total == len(faces)
        assert split.own == (role == "select")
        assert all(one.split("/")[1] == name for one in faces.ids)


@pytest.mark.parametrize("view", VIEWS)
def test_views_count_in_their_own_classes(view, shared_miniature):
    spec = shared_miniature("ferplus")
    for name, split in split_counts(spec, "test", tuple(VIEWS[view]), classes=view).items():
        faces = samples(spec, name, classes=view)
        assert split.classes == faces.counts()
        assert not split.unlabelled


def test_synthetic_labels_are_counted_before_a_face_is_drawn(without_pictures):
    found = without_pictures("synthetic:70000?wrong_labels=0.2", "all", NAMES)
    assert [split.total for split in found.values()] == [70000] * 3
    assert all(split.own for split in found.values())
    plain = split_counts("synthetic:14", "test", NAMES)["train"]
    assert plain == Counts(dict.fromkeys(NAMES, 2))


def test_listed_synthetic_faces_are_the_drawn_ones():
    options = {"seed": 2, "wrong_labels": 0.2, "duplicates": 0.3, "watermark": "happiness", "size": 32}
    drawn, listed = (
        load(21, "train+select", **options) for load in (synthetic.load_synthetic, synthetic.list_synthetic)
    )
    assert torch.equal(drawn.pixels, listed.pixels[:])
    assert torch.equal(drawn.pixels[[40, 3]], listed[[40, 3]].pixels[:])
    assert (drawn.ids, drawn.source) == (listed.ids, listed.source)
    assert all(torch.equal(drawn.truth[name], listed.truth[name]) for name in drawn.truth)
    assert torch.equal(drawn.labels, listed.labels)


def test_joined_datasets_are_counted_together_by_what_their_splits_are_for(shared_miniature):
    parts = [shared_miniature(layout) for layout in ("fer2013", "rafdb")]
    found = split_counts("+".join([*parts, "synthetic:14"]), "test", NAMES)  # of three sizes, which do not matter
    assert list(found) == ["train", "select", "test"]
    for role, split in found.items():
        alone = [counted_by_hand(samples(part, role), NAMES) for part in (*parts, "synthetic:14")]
        assert as_counter(split) == sum(alone, Counter())
        assert split.own == (role == "test")


def test_splits_that_play_another_role_are_counted_as_such(shared_miniature):
    spec = shared_miniature("fer2013")
    found = split_counts(f"{spec}?test=PublicTest+PrivateTest&select=none", "test", NAMES)
    assert {name: split.own for name, split in found.items()} == {
        "Training": False,
        "test (PublicTest+PrivateTest)": True,
    }
    assert as_counter(found["test (PublicTest+PrivateTest)"]) == counted_by_hand(samples(spec, "select+test"), NAMES)


def test_all_parts_of_the_split_asked_for_are_marked(shared_miniature):
    found = split_counts(shared_miniature("rafdb"), "train_all", NAMES)
    assert [name for name, split in found.items() if split.own] == ["train", "select"]


def test_splits_that_do_not_exist_are_left_out(write_csv, tree):
    rows = write_csv("train.csv", change=lambda rows: [row.rpartition(",")[0] for row in rows])
    assert list(split_counts(f"fer2013:{rows}", "train", NAMES)) == ["Training"]
    root = tree("folder")
    assert {path.name for path in root.iterdir()} == {"train", "select", "test"}
    (root / "select").rename(root / "valid")
    assert list(split_counts(f"folder:{root}", "test", NAMES)) == ["train", "valid", "test"]
    (root / "train").rename(root / "others")
    (root / "valid").rename(root / "else")
    assert list(split_counts(f"folder:{root}", "test", NAMES)) == ["test"]
    assert list(split_counts(f"folder:{root / 'test'}", "test", NAMES)) == ["test"]


@pytest.mark.parametrize(("layout", "gone"), [("ferplus-folders", "FER2013Train"), ("affectnet-new", "train_set")])
def test_a_list_that_is_not_there_hides_no_other(layout, gone, tree):
    root = tree(layout)
    (found,) = root.rglob(gone)
    found.rename(root / "elsewhere")
    kind = layout.partition("-")[0]
    found = split_counts(f"{kind}:{root}", "test", NAMES)
    assert list(found)[-1] in {"test", "PrivateTest"}
    assert as_counter(found[list(found)[-1]]) == counted_by_hand(samples(f"{kind}:{root}", "test"), NAMES)


def test_what_is_damaged_or_gone_is_told(tmp_path, write_csv):
    with pytest.raises(DataError, match="cannot be read"):
        split_counts(f"fer2013:{tmp_path / 'none.csv'}", "test", NAMES)
    cut = write_csv(change=lambda rows: [*rows, "9,1 2,Training"])
    with pytest.raises(DataError, match="row 8"):
        split_counts(f"fer2013:{cut}", "test", NAMES)
    with pytest.raises(ConfigError, match="No option of synthetic is called 'wrong'"):
        split_counts("synthetic:7", "test", NAMES, wrong=0.1)


def test_a_tree_of_too_many_files_is_not_listed(shared_miniature, monkeypatch):
    monkeypatch.setattr(counts, "MANY", 20)
    with pytest.raises(DataError, match="more than 20 files"):
        split_counts(shared_miniature("rafdb"), "test", NAMES)
    assert len(split_counts(shared_miniature("fer2013"), "test", NAMES)) == 3


def test_labels_of_no_class_are_counted_apart():
    assert count_labels(torch.tensor([0, -1, 2, 2, -1]), ("a", "b", "c")) == Counts({"a": 1, "b": 0, "c": 2}, 2)
    assert count_labels(torch.tensor([], dtype=torch.int64), ()) == Counts({})
