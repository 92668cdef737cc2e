from pathlib import Path

import pytest

from inspect_fer.datasets import DATASETS, samples
from inspect_fer.datasets.spec import Part, overlap, played, require_apart, split_spec
from inspect_fer.errors import ConfigError, DataError, UnknownNameError


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("rafdb:/a", [Part("rafdb", Path("/a"), "")]),
        ("rafdb:/a+b", [Part("rafdb", Path("/a+b"), "")]),  # no kind follows
        ("rafdb:/a+folder", [Part("rafdb", Path("/a+folder"), "")]),
        ("ckplus:/CK+48?frames=1", [Part("ckplus", Path("/CK+48"), "frames=1")]),
        (
            "fer2013:/f?test=PublicTest+PrivateTest+ckplus:/CK+48+synthetic:7?seed=1",
            [
                Part("fer2013", Path("/f"), "test=PublicTest+PrivateTest"),
                Part("ckplus", Path("/CK+48"), ""),
                Part("synthetic", 7, "seed=1"),
            ],
        ),
    ],
)
def test_a_plus_joins_datasets_only_before_a_kind(spec, parts):
    assert split_spec(spec, DATASETS) == parts
    assert "+".join(map(str, parts)) == spec


def test_places_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (part,) = split_spec("folder:faces", DATASETS)
    assert str(part) == f"folder:{tmp_path}/faces"


@pytest.mark.parametrize(
    ("chosen", "split", "own"),
    [
        ({}, "test", "test"),
        ({"test": "PublicTest+PrivateTest", "select": "none"}, "test", "PublicTest+PrivateTest"),
        ({"test": "PublicTest+PrivateTest", "select": "none"}, "select", None),
        ({"train": "all", "select": "none", "test": "none"}, "train", "all"),
        ({"train": "all", "select": "none", "test": "none"}, "train+test", "all"),
        ({"train": "all", "select": "none", "test": "none"}, "all", "all"),
        ({"select": "PrivateTest", "test": "PublicTest"}, "validation", "PrivateTest"),
        ({"select": "PublicTest+PrivateTest", "test": "PublicTest+PrivateTest"}, "test", "PublicTest+PrivateTest"),
        ({"train": "train_all", "select": "none"}, "train", "train_all"),
    ],
)
def test_roles_are_played_by_the_splits_named(chosen, split, own):
    require_apart(chosen, "x")
    assert played(split, chosen) == own


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"train": "all"}, "With train=all the splits train and select of x share rows \\(select, test\\)"),
        ({"train": "train_all"}, "train and select of x share rows \\(select\\). Give each other rows, or select=none"),
        ({"train": "Training+PrivateTest"}, "train and test of x share rows \\(test\\)"),
        ({"test": "all", "select": "none"}, "train and test of x share rows \\(train\\)"),
    ],
)
def test_what_is_trained_on_is_not_reported_on(chosen, says):
    with pytest.raises(ConfigError, match=says):
        require_apart(chosen, "x")


@pytest.mark.parametrize(
    ("splits", "others", "shared"),
    [
        ("train", "select+test", []),
        ("all", "PrivateTest", ["test"]),
        ("train+valid", "all", ["select", "train"]),
        ("train_all", "select", ["select"]),
        ("Training+PublicTest", "PublicTest+PrivateTest", ["select"]),
        ("none", "all", []),
    ],
)
def test_splits_share_rows_as_far_as_names_tell(splits, others, shared):
    assert overlap(splits, others) == overlap(others, splits) == shared


def test_options_are_numbers_words_and_yes_or_no(shared_miniature):
    spec = shared_miniature("ckplus") + "?size=16&"
    assert "neutral" in samples(spec + "neutral=yes", "all").class_names
    assert "neutral" not in samples(spec + "neutral=0", "all").class_names
    assert len(samples(spec + "frames=2", "all")) == 2 * len(samples(spec, "all"))
    for query, says in (
        ("neutral=perhaps", "The option neutral of ckplus is yes or no, not 'perhaps'"),
        ("frames=many", "The option frames of ckplus is a whole number, not 'many'"),
        ("frame=1", "No option of ckplus is called 'frame'. Did you mean 'frames'"),
    ):
        with pytest.raises(ConfigError, match=says):
            samples(spec + query, "all")


def test_roles_in_a_name(shared_miniature):
    spec = shared_miniature("fer2013")
    both = samples(f"{spec}?test=PublicTest+PrivateTest&select=none", "test")
    assert both.ids == samples(spec, "PublicTest+PrivateTest").ids
    assert samples(spec, "test", test="PublicTest+PrivateTest", select="none").ids == both.ids
    for split in ("select", "valid"):
        with pytest.raises(DataError, match=f"takes no part in the split {split}. Training needs a selection split"):
            samples(f"{spec}?select=none", split)
    with pytest.raises(DataError, match="takes no part in the split test.$"):
        samples(f"{spec}?test=none", "test")


def test_the_query_comes_before_the_keyword(shared_miniature):
    spec = shared_miniature("fer2013")
    assert samples(f"{spec}?size=16", size=32).pixels.shape[2:] == (16, 16)
    assert samples(spec + "?classes=six", classes="polarity").class_names[0] == "happiness"


@pytest.mark.parametrize(
    ("spec", "kind", "says"),
    [
        ("rafdb:/a+tfeid:", DataError, "A dataset is named KIND:PATH, .* not 'tfeid:'"),
        ("synthetic:7+synthetic:x", DataError, "synthetic:N draws N faces; 'x' is not a number"),
        ("rafd:/a", UnknownNameError, "No dataset is called 'rafd'. Did you mean 'rafdb'"),
        ("folder:q+foldr:q", UnknownNameError, "No dataset is called 'foldr'. Did you mean 'folder'"),
        ("synthetic:7+Folder:q", UnknownNameError, "No dataset is called 'Folder'. Did you mean 'folder'"),
        ("synthetic:7?seed=1+fer2031:q?named=1", UnknownNameError, "called 'fer2031'. Did you mean 'fer2013'"),
    ],
)
def test_names_that_are_none(spec, kind, says):
    with pytest.raises(kind, match=says):
        samples(spec)


def test_a_folder_that_is_there_is_no_typo(tmp_path):
    place = tmp_path / "q+foldr:q"
    place.mkdir()
    assert split_spec(f"folder:{place}", DATASETS) == [Part("folder", place, "")]
    assert split_spec("folder:/a+b:c", DATASETS) == [Part("folder", Path("/a+b:c"), "")]
