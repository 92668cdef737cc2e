"""Scores of predictions: pure functions of tensors, most of them of a published confusion matrix alone.

Letters: N samples, K classes. Rows of a confusion matrix are true classes, columns are predicted ones.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import DataError
from inspect_fer.schema import Prediction

MEASURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class ClassScores:
    """Per class (K,): right answers, times predicted and times true; every score follows, 0 where undefined."""

    hits: Tensor
    predicted: Tensor
    support: Tensor

    @property
    def precision(self) -> Tensor:
        """(K,) share of a class's predictions that are right."""
        return _ratio(self.hits, self.predicted)

    @property
    def recall(self) -> Tensor:
        """(K,) share of a class's samples that are found."""
        return _ratio(self.hits, self.support)

    @property
    def f1(self) -> Tensor:
        """(K,) harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.hits, self.predicted + self.support)

    def total(self) -> "ClassScores":
        """All classes counted as one: the micro average."""
        return ClassScores(*(counts.sum().view(1) for counts in (self.hits, self.predicted, self.support)))


@dataclass(frozen=True)
class Calibration:
    """How far confidence tells the truth, in equal bins (low, high]; confidence and accuracy are NaN in empty bins.

    ece: expected calibration error, sum over bins of count / N * |accuracy - confidence|; NaN without samples
    edges (bins + 1,); confidence, accuracy (bins,) means of the bin; count (bins,) int64
    """

    ece: float
    edges: Tensor
    confidence: Tensor
    accuracy: Tensor
    count: Tensor


def confusion(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Count pairs: labels, predicted (N,) -> (K, K) int64. Unknown labels (-1) are left out."""
    known = labels >= 0
    pairs = labels[known].long() * classes + predicted[known].long()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def set_matrices(truth: Tensor, predicted: Tensor) -> Tensor:
    """Per-class tables of sets: truth, predicted (N, K) bool -> (K, 2, 2) int64, each [[TN, FP], [FN, TP]]."""
    from sklearn.metrics import multilabel_confusion_matrix

    return torch.from_numpy(multilabel_confusion_matrix(truth.cpu().numpy(), predicted.cpu().numpy()))


def per_class(matrix: Tensor) -> ClassScores:
    """Scores of each class from a confusion matrix (K, K) or from per-class tables [[TN, FP], [FN, TP]] (K, 2, 2)."""
    if matrix.ndim == 3:
        return ClassScores(hits=matrix[:, 1, 1], predicted=matrix[:, :, 1].sum(1), support=matrix[:, 1].sum(1))
    return ClassScores(hits=matrix.diagonal(), predicted=matrix.sum(0), support=matrix.sum(1))


def averages(matrix: Tensor) -> dict[str, dict[str, float]]:
    """Average the scores of `per_class(matrix)` over classes: macro, micro and weighted by support.

    A class without samples or predictions enters the macro average as 0, as in scikit-learn when all labels are named.
    """
    scores = per_class(matrix)
    total, weights = scores.total(), _ratio(scores.support, scores.support.sum())
    return {
        "macro": {name: float(getattr(scores, name).mean()) for name in MEASURES},
        "micro": {name: float(getattr(total, name)) for name in MEASURES},
        "weighted": {name: float((getattr(scores, name) * weights).sum()) for name in MEASURES},
    }


def accuracy(matrix: Tensor) -> float:
    """Share of right answers in a confusion matrix; NaN when it is empty."""
    return float(matrix.diagonal().sum().double() / matrix.sum())


def balanced_accuracy(matrix: Tensor) -> float:
    """Mean recall over the classes that have samples; NaN when it is empty."""
    scores = per_class(matrix)
    return float(scores.recall[scores.support > 0].mean())


def top_k(probabilities: Tensor, labels: Tensor, k: int = 2) -> float:
    """Share of samples whose label is among the k most probable classes; unknown labels are left out, NaN without any.

    probabilities or logits (N, K), labels (N,).
    """
    known = labels >= 0
    best = probabilities[known].topk(min(k, probabilities.shape[1]), dim=1).indices
    return float((best == labels[known, None]).any(dim=1).double().mean())


