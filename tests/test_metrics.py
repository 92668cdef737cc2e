import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics
from torch.testing import assert_close

from inspect_fer.audit import read_table
from inspect_fer.errors import DataError
from inspect_fer.metrics import (
    accuracy,
    averages,
    balanced_accuracy,
    calibration,
    confusion,
    evaluate,
    majority,
    per_class,
    set_matrices,
    top_k,
)
from inspect_fer.schema import Prediction

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
MEASURES = ("precision", "recall", "f1")


def matrix_of(name):
    """The counts of a published table, tests/published/NAME.csv."""
    return read_table(Path(__file__).parent / "published" / f"{name}.csv").matrix


# Source report 000, FER2013 PrivateTest, order of NAMES: accuracy, macro and weighted P/R/F1 as printed.
SOURCE_000 = {
    "lenet": (54.09, (0.50, 0.47, 0.47), (0.52, 0.54, 0.52)),
    "resnet18": (67.04, (0.68, 0.66, 0.67), (0.68, 0.67, 0.67)),
    "resnet34": (67.74, (0.68, 0.65, 0.66), (0.68, 0.68, 0.67)),
    "mobilenetv2": (59.51, (0.57, 0.58, 0.57), (0.59, 0.60, 0.59)),
}
PER_CLASS_RESNET18 = {  # anger .58/.61/.59 and so on, with supports
    "precision": (0.58, 0.78, 0.51, 0.89, 0.52, 0.83, 0.64),
    "recall": (0.61, 0.65, 0.57, 0.85, 0.54, 0.76, 0.62),
    "f1": (0.59, 0.71, 0.54, 0.87, 0.53, 0.79, 0.63),
    "support": (489, 55, 527, 876, 589, 414, 624),
}
# The same report on FER+, sets of classes in the order of FER+.
SOURCE_000_SETS = {
    "resnet18": {"micro": (0.68, 0.87, 0.77), "macro": (0.54, 0.69, 0.60), "weighted": (0.71, 0.87, 0.77)},
    "lenet": {"micro": (0.66, 0.62, 0.64), "macro": (0.48, 0.34, 0.35), "weighted": (0.64, 0.62, 0.61)},
}
# Source report 003 (RAF-DB test and its validation set), happiness surprise sadness anger disgust fear.
SOURCE_003 = [("rafdb", 83.79, 76.26, 0.744), ("validation", 77.17, 77.17, None)]
# Source report 004, FER2013 PublicTest, order of NAMES: accuracy, macro recall, precision, F1.
SOURCE_004 = [
    ("model1", (0.4720, 0.3993, 0.4658, 0.4023)),
    ("model2", (0.5124, 0.4586, 0.5030, 0.4691)),
    ("model3", (0.4439, 0.3612, 0.3553, 0.3443)),
]


def values(scores):
    return tuple(scores[name] for name in MEASURES)


@pytest.mark.parametrize("name", SOURCE_000)
def test_source_000_on_fer2013(name):
    matrix, (percent, macro, weighted) = matrix_of(f"000_{name}_matrix"), SOURCE_000[name]
    assert round(100 * accuracy(matrix), 2) == percent
    assert values(averages(matrix)["macro"]) == pytest.approx(macro, abs=0.0051)
    assert values(averages(matrix)["weighted"]) == pytest.approx(weighted, abs=0.0051)
    assert values(averages(matrix)["micro"]) == pytest.approx([accuracy(matrix)] * 3)


@pytest.mark.parametrize("measure", PER_CLASS_RESNET18)
def test_source_000_class_by_class(measure):
    found = getattr(per_class(matrix_of("000_resnet18_matrix")), measure)
    assert found.tolist() == pytest.approx(PER_CLASS_RESNET18[measure], abs=0.0051)


@pytest.mark.parametrize("network", SOURCE_000_SETS)
def test_source_000_on_sets(network):
    found = averages(matrix_of(f"000_{network}_ferplus_sets"))
    for name, expected in SOURCE_000_SETS[network].items():
        assert values(found[name]) == pytest.approx(expected, abs=0.0051), name


@pytest.mark.parametrize(("name", "percent", "mean_recall", "macro_f1"), SOURCE_003)
def test_source_003(name, percent, mean_recall, macro_f1):
    matrix = matrix_of(f"003_{name}_matrix")
    assert round(100 * accuracy(matrix), 2) == percent
    assert round(100 * balanced_accuracy(matrix), 2) == mean_recall
    if macro_f1:
        assert round(averages(matrix)["macro"]["f1"], 3) == macro_f1


