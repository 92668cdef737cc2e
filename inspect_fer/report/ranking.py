"""How well each class's probability ranks the faces: ROC and precision over recall, one class against the rest."""

from dataclasses import dataclass

import numpy as np

from inspect_fer.schema import Prediction

POINTS = 200
"""So many points of a curve are kept at most."""
FALSE_ALARMS = (0.01, 0.05, 0.1, 0.2)
FOUND = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Ranking:
    """Curves of one class and the areas below them; share: of the labelled faces that are of this class."""

    false_alarms: np.ndarray
    found: np.ndarray
    auc: float
    recall: np.ndarray
    precision: np.ndarray
    average_precision: float
    share: float

    def found_at(self, false_alarms: float) -> float:
        """Share of the class that is found when so large a share of the others is taken for it."""
        return float(np.interp(false_alarms, self.false_alarms, self.found))

    def precision_at(self, recall: float) -> float:
        """Best precision at which at least this share of the class is found."""
        return float(self.precision[self.recall >= recall].max())


def rankings(prediction: Prediction) -> dict[str, Ranking]:
    """By class name; left out are classes that no labelled face or every labelled face belongs to."""
    known = prediction.labels >= 0
    labels, probabilities = prediction.labels[known].numpy(), prediction.probabilities[known].numpy()
    found = {}
    for number, name in enumerate(prediction.class_names):
        truth = labels == number
        if 0 < truth.sum() < len(truth):
            found[name] = _ranking(truth, probabilities[:, number])
    return found


def _ranking(truth: np.ndarray, score: np.ndarray) -> Ranking:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    false_alarms, found, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    return Ranking(
        *_thinned(false_alarms, found),
        float(roc_auc_score(truth, score)),
        *_thinned(recall, precision),
        float(average_precision_score(truth, score)),
        float(truth.mean()),
    )


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same curve with fewer points, evenly spaced along its length."""
    if len(x) <= POINTS:
        return x, y
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], POINTS)).clip(max=len(x) - 1))
    return x[kept], y[kept]
