"""Which classes are explained."""

import numpy as np
import pytest
import torch

from inspect_fer.errors import TargetError
from inspect_fer.explain import explain
from inspect_fer.schema import Samples
from inspect_fer.targets import resolve_targets

LABELS = torch.tensor([2, 0, 4])


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("label", [[2], [0], [4]]),
        ("all", [[0, 1, 2, 3, 4]] * 3),
        (3, [[3]] * 3),
        (np.int64(3), [[3]] * 3),
        (torch.tensor(3), [[3]] * 3),
        ([1, 2, 3], [[1], [2], [3]]),
        ((1, 2, 3), [[1], [2], [3]]),
        (torch.tensor([1, 2, 3], dtype=torch.uint8), [[1], [2], [3]]),
        (np.array([1, 2, 3]), [[1], [2], [3]]),
        (torch.tensor([[1, 2], [3, 4], [0, 0]]), [[1, 2], [3, 4], [0, 0]]),
        ([[1, 2], [3, 4], [0, 0]], [[1, 2], [3, 4], [0, 0]]),
    ],
)
def test_every_way_to_say_it(targets, expected):
    found = resolve_targets(targets, LABELS, 5)
    assert found.tolist() == expected
    assert found.dtype == torch.int64


def test_predicted_waits_for_the_logits(tiny_model, images):
    assert resolve_targets("predicted", LABELS, 5) is None
    expected = tiny_model.network(images).argmax(1, keepdim=True)
    for methods in ("grad-cam", "occlusion"):
        assert explain(tiny_model, images, methods).targets.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ("predict", "Did you mean 'predicted'"),
        (5, "no class 5: the 5 classes are 0 to 4"),
        (-1, "no class -1"),
        ([0, 1, 5], "no class 5"),
        ([0, 1], "3 images need 3 targets.* not 2"),
        ([0, 1, 2, 3], "not 4"),
        (torch.zeros(2, 3, dtype=torch.int64), "not 2 x 3"),
        (torch.zeros(3, 0, dtype=torch.int64), "not 3 x 0"),
        (torch.zeros(3, 1, 1, dtype=torch.int64), "not 3 x 1 x 1"),
        (torch.zeros(3, 0), r"not 3 x 0\. Give 'predicted'"),
        (True, r"yes and no \(torch.bool\)"),
        (False, r"yes and no \(torch.bool\)"),
        (1.0, r"broken numbers \(torch.float32\)\. Give 'predicted', .* by name or by id \(0 to 4\)"),
        ([0.0, 1.0, 2.0], "torch.float32"),
        ([True, False, True], "torch.bool"),
        ([], "3 images need 3 targets.* not none"),
        ([[], [], []], "not 3 x 0"),
        (None, r"Targets are classes, as many for each image, not None\. Give 'predicted', 'label', 'all'"),
        ([0, None, 1], r"not \[0, None, 1\]\. Give"),
        ([[0, 1], [2]], r"as many for each image, not \[\[0, 1\], \[2\]\]\. Give"),
        (np.array([["a"] * 200] * 3), "as many for each image, not "),
        (["anger", "sorrow", 1], "No class is called 'sorrow'.*Choose from: anger, fear, happiness"),
    ],
)
def test_what_does_not_fit_is_one_line(targets, reason):
    with pytest.raises(TargetError, match=reason) as problem:
        resolve_targets(targets, LABELS, 5, ("anger", "fear", "happiness", "surprise", "neutral"))
    assert "\n" not in str(problem.value)
    assert "could not" not in str(problem.value).lower()
    assert len(str(problem.value)) < 400


def test_unknown_labels_cannot_be_explained(tiny_model, images):
    with pytest.raises(TargetError, match="4 of 4 images have no label"):
        explain(tiny_model, images, "grad-cam", targets="label")
    with pytest.raises(TargetError, match="1 of 3"):
        resolve_targets("label", torch.tensor([0, -1, 1]), 5)


def test_labels_are_numbered_by_the_network(tiny_model):
    pixels = torch.zeros(2, 1, 12, 12, dtype=torch.uint8)
    faces = Samples(("a", "b"), pixels, torch.tensor([0, 1]), ("happiness", "anger"))
    assert explain(tiny_model, faces, "grad-cam", targets="label").targets.tolist() == [[2], [0]]


def test_a_class_may_be_named(tiny_model, images):
    names = tiny_model.card.class_names
    assert explain(tiny_model, images, "grad-cam", targets=names[3]).targets.tolist() == [[3]] * 4
    assert resolve_targets("Happy", LABELS, 3, ("anger", "fear", "happiness")).tolist() == [[2]] * 3
    assert resolve_targets("all", LABELS, 2, ("fear", "all")).tolist() == [[0, 1]] * 3
    assert resolve_targets(["Happy", 0, "fear"], LABELS, 3, ("anger", "fear", "happiness")).tolist() == [[2], [0], [1]]
    assert explain(tiny_model, images, "grad-cam", targets=["anger"] * 4).targets.tolist() == [[0]] * 4
    assert explain(tiny_model, images, "grad-cam", targets=[["anger", "fear"]] * 4).targets.tolist() == [[0, 1]] * 4
    with pytest.raises(TargetError, match=f"Did you mean '{names[3]}'"):
        explain(tiny_model, images, "grad-cam", targets=names[3][:-1])
