from pathlib import Path

import pytest

from inspect_fer.datasets import DATASETS, samples
from inspect_fer.datasets.spec import Part, cast, split_spec
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
    ("chosen", "split", "played"),
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
def test_roles_are_played_by_the_splits_named(chosen, split, played):
    assert cast(split, chosen, "x") == played


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
        cast("train", chosen, "x")


def test_options_are_numbers_words_and_yes_or_no(shared_miniature):
    spec = shared_miniature("ckplus") + "?size=16&"
    assert "neutral" in samples(spec + "neutral=yes", "all").class_names
    assert "neutral" not in samples(spec + "neutral=0", "all").class_names
    assert len(samples(spec + "frames=2", "all")) == 2 * len(samples(spec, "all"))
    for query, says in (
        ("neutral=perhaps", "The option neutral of ckplus is yes or no, not 'perhaps'"),
        ("frames=many", "The option frames of ckplus is a number, not 'many'"),
        ("frame=1", "No option of ckplus is called 'frame'. Did you mean 'frames'"),
    ):
        with pytest.raises(ConfigError, match=says):
            samples(spec + query, "all")


def test_roles_in_a_name(shared_miniature):
    spec = shared_miniature("fer2013")
    both = samples(f"{spec}?test=PublicTest+PrivateTest&select=none", "test")
    assert both.ids == samples(spec, "PublicTest+PrivateTest").ids
    assert samples(spec, "test", test="PublicTest+PrivateTest", select="none").ids == both.ids
    with pytest.raises(DataError, match="takes no part in the split select"):
        samples(f"{spec}?select=none", "select")


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
    ],
)
def test_names_that_are_none(spec, kind, says):
    with pytest.raises(kind, match=says):
        samples(spec)