@pytest.mark.parametrize(("name", "printed"), SOURCE_004)
def test_source_004(name, printed):
    matrix = matrix_of(f"004_{name}_matrix")
    macro = averages(matrix)["macro"]
    found = (accuracy(matrix), macro["recall"], macro["precision"], macro["f1"])
    assert tuple(round(value, 4) for value in found) == printed


def test_source_004_baseline():
    found = majority(matrix_of("004_model1_matrix"), NAMES)
    assert found["class"] == "happiness"
    assert round(found["accuracy"], 3) == 0.249  # 895 of 3589; printed as .24
    assert found["balanced_accuracy"] == pytest.approx(1 / 7)
    assert found["macro_f1"] == pytest.approx(0.057, abs=0.001)


pairs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, n, elements=st.integers(-1, 4)), arrays(np.int64, n, elements=st.integers(0, 4))
    )
)


@settings(deadline=None)
@given(pairs)
def test_equals_scikit_learn(pair):
    labels, predicted = map(torch.from_numpy, pair)
    known = labels >= 0
    matrix = confusion(labels, predicted, 5)
    assert matrix.tolist() == (
        sklearn_metrics.confusion_matrix(labels[known], predicted[known], labels=range(5)).tolist()
        if known.any()
        else [[0] * 5] * 5
    )
    if not known.any():
        return
    pair = labels[known].numpy(), predicted[known].numpy()
    options = {"labels": range(5), "zero_division": 0}
    scores = per_class(matrix)
    expected = sklearn_metrics.precision_recall_fscore_support(*pair, **options)
    for name, column in zip((*MEASURES, "support"), expected, strict=True):
        np.testing.assert_allclose(getattr(scores, name), column, err_msg=name)
    for name, found in averages(matrix).items():
        expected = sklearn_metrics.precision_recall_fscore_support(*pair, average=name, **options)[:3]
        assert values(found) == pytest.approx(expected), name
    recalls = sklearn_metrics.recall_score(*pair, average=None, labels=sorted(set(pair[0].tolist())), zero_division=0)
    assert balanced_accuracy(matrix) == pytest.approx(recalls.mean())


@settings(deadline=None)
@given(arrays(np.int64, (5, 5), elements=st.integers(0, 50)), st.permutations(range(5)))
def test_averages_are_bounded_and_blind_to_the_order_of_classes(counts, order):
    matrix = torch.from_numpy(counts)
    found = averages(matrix)
    scores = per_class(matrix)
    for name in MEASURES:
        column = getattr(scores, name)
        assert column.min() - 1e-12 <= found["macro"][name] <= column.max() + 1e-12
        assert 0 <= found["weighted"][name] <= 1 + 1e-12
    shuffled = averages(matrix[order][:, order])
    for name, row in found.items():
        assert values(shuffled[name]) == pytest.approx(values(row)), name


def prediction(logits, labels, **options):
    ids = tuple(f"face/{row}" for row in range(len(labels)))
    names = NAMES[: logits.shape[1]]
    return Prediction(ids, logits, torch.as_tensor(labels), class_names=names, **options)


def random_prediction(n=60, **options):
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(-1, 7, (n,), generator=generator)
    return prediction(torch.randn(n, 7, generator=generator), labels, **options)


def test_top_k_by_hand():
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert top_k(logits, torch.tensor([0, 1, 2, -1]), k=1) == pytest.approx(1 / 3)
    assert top_k(logits, torch.tensor([0, 1, 2, -1]), k=2) == pytest.approx(2 / 3)
    assert top_k(logits, torch.tensor([0, 1, 2, -1]), k=9) == 1


def calibration_by_hand(probabilities, labels, bins):
    """Eq. 3 of arXiv:1706.04599, bin by bin."""
    total, error = len(labels), 0.0
    for m in range(1, bins + 1):
        inside = [i for i in range(total) if (m - 1) / bins < max(probabilities[i]) <= m / bins]
        if inside:
            acc = sum(int(np.argmax(probabilities[i]) == labels[i]) for i in inside) / len(inside)
            conf = sum(max(probabilities[i]) for i in inside) / len(inside)
            error += len(inside) / total * abs(acc - conf)
    return error