def calibration(probabilities: Tensor, labels: Tensor, bins: int = 15) -> Calibration:
    """Reliability curve and expected calibration error (Guo et al., ICML 2017, arXiv:1706.04599, eq. 3).

    probabilities (N, K), labels (N,); unknown labels are left out.
    """
    known = labels >= 0
    confidence, predicted = probabilities[known].double().max(dim=1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    place = torch.bucketize(confidence, edges[1:-1])
    count = torch.bincount(place, minlength=bins)
    right = (predicted == labels[known]).double()
    mean_confidence = torch.bincount(place, confidence, minlength=bins) / count
    mean_accuracy = torch.bincount(place, right, minlength=bins) / count
    gaps = (mean_accuracy - mean_confidence).abs().nan_to_num()
    ece = float((gaps * count).sum() / count.sum())
    return Calibration(ece, edges, mean_confidence, mean_accuracy, count)


def majority(matrix: Tensor, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Scores of always answering with the most frequent class of a confusion matrix's labels."""
    support = matrix.sum(1)
    answers = torch.zeros_like(matrix)
    answers[:, support.argmax()] = support
    known = bool(support.sum())
    return {
        "class": class_names[int(support.argmax())] if known else None,
        "accuracy": _plain(accuracy(answers)),
        "balanced_accuracy": _plain(balanced_accuracy(answers)),
        "macro_f1": averages(answers)["macro"]["f1"] if known else None,
    }


def evaluate(prediction: Prediction, truth: Tensor | None = None) -> dict[str, Any]:
    """Every score of a prediction, as plain values for JSON; scores without a labelled sample are None.

    For networks with sigmoid outputs "sets" judges the classes above the threshold against truth (N, K) bool, by
    default the label alone (rows without label left out); all else judges the most probable class.
    Raises DataError for logits that are not finite or a truth of another shape.
    """
    _check(prediction, truth)
    labels, classes = prediction.labels, len(prediction.class_names)
    matrix = confusion(labels, prediction.predicted, classes)
    curve = calibration(prediction.probabilities, labels)
    scores = {
        "n": int(matrix.sum()),
        "unlabelled": int((labels < 0).sum()),
        "accuracy": _plain(accuracy(matrix)),
        "balanced_accuracy": _plain(balanced_accuracy(matrix)),
        "top2": _plain(top_k(prediction.logits, labels, 2)),
        "ece": _plain(curve.ece),
        "reliability": {
            name: [_plain(value) for value in getattr(curve, name).tolist()]
            for name in ("edges", "confidence", "accuracy", "count")
        },
        **_by_class(matrix, prediction.class_names),
        "confusion": matrix.tolist(),
        "baseline": majority(matrix, prediction.class_names),
    }
    return {**scores, "sets": _sets(prediction, truth)} if prediction.output == "sigmoid" else scores


def _sets(prediction: Prediction, truth: Tensor | None) -> dict[str, Any]:
    """Scores of the predicted sets, the classes whose probability lies above the threshold."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    rows = slice(None) if truth is not None else prediction.labels >= 0
    if truth is None:
        truth = F.one_hot(prediction.labels[rows], len(prediction.class_names))
    truth = truth.bool()
    if not len(truth):
        return {"n": 0, "exact_set": None}
    predicted = prediction.probabilities[rows] > prediction.threshold
    matrices = set_matrices(truth, predicted)
    found = _by_class(matrices, prediction.class_names)
    pair = truth.numpy(), predicted.numpy()
    samples = precision_recall_fscore_support(*pair, average="samples", zero_division=0.0)
    found["averages"]["samples"] = dict(zip(MEASURES, map(float, samples), strict=False))
    tables = dict(zip(prediction.class_names, matrices.tolist(), strict=True))
    return {"n": len(truth), "exact_set": float(accuracy_score(*pair)), **found, "matrices": tables}


def _by_class(matrix: Tensor, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Per-class scores by name and their averages; None where nothing is labelled."""
    scores = per_class(matrix)
    if not scores.support.sum() and matrix.ndim == 2:
        empty = {name: dict.fromkeys(MEASURES) for name in ("macro", "micro", "weighted")}
        return {
            "per_class": {name: {**dict.fromkeys(MEASURES), "support": 0} for name in class_names},
            "averages": empty,
        }
    columns = {name: getattr(scores, name).tolist() for name in (*MEASURES, "support")}
    rows = {name: {key: values[row] for key, values in columns.items()} for row, name in enumerate(class_names)}
    return {"per_class": rows, "averages": averages(matrix)}


def _check(prediction: Prediction, truth: Tensor | None) -> None:
    finite = prediction.logits.isfinite().all(dim=1)
    if not finite.all():
        first = prediction.ids[int((~finite).nonzero()[0])]
        count = int((~finite).sum())
        raise DataError(
            f"The network's answer is not a number for {count} of {len(finite)} samples, the first is {first}. "
            "Look at the weights and the input: a diverged training or an infinite pixel does this."
        )
    if truth is not None and truth.shape != prediction.logits.shape:
        wanted, given = tuple(prediction.logits.shape), tuple(truth.shape)
        raise DataError(f"True sets must be {wanted}, one row a sample and one column a class, not {given}.")


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide as float64, 0 where there is nothing to divide by."""
    return part.double() / whole.clamp(min=1)


def _plain(value: float) -> float | None:
    """None for what is not a number, which JSON cannot hold."""
    return None if math.isnan(value) else value
