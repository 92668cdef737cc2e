import pytest
import torch

from inspect_fer.datasets.labels import labelled_as, names_in_view, viewed
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError, UnknownNameError
from inspect_fer.schema import Samples

SEVEN = EMOTIONS["fer2013"]


def faces(labels, names=SEVEN, **others):
    count = len(labels)
    pixels = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 4, 4)
    return Samples(tuple(f"x/{row}" for row in range(count)), pixels, torch.tensor(labels), names, **others)


def test_a_class_that_the_network_lacks_becomes_unknown_and_votes_move_along():
    some = faces([1, 0], ("fear", "joy"), votes=torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    moved = labelled_as(some, ("happiness", "anger", "sadness"))
    assert moved.labels.tolist() == [0, -1]
    assert moved.votes.tolist() == [[0.75, 0, 0], [0, 0, 0]]
    says = "The classes asked for are cat, dog; the dataset holds fear, joy: no class in common.$"
    with pytest.raises(DataError, match=says):
        labelled_as(some, ("cat", "dog"))


@pytest.mark.parametrize("names", [("positive", "negative"), ("Negative", "Positive")])
def test_classes_of_a_view_say_which_it_is(names):
    says = r"no class in common. They are those of the view polarity: read the dataset with \?classes=polarity"
    with pytest.raises(DataError, match=says):
        labelled_as(faces([1, 0], ("fear", "joy")), names)
    with pytest.raises(DataError, match="no class in common.$"):
        labelled_as(faces([1, 0], ("cat", "dog")), names)


def test_pictures_without_class_folders_take_any_classes():
    assert labelled_as(faces([-1, -1], ()), SEVEN).class_names == SEVEN
    assert viewed(faces([-1, -1], ()), "six").labels.tolist() == [-1, -1]


def test_six_classes_leave_neutral_out():
    seen = viewed(faces([0, 6, 3, 6, -1]), "six")
    assert seen.class_names == ("happiness", "surprise", "sadness", "anger", "disgust", "fear")
    assert seen.ids == ("x/0", "x/2", "x/4")
    assert seen.labels.tolist() == [3, 0, -1]
    assert seen.pixels[:, 0, 0, 0].tolist() == [0, 2, 4]
    assert seen.dropped == {"neutral: not one of the classes asked for": 2}


def test_polarity_puts_classes_together():
    seen = viewed(faces(list(range(7)), dropped={"blank": 3}), "polarity")
    assert seen.class_names == ("positive", "negative")
    assert [seen.class_names[label] for label in seen.labels] == ["negative"] * 3 + ["positive", "negative"] + [
        "positive"
    ] * 2
    assert seen.dropped == {"blank": 3}


def test_votes_are_added_up_and_scaled():
    votes = torch.tensor([[0.5, 0.0, 0.2, 0.0, 0.0, 0.0, 0.3], [0.0, 0.0, 0.0, 0.6, 0.2, 0.2, 0.0]])
    some = faces([0, 3], votes=votes)
    assert viewed(some, "polarity").votes.tolist() == [pytest.approx([0.3, 0.7]), pytest.approx([0.8, 0.2])]
    six = viewed(some, "six").votes
    assert six[0].tolist() == pytest.approx([0, 0, 0, 0.5 / 0.7, 0, 0.2 / 0.7])


def test_planted_truth_moves_along():
    truth = {"label": torch.tensor([3, 6]), "watermark": torch.tensor([True, False])}
    seen = viewed(faces([0, 3], truth=truth), "six")
    assert seen.truth["label"].tolist() == [0, -1]
    assert seen.truth["watermark"].tolist() == [True, False]


@pytest.mark.parametrize("classes", ["sad,Angry", ["sad", "Angry"], ("sadness", "anger")])
def test_named_classes_keep_their_order(classes):
    seen = viewed(faces([0, 4, 2]), classes)
    assert seen.class_names == names_in_view(classes) == ("sadness", "anger")
    assert seen.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("classes", "kind", "says"),
    [
        ("sevn", UnknownNameError, "No view of the classes is called 'sevn'. Did you mean 'seven'"),
        ("anger,hapiness", DataError, "No class is called 'hapiness'. Did you mean 'happiness'"),
        ("happy,joy", DataError, "Classes are named once each, not happy, joy"),
        (
            "contempt,neutral",
            DataError,
            "None of the classes contempt, neutral is among these samples; they show anger",
        ),
    ],
)
def test_views_that_make_no_sense(classes, kind, says):
    with pytest.raises(kind, match=says):
        viewed(faces([0, 3]), classes)


def test_classes_of_any_folder_can_be_chosen():
    pets = faces([0, 1, 2], ("Cat", "Dog", "Happy"))
    seen = viewed(pets, "dog,cat")
    assert seen.labels.tolist() == [1, 0]
    assert seen.dropped == {"Happy: not one of the classes asked for": 1}
