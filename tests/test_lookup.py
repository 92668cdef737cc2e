import pytest

from inspect_fer.emotions import canonical, relabelling
from inspect_fer.errors import FerError, UnknownNameError
from inspect_fer.lookup import lookup, options_in


def test_finds_or_names_the_nearest_and_every_choice():
    table = {"cam": 1, "grad-cam": 2, "occlusion": 3}
    assert lookup(table, "cam", "method") == 1
    with pytest.raises(UnknownNameError) as caught:
        lookup(table, "gradcam", "method")
    assert str(caught.value) == (
        "No method is called 'gradcam'. Did you mean 'grad-cam'? Choose from: cam, grad-cam, occlusion."
    )
    for half, whole in (("oc", "occlusion"), ("on", "occlusion"), ("gr", "grad-cam")):
        with pytest.raises(UnknownNameError, match=f"Did you mean '{whole}'"):
            lookup(table, half, "method")
    with pytest.raises(FerError, match="No method is called 'zzz'. Choose from"):
        lookup(table, "zzz", "method")


@pytest.mark.parametrize("name", ["Grad-CAM", "GRAD-CAM", "GradCAM", " grad-cam"])
def test_capitals_make_no_difference_to_the_nearest_name(name):
    with pytest.raises(UnknownNameError, match="Did you mean 'grad-cam'"):
        lookup({"cam": 1, "grad-cam": 2}, name, "method")
    with pytest.raises(UnknownNameError, match="Did you mean 'PrivateTest'"):
        lookup({"Training": 1, "PrivateTest": 2}, "privatetest", "split")


@pytest.mark.parametrize("name", [None, 3, ["cam"], {}])
def test_what_is_no_name_is_told_too(name):
    with pytest.raises(UnknownNameError, match=r"No method is called .*\. Choose from: cam, grad-cam\."):
        lookup({"cam": 1, "grad-cam": 2}, name, "method")


def test_emotions_have_one_canonical_spelling():
    assert [canonical(name) for name in ("Happy", " fearful", "neutral", "bored")] == [
        "happiness",
        "fear",
        "neutral",
        "bored",
    ]
    assert relabelling(("happy", "bored", "Anger"), ("anger", "happiness")) == [1, -1, 0]


def test_a_plus_in_options_stands_for_itself():
    assert options_in("a=grad-cam++&b=1e+2&c=&d=x%2By%20z") == [
        ("a", "grad-cam++"),
        ("b", "1e+2"),
        ("c", ""),
        ("d", "x+y z"),
    ]
