"""The rules of DISFA's table 6, each as the page that lists them says, against a slow twin."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inspect_fer.datasets.action_units import UNITS, emotions_of
from inspect_fer.emotions import EMOTIONS

NAMES = EMOTIONS["disfa"]


def by_hand(intensities, threshold):
    """The rules as sentences, one frame at a time."""
    shown = {unit for unit, intensity in intensities.items() if intensity >= threshold}
    brows = shown & {1, 2, 4}
    found = {}
    if 12 in shown:
        found["happiness"] = 2 if 6 in shown else 1
    if brows == {1, 2} and (26 in shown or intensities[5] in (1, 2)):
        found["surprise"] = 3
    if 9 in shown:
        found["disgust"] = 1
    if brows in ({1}, {1, 4}):
        found["sadness"] = len(brows)
    if brows == {1, 2, 4}:
        found["fear"] = 3
    elif 20 in shown:
        found["fear"] = 1
    best = [emotion for emotion, units in found.items() if units == max(found.values())]
    return NAMES.index(best[0]) if len(best) == 1 else -1


@given(
    rows=st.lists(st.lists(st.integers(0, 5), min_size=12, max_size=12), min_size=1, max_size=20),
    threshold=st.integers(1, 5),
)
def test_the_rules_are_those_written_out(rows, threshold):
    expected = [by_hand(dict(zip(UNITS, row, strict=True)), threshold) for row in rows]
    assert emotions_of(torch.tensor(rows), threshold=threshold).tolist() == expected


def emotion(**intensities):
    row = [intensities.get(f"au{unit}", 0) for unit in UNITS]
    label = int(emotions_of(torch.tensor([row])))
    return NAMES[label] if label >= 0 else None


@pytest.mark.parametrize(
    ("intensities", "shown"),
    [
        ({"au12": 2}, "happiness"),
        ({"au6": 3, "au12": 3, "au25": 5}, "happiness"),
        ({"au1": 2, "au2": 2, "au26": 2}, "surprise"),
        ({"au1": 3, "au2": 3, "au5": 1}, "surprise"),  # "5 (low)"
        ({"au9": 4}, "disgust"),
        ({"au1": 2}, "sadness"),
        ({"au1": 2, "au4": 4}, "sadness"),
        ({"au1": 2, "au2": 2, "au4": 2}, "fear"),
        ({"au20": 2}, "fear"),
        ({}, None),  # a face at rest is not coded as neutral
        ({"au12": 1}, None),  # below the threshold
        ({"au4": 5, "au17": 5}, None),  # anger cannot be derived
        ({"au1": 3, "au2": 3, "au5": 4}, None),  # raised brows, the lids not low: no rule
        ({"au9": 3, "au12": 3}, None),  # two emotions, one unit each
        ({"au9": 3, "au6": 3, "au12": 3}, "happiness"),  # the rule of more units
    ],
)
def test_examples(intensities, shown):
    assert emotion(**intensities) == shown


def test_no_frames():
    assert emotions_of(torch.empty(0, 12, dtype=torch.int64)).tolist() == []
