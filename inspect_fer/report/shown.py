"""Which faces the pages show, and what they say of those that they leave out."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from inspect_fer.report.gallery import Card
from inspect_fer.report.material import Report

LeftOut = tuple[str, str, str, int, float, float]
"""Status, given, predicted, number of faces, least and greatest confidence in percent."""


def left_out(report: Report, shown: Collection[Card]) -> list[LeftOut]:
    """The faces without a card, by what the filters ask of them; given is "" where there is no label."""
    prediction, names, there = report.prediction, report.names, {card.row for card in shown}
    found: dict[tuple[int, int], list[float]] = {}
    cells = zip(prediction.labels.tolist(), prediction.predicted.tolist(), prediction.confidence.tolist(), strict=True)
    for row, (label, answer, sure) in enumerate(cells):
        if row not in there:
            found.setdefault((label, answer), []).append(100 * sure)
    return [
        (
            "unlabelled" if label < 0 else "right" if label == answer else "wrong",
            names[label] if label >= 0 else "",
            names[answer],
            len(sure),
            round(min(sure), 2),
            round(max(sure), 2),
        )
        for (label, answer), sure in sorted(found.items())
    ]


def methods_on(report: Report, shown: Iterable[Card]) -> list[str]:
    """The methods of which some of these cards have a map."""
    there = {name for card in shown for name, _ in card.methods}
    return [name for name in report.run.explanations if name in there]


def groups_of(shown: Sequence[Card], name: int, right: int) -> dict[str, list[Card]]:
    """The cards of a class page by heading; of right answers the first `right`."""
    return {
        "Right": [card for card in shown if card.given == card.answer == name][:right],
        "Missed": [card for card in shown if card.given == name != card.answer],
        "Taken for it": [card for card in shown if card.answer == name != card.given >= 0],
        "Answered so, without a label": [card for card in shown if card.answer == name and card.given < 0],
    }


def totals_of(report: Report, name: int) -> dict[str, int]:
    """How many faces there are under each heading of a class page."""
    labels, predicted = report.prediction.labels, report.prediction.predicted
    said = predicted == name
    return {
        "Right": int((said & (labels == name)).sum()),
        "Missed": int((~said & (labels == name)).sum()),
        "Taken for it": int((said & (labels != name) & (labels >= 0)).sum()),
        "Answered so, without a label": int((said & (labels < 0)).sum()),
    }


def explained_words(report: Report) -> dict[str, Any]:
    """How many faces have maps, and whether a run without --limit would explain the others."""
    made = str(report.run.manifest.get("command", ""))
    return {
        "explained": int(report.explained.sum()),
        "partly": report.partly,
        "limited": any(word.partition("=")[0] == "--limit" for word in made.split()),
    }


def confusions(matrix: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], count: int = 8) -> list[dict[str, Any]]:
    """The commonest mistakes: given class, and the cell of the confusion matrix."""
    wrong = [{"given": given, **cell} for given, cells in matrix for cell in cells if cell["at"][0] != cell["at"][1]]
    return [cell for cell in sorted(wrong, key=lambda cell: -cell["n"])[:count] if cell["n"]]