def test_calibration_matches_the_paper_bin_by_bin():
    generator = torch.Generator().manual_seed(1)
    probabilities = (2 * torch.randn(200, 4, generator=generator, dtype=torch.float64)).softmax(1)
    labels = torch.randint(0, 4, (200,), generator=generator)
    curve = calibration(probabilities, labels, bins=15)
    assert curve.ece == pytest.approx(calibration_by_hand(probabilities.tolist(), labels.tolist(), 15))
    assert int(curve.count.sum()) == 200
    assert curve.edges.shape == (16,)


def test_answers_that_are_certain_and_right_are_calibrated():
    labels = torch.tensor([0, 1, 2])
    curve = calibration(torch.eye(3), labels)
    assert curve.ece == 0
    assert curve.count.tolist() == [0] * 14 + [3]


def test_evaluate_is_json_and_agrees_with_its_parts():
    answer = random_prediction()
    scores = json.loads(json.dumps(evaluate(answer), allow_nan=False))
    known = answer.labels >= 0
    assert scores["n"] + scores["unlabelled"] == len(answer)
    assert scores["n"] == int(known.sum())
    assert scores["accuracy"] == pytest.approx((~answer.wrong[known]).double().mean().item())
    assert list(scores["per_class"]) == list(NAMES)
    assert sum(row["support"] for row in scores["per_class"].values()) == scores["n"]
    assert sum(map(sum, scores["confusion"])) == scores["n"]
    assert "sets" not in scores


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("n", [0, 4])
def test_without_labels_there_is_no_score(n, output):
    scores = evaluate(prediction(torch.zeros(n, 7), torch.full((n,), -1), output=output))
    json.dumps(scores, allow_nan=False)
    assert (scores["n"], scores["unlabelled"]) == (0, n)
    for name in ("accuracy", "balanced_accuracy", "top2", "ece"):
        assert scores[name] is None, name
    assert scores["baseline"]["class"] is None
    assert scores["averages"]["macro"]["f1"] is None
    assert scores["per_class"]["anger"]["precision"] is None


def test_sets_equal_scikit_learn():
    answer = random_prediction(output="sigmoid", threshold=0.4)
    truth = torch.rand(len(answer), 7, generator=torch.Generator().manual_seed(0)) > 0.7
    pair = truth.numpy(), (answer.probabilities > 0.4).numpy()
    found = evaluate(answer, truth)["sets"]
    assert found["n"] == len(answer)
    assert found["exact_set"] == pytest.approx(sklearn_metrics.accuracy_score(*pair))
    for name, row in found["averages"].items():
        expected = sklearn_metrics.precision_recall_fscore_support(*pair, average=name, zero_division=0)[:3]
        assert values(row) == pytest.approx(expected), name
    assert set(found["averages"]) == {"macro", "micro", "weighted", "samples"}
    expected = sklearn_metrics.precision_recall_fscore_support(*pair, zero_division=0)
    assert [row["f1"] for row in found["per_class"].values()] == pytest.approx(expected[2].tolist())


def test_set_matrices_by_hand():
    truth = torch.tensor([[1, 0], [1, 1], [0, 0]]).bool()
    predicted = torch.tensor([[1, 1], [0, 1], [0, 0]]).bool()
    assert set_matrices(truth, predicted).tolist() == [[[1, 0], [1, 1]], [[1, 1], [0, 1]]]


def test_sets_take_the_label_alone_by_default():
    logits = torch.tensor([[9.0, -9, -9], [9, 9, -9], [-9, -9, -9]])
    found = evaluate(prediction(logits, [0, 0, -1], output="sigmoid"))["sets"]
    assert (found["n"], found["exact_set"]) == (2, 0.5)
    assert found["matrices"]["disgust"] == [[1, 1], [0, 0]]


def test_answers_that_are_not_numbers_are_named():
    logits = torch.zeros(3, 7)
    logits[1, 2] = math.nan
    with pytest.raises(DataError, match="1 of 3 samples, the first is face/1"):
        evaluate(prediction(logits, [0, 1, 2]))


def test_true_sets_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"must be \(3, 7\)"):
        evaluate(prediction(torch.zeros(3, 7), [0, 1, 2], output="sigmoid"), torch.zeros(3, 4))


def test_confusion_leaves_unknown_labels_out():
    found = confusion(torch.tensor([0, -1, 1]), torch.tensor([1, 1, 1]), 2)
    assert_close(found, torch.tensor([[0, 1], [0, 1]]))
