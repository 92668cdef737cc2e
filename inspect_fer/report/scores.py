"""Tables of a report's scores."""

from collections.abc import Mapping
from typing import Any

from inspect_fer.render import shares
from inspect_fer.render.figures import By
from inspect_fer.report.material import Report
from inspect_fer.report.ranking import FALSE_ALARMS, FOUND
from inspect_fer.report.shown import confusions

SCORES = {
    "Accuracy": ("accuracy",),
    "Balanced accuracy": ("balanced_accuracy",),
    "Macro F1": ("averages", "macro", "f1"),
    "Macro precision": ("averages", "macro", "precision"),
    "Macro recall": ("averages", "macro", "recall"),
    "Weighted F1": ("averages", "weighted", "f1"),
    "Label among the best two": ("top2",),
    "Calibration error (ECE)": ("ece",),
}
BASELINE = {"Accuracy": "accuracy", "Balanced accuracy": "balanced_accuracy", "Macro F1": "macro_f1"}
"""What is known of the majority class, and has an interval, under these names."""
SET_SCORES = {
    "Exact set": ("exact_set",),
    "Macro F1 of sets": ("averages", "macro", "f1"),
    "Micro F1 of sets": ("averages", "micro", "f1"),
    "Mean F1 of a face's set": ("averages", "samples", "f1"),
}

ScoreRow = tuple[str, float | None, float | None, tuple[float, float] | None]
"""Name, value, what always answering the majority class gets, 95 % interval."""
ABSOLUTE = ("error", "ece", "loss")
"""Scores that are no share of anything."""
CELLS: tuple[By, ...] = ("count", "row", "column")


def in_words(value: float | None, name: str = "", digits: int = 1) -> str:
    """A score as text: in percent, but for calibration errors and losses."""
    if value is None:
        return "none"
    return f"{value:.3f}" if any(word in name.lower() for word in ABSOLUTE) else f"{100 * value:.{digits}f} %"


def score_rows(report: Report) -> list[ScoreRow]:
    """Every score of the whole set."""
    scores, sets = report.scores, report.scores.get("sets", {})
    rows = [
        (
            name,
            _at(scores, path),
            scores["baseline"].get(BASELINE.get(name, "")),
            report.intervals.get(BASELINE.get(name, "")),
        )
        for name, path in SCORES.items()
    ]
    return rows + ([(name, _at(sets, path), None, None) for name, path in SET_SCORES.items()] if sets.get("n") else [])


def tables(report: Report) -> dict[str, Any]:
    """What the pages show of the scores."""
    scores = report.scores
    curve, sets = scores["reliability"], scores.get("sets", {})
    columns = [curve[name] for name in ("confidence", "accuracy", "count")]
    return {
        "scores": scores,
        "score_rows": score_rows(report),
        "per_class": {name: (row, _intervals(report, name)) for name, row in scores["per_class"].items()},
        "matrix": (cells := matrix(report)),
        "confusions": confusions(cells),
        "sets": sets.get("matrices", {}),
        "threshold": report.prediction.threshold,
        "bins": [line for line in zip(curve["edges"], curve["edges"][1:], *columns, strict=False) if line[-1]],
        "ranking": report.ranking,
        "roc_rows": {name: [one.found_at(x) for x in FALSE_ALARMS] for name, one in report.ranking.items()},
        "precision_rows": {name: [one.precision_at(x) for x in FOUND] for name, one in report.ranking.items()},
        "false_alarms": FALSE_ALARMS,
        "found": FOUND,
    }


def matrix(report: Report) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of the confusion matrix: the given class and its cells, with counts and shares."""
    counts = report.scores["confusion"]
    levels = {by: shares(counts, by).tolist() for by in CELLS}
    return [
        (
            name,
            [
                {"answer": answer, "at": (row, column), "n": counts[row][column]}
                | {by: levels[by][row][column] for by in CELLS}
                for column, answer in enumerate(report.names)
            ],
        )
        for row, name in enumerate(report.names)
    ]


def _intervals(report: Report, name: str) -> Mapping[str, tuple[float, float]]:
    return dict(report.intervals.get("per_class", {}).get(name, {}))


def _at(scores: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = scores
    for name in path:
        found = found.get(name, {})
    return None if found == {} else found
