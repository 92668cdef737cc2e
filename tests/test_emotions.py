import pytest

from inspect_fer.emotions import CANONICAL, EMOTIONS, SIX, VIEWS, canonical, regrouping, relabelling, united


def test_every_dataset_names_canonical_emotions_once_each():
    for names in EMOTIONS.values():
        assert len(set(names)) == len(names)
        assert set(names) <= set(CANONICAL)


def test_views_hold_each_emotion_once():
    for view in VIEWS.values():
        members = [name for members in view.values() for name in members]
        assert len(set(members)) == len(members)
        assert set(members) <= set(CANONICAL)


def test_views_are_those_of_the_sources():
    assert tuple(VIEWS["six"]) == SIX == ("happiness", "surprise", "sadness", "anger", "disgust", "fear")
    assert tuple(VIEWS["seven"]) == EMOTIONS["fer2013"]
    assert tuple(VIEWS["eight"]) == CANONICAL
    assert set(VIEWS["polarity"]["positive"]) == {"happiness", "neutral", "surprise"}
    assert set(VIEWS["polarity"]["negative"]) == {"sadness", "anger", "fear", "disgust", "contempt"}


def test_ids_of_the_publishers():
    assert EMOTIONS["rafdb"][4] == "sadness"  # 5 on disk, which begins with 1
    assert EMOTIONS["ckplus"][3] == "disgust"
    assert EMOTIONS["ckextended"][7] == "contempt"
    assert EMOTIONS["affectnet"][:4] == ("neutral", "happiness", "sadness", "surprise")


@pytest.mark.parametrize(("name", "plain"), [(" Happy ", "happiness"), ("SURPRISED", "surprise"), ("Cat", "cat")])
def test_canonical_names(name, plain):
    assert canonical(name) == plain


def test_maps_between_orders():
    assert relabelling(("sad", "cat", "joy"), ("happy", "sadness")) == [1, -1, 0]
    assert regrouping(("joy", "Neutral", "cat", "fearful"), VIEWS["polarity"]) == [0, 0, -1, 1]


def test_orders_become_one():
    assert united([("fear", "anger"), ("fear", "anger")]) == ("fear", "anger")
    assert united([("happy", "sad"), ("Anger", "happiness", "cat")]) == ("happiness", "sadness", "anger", "cat")
