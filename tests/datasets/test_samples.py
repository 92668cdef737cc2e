import pytest
import torch

from inspect_fer.datasets import DATASETS, samples, samples_for
from inspect_fer.errors import ConfigError, DataError, UnknownNameError
from inspect_fer.schema import ModelCard


def test_options_may_follow_the_name():
    written = samples("synthetic:14?seed=3&watermark=happiness&watermark_share=1.0")
    passed = samples("synthetic:14", seed=3, watermark="happiness", watermark_share=1.0)
    assert torch.equal(written.pixels, passed.pixels)
    assert written.truth["watermark"].sum() == 2
    assert passed.source["options"] == {"seed": 3, "watermark": "happiness", "watermark_share": 1.0}


def test_the_source_reads_the_same_samples_again():
    first = samples("synthetic:7", "train", size=32, channels=3, seed=5)
    again = samples(first.source["spec"], first.source["split"], **first.source["options"])
    assert torch.equal(first.pixels, again.pixels)
    assert first.pixels.shape == (7, 3, 32, 32)


@pytest.mark.parametrize(
    ("spec", "options", "kind", "says"),
    [
        ("fer2013", {}, DataError, "KIND:PATH"),
        ("synthetic:", {}, DataError, "KIND:PATH"),
        ("fer2014:x.csv", {}, UnknownNameError, "No dataset is called 'fer2014'. Did you mean 'fer2013'"),
        ("synthetic:many", {}, DataError, "'many' is not a number"),
        ("synthetic:7", {"sede": 1}, ConfigError, "No option of synthetic is called 'sede'. Did you mean 'seed'"),
        ("synthetic:7?sede=1", {}, ConfigError, "Did you mean 'seed'"),
        ("synthetic:7?seed=abc", {}, ConfigError, "option seed of synthetic is a whole number, not 'abc'"),
        ("synthetic:7?seed", {}, ConfigError, "option seed of synthetic is a whole number, not ''"),
        ("synthetic:7?wrong_labels=few", {}, ConfigError, "option wrong_labels of synthetic is a number"),
        ("synthetic:7?watermark=5", {}, DataError, "5"),
        ("synthetic:7?size=100000", {}, ConfigError, "size 1 to 1024"),
        ("synthetic:7?channels=2", {}, ConfigError, "1 or 3 channels"),
        ("synthetic:7", {"channels": 2}, ConfigError, "1 or 3 channels"),
    ],
)
def test_bad_names_get_one_clear_line(spec, options, kind, says):
    with pytest.raises(kind, match=says):
        samples(spec, **options)


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("synthetic:7", {"seed": "abc"}, "option seed of synthetic is a whole number, not 'abc'"),
        ("synthetic:7", {"seed": 2.5}, "option seed of synthetic is a whole number, not 2.5"),
        ("synthetic:7", {"seed": True}, "option seed of synthetic is a whole number, not True"),
        ("synthetic:7", {"seed": None}, "option seed of synthetic is a whole number, not None"),
        ("synthetic:7?seed=2.5", {}, "option seed of synthetic is a whole number, not '2.5'"),
        ("synthetic:7", {"wrong_labels": "x"}, "option wrong_labels of synthetic is a number, not 'x'"),
        ("synthetic:7", {"wrong_labels": True}, "option wrong_labels of synthetic is a number, not True"),
        ("synthetic:7", {"size": 10**400}, "size 1 to 1024"),
        ("synthetic:7?wrong_labels=nan", {}, "option wrong_labels of synthetic is a number, not nan"),
        ("synthetic:7", {"watermark": 3}, "option watermark of synthetic is a word, not 3"),
        ("synthetic:7", {"classes": 3}, "option classes of synthetic is a word or a list of words, not 3"),
        ("synthetic:7", {"classes": ["fear", 3]}, "option classes of synthetic is a word or a list of words"),
        ("synthetic:7", {"size": "big"}, "option size of synthetic is a whole number, not 'big'"),
        ("synthetic:7", {"select": 1}, "option select of synthetic is a word, not 1"),
        ("fer2013:x", {"named": "maybe"}, "option named of fer2013 is yes or no, not 'maybe'"),
        ("fer2013:x", {"named": 1}, "option named of fer2013 is yes or no, not 1"),
        ("folder:x", {"class_names": "fear"}, "option class_names of folder is a list of words, not 'fear'"),
        ("fer2013:x+synthetic:7", {"seed": "abc"}, "option seed of synthetic is a whole number, not 'abc'"),
    ],
)
def test_values_of_options_have_their_type(spec, options, says):
    with pytest.raises(ConfigError, match=says):
        samples(spec, **options)


def test_numbers_need_no_point_and_an_option_may_be_left_to_the_dataset():
    assert len(samples("synthetic:7", wrong_labels=0, watermark=None, classes=("fear", "anger"))) == 2


@pytest.mark.parametrize("kind", DATASETS)
def test_every_dataset_says_what_it_misses(kind, tmp_path):
    with pytest.raises(DataError) as caught:
        samples(f"{kind}:{tmp_path / 'nothing'}")
    assert "\n" not in str(caught.value)


def card(names):
    return ModelCard("x", names, (1, 24, 24), (0.5,), (0.2,))


def test_samples_for_a_network_have_its_size_and_class_order():
    names = ("neutral", "happy", "sad", "angry", "disgusted", "fearful", "surprised", "contempt")
    own, theirs = samples("synthetic:14"), samples_for(card(names), "synthetic:14")
    assert theirs.pixels.shape == (14, 1, 24, 24)
    order = {"anger": 3, "disgust": 4, "fear": 5, "happiness": 1, "sadness": 2, "surprise": 6, "neutral": 0}
    assert theirs.labels.tolist() == [order[own.class_names[label]] for label in own.labels]
    assert torch.equal(theirs.truth["label"], theirs.labels)
