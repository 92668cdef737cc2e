"""The tables of a comparison, as the terminal, the page, JSON and CSV show them."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inspect_fer.report.compare import Comparison, Pair
from inspect_fer.statistics import Difference, Interval

SCORES = {
    "Accuracy": ("accuracy",),
    "Balanced accuracy": ("balanced_accuracy",),
    "Macro F1": ("averages", "macro", "f1"),
    "Top-2 accuracy": ("top2",),
    "Calibration error": ("ece",),
}
SHORT = {"Accuracy": "accuracy", "Balanced accuracy": "balanced_accuracy", "Macro F1": "macro_f1"}
"""What intervals and the majority baseline call them."""
LEAST = {"Calibration error"}
"""Scores of which the least is best."""
MINUS = "\u2212"
MEASURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Cell:
    """A score of a run: its interval where there is one, and whether it is the best of its row."""

    value: float | None
    interval: Interval | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A score of every run; always: what always answering with the commonest class gets; faces: labelled ones."""

    name: str
    cells: tuple[Cell, ...]
    always: float | None = None
    faces: int = 0


def score_rows(found: Comparison) -> list[Row]:
    """The scores over all classes."""
    rows = []
    for name, path in SCORES.items():
        short = SHORT.get(name, "")
        cells = [Cell(_at(scores, path), scores["intervals"].get(short)) for scores in found.scores]
        baseline = found.scores[0]["baseline"].get(short)
        rows.append(Row(name, _marked(cells, least=name in LEAST), baseline, found.scores[0]["n"]))
    return rows


def class_rows(found: Comparison, measure: str = "recall") -> list[Row]:
    """A measure of each class; classes without a face are left out."""
    support = {name: row["support"] for name, row in found.scores[0]["per_class"].items()}
    return [
        Row(name, _marked([_of_class(scores, name, measure) for scores in found.scores]), faces=count)
        for name, count in support.items()
        if count
    ]


def in_words(p: float | None) -> str:
    """A p value as text."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def shown(value: float | None, name: str, digits: int = 1) -> str:
    """A score in percent, but for calibration errors; "" for None."""
    return "" if value is None else f"{value:.3f}" if name in LEAST else f"{100 * value:.{digits}f} %"


def signed(value: float, digits: int) -> str:
    """A number with its sign, a minus being one."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def verdict(found: Comparison, pair: Pair) -> str:
    """What the tests say of a pair, as a sentence; "" without a label."""
    apart = pair.differences["accuracy"]
    if apart is None or pair.test is None or pair.corrected is None:
        return ""
    better, other = (found.names[row] for row in (pair.runs if apart.value >= 0 else pair.runs[::-1]))
    low, high = sorted(100 * end if apart.value >= 0 else -100 * end for end in apart.interval)
    if apart.value == 0:
        return f"{better} and {other} get equally many faces right."
    span = f"{low:.1f} to {high:.1f}".replace("-", MINUS)
    corrected = ", corrected" if len(found.pairs) > 1 else ""
    chance = "more than chance" if pair.corrected < 0.05 else "no more than chance may do"
    return (
        f"{better} is right on {abs(100 * apart.value):.1f} % more of the faces than {other} "
        f"({span} %): {chance} (McNemar p {_sign(pair.corrected)}{corrected})."
    )


def json_text(found: Comparison, command: str) -> str:
    """Everything as JSON; command: what makes it again."""
    pairs = [
        {name: value for name, value in asdict(pair).items() if name != "pictured"}
        | {"runs": [found.names[row] for row in pair.runs], "differ": pair.differ, "answers": pair.answers.tolist()}
        for pair in found.pairs
    ]
    contents = {
        "command": command,
        "runs": {name: str(run.folder) for name, run in zip(found.names, found.runs, strict=True)},
        "faces": found.faces,
        "class_names": found.class_names,
        "notes": found.notes,
        "scores": dict(zip(found.names, found.scores, strict=True)),
        "pairs": pairs,
    }
    return json.dumps(contents, indent=1, ensure_ascii=False)


def csv_text(found: Comparison, _command: str) -> str:
    """A row a number: the table it is of, one or two runs, its name, class or method, value and interval, faces."""
    buffer = io.StringIO()
    writer = csv.DictWriter(
        buffer, ["table", "run", "other", "name", "of", "value", "low", "high", "faces"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(_records(found))
    return buffer.getvalue()


def _records(found: Comparison) -> Iterator[dict[str, Any]]:
    tables = [(row, "") for row in score_rows(found)]
    tables += [(row, measure) for measure in MEASURES for row in class_rows(found, measure)]
    for row, measure in tables:
        name, of = (measure, row.name) if measure else (row.name, "")
        for run, cell in zip(found.names, row.cells, strict=True):
            yield {"table": "scores", "run": run, "name": name, "of": of, "faces": row.faces, **_value(cell)}
    for pair in found.pairs:
        both = dict(zip(("run", "other"), (found.names[row] for row in pair.runs), strict=True))
        for line in _pair_records(pair, found.class_names):
            yield {**both, "faces": pair.faces, **line}


def _pair_records(pair: Pair, class_names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if pair.test:
        for name, value in (("McNemar p", pair.test.p), ("McNemar p, corrected by Holm", pair.corrected)):
            yield {"table": "tests", "name": name, "value": value, "faces": pair.labelled}
    for name, apart in pair.differences.items():
        if apart:
            yield {"table": "tests", "name": f"difference of {name}", "faces": pair.labelled, **_value(apart)}
    for name, count in pair.outcomes.items():
        yield {"table": "tests", "name": name, "value": count, "faces": pair.labelled}
    for row, answers in zip(class_names, pair.answers.tolist(), strict=True):
        for column, count in zip(class_names, answers, strict=True):
            yield {"table": "answers", "name": row, "of": column, "value": count}
    for method, maps in pair.maps.items():
        if maps.quartiles:
            low, middle, high = maps.quartiles
            line = {"table": "maps", "name": "rank correlation, median and quartiles", "of": method}
            yield {**line, "value": middle, "low": low, "high": high, "faces": maps.faces}


def _value(cell: Cell | Difference) -> dict[str, float | None]:
    low, high = cell.interval or (None, None)
    return {"value": cell.value, "low": low, "high": high}


def _at(scores: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = scores
    for name in path:
        value = value[name]
    return None if value is None else float(value)


def _of_class(scores: Mapping[str, Any], name: str, measure: str) -> Cell:
    return Cell(scores["per_class"][name][measure], scores["intervals"]["per_class"][name][measure])


def _marked(cells: list[Cell], *, least: bool = False) -> tuple[Cell, ...]:
    """The best of a row marked, where they are not all the same."""
    values = [cell.value for cell in cells if cell.value is not None]
    best = (min if least else max)(values, default=None)
    apart = len(set(values)) > 1
    return tuple(Cell(cell.value, cell.interval, apart and cell.value == best) for cell in cells)


def _sign(p: float) -> str:
    return in_words(p) if p < 0.001 else f"= {in_words(p)}"
