"""The faces of a report: what stands on the card of each, and its pictures on disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from inspect_fer.render import heat, peak
from inspect_fer.report.album import face_bytes, one_size, place_of, strip_bytes, tile_of, tile_side
from inspect_fer.report.material import Report, choose
from inspect_fer.report.stored import parts_of
from inspect_fer.schema import Explanation, Prediction, Samples

CARD_BYTES, VIEW_BYTES = 4_800, 850
"""About what a card and each of its maps take in all pages together, beside the pictures."""
FEWEST_BYTES = CARD_BYTES + 1_000
MOST_BARS = 8


@dataclass(frozen=True)
class MapView:
    """One map of a card: its words, and where it stands in the strip, in percent of the box that shows it."""

    method: str
    name: str
    role: str
    remark: str
    left: float

    @property
    def alt(self) -> str:
        """What a screen reader says."""
        return f"{self.method} map: {self.name} ({self.role}){', ' + self.remark if self.remark else ''}"


@dataclass(frozen=True)
class Card:
    """One face: status is "wrong", "right" or "unlabelled"; bars are (class, probability, votes or None).

    given: class id, -1 unknown; answer: class id; planted: the true class behind a planted error; votes: in words
    width, top: of the strip of maps, in percent of the box that shows one of them
    """

    row: int
    id: str
    status: str
    label: str
    predicted: str
    given: int
    answer: int
    confidence: float
    bars: tuple[tuple[str, float, float | None], ...]
    methods: tuple[tuple[str, tuple[MapView, ...]], ...]
    planted: str
    votes: str
    width: float
    top: float


@dataclass(frozen=True)
class _Drawn:
    """The views of one method for one face, with their tiles (S, S, 4)."""

    views: list[tuple[str, str, str]]
    tiles: list[np.ndarray]


def cards(report: Report, folder: Path, *, budget: int) -> list[Card]:
    """Make the cards of the chosen faces until `budget` bytes are used, their pictures in `folder`.

    Explained faces come first, then the most certain.

    A face is FOLDER/ROW.webp, its maps FOLDER/ROW-maps.webp. Methods are read one after the other, each shard by shard.
    """
    rows = choose(report)[: budget // FEWEST_BYTES]
    samples = report.samples.find(tuple(report.prediction.ids[row] for row in rows)) if rows else report.samples[:0]
    drawn = {name: _draw(report, name, rows) for name in report.run.explanations}
    made: list[Card] = []
    for position, row in enumerate(rows):
        found = {name: by_row[row] for name, by_row in drawn.items() if row in by_row}
        tiles = one_size([tile for one in found.values() for tile in one.tiles])
        files = {f"{row}.webp": face_bytes(samples.pixels[position : position + 1][0])}
        files |= {f"{row}-maps.webp": strip_bytes(tiles)} if tiles else {}
        budget -= CARD_BYTES + VIEW_BYTES * len(tiles) + sum(map(len, files.values()))
        if budget < 0:
            break
        for name, content in files.items():
            (folder / name).write_bytes(content)
        made.append(_card(report, samples, position, row, found, len(tiles[0]) if tiles else 1))
    return sorted(made, key=lambda card: (not card.methods, -card.confidence))


def _draw(report: Report, method: str, rows: Sequence[int]) -> dict[int, _Drawn]:
    """Colour the maps of one method that the cards show, by row of the prediction."""
    prediction = report.prediction
    wanted = {prediction.ids[row]: row for row in rows}
    shared, most, found = report.scale == "shared", 0.0, dict[int, Explanation]()
    for part in parts_of(report.run, method):
        most = max(most, peak(part)) if shared else most
        found |= {wanted[name]: part.of([place]) for place, name in enumerate(part.ids) if name in wanted}
    limit = most if shared else report.scale
    return {
        row: _views(one, int(prediction.predicted[row]), int(prediction.labels[row]), report.names, limit)
        for row, one in found.items()
    }


def _views(why: Explanation, predicted: int, label: int, names: tuple[str, ...], scale: str | float) -> _Drawn:
    """The maps of one face that its card shows: for the predicted and for the given class, or what there is."""
    targets = why.targets[0].tolist()
    wanted = {predicted: "predicted", **({label: "given"} if label >= 0 and label != predicted else {})}
    shown = [(targets.index(target), role) for target, role in wanted.items() if target in targets]
    shown = [(0, "any class")] if why.class_free else shown or [(0, "explained")]
    columns = [column for column, _ in shown]
    evidence = tile_of(why.evidence()[:, columns], tile_side(max(why.maps.shape[2:])))
    tiles = heat(evidence, scale=scale)[0]
    called = ["all classes" if why.class_free else names[targets[column]] for column in columns]
    words = [(name, role, why.remark(0, column)) for name, (column, role) in zip(called, shown, strict=True)]
    return _Drawn(words, list(tiles))


def _card(report: Report, samples: Samples, position: int, row: int, found: Mapping[str, _Drawn], side: int) -> Card:
    prediction, names = report.prediction, report.names
    label, predicted = int(prediction.labels[row]), int(prediction.predicted[row])
    count = sum(len(one.tiles) for one in found.values())
    width, _, top = place_of(0, max(count, 1), side)
    return Card(
        row=row,
        id=prediction.ids[row],
        status="unlabelled" if label < 0 else "wrong" if label != predicted else "right",
        label=names[label] if label >= 0 else "",
        predicted=names[predicted],
        given=label,
        answer=predicted,
        confidence=float(prediction.confidence[row]),
        bars=_bars(prediction, row, None if samples.votes is None else samples.votes[position]),
        methods=tuple(_placed(found, count, side)),
        planted=_planted(samples, position) if label >= 0 else "",
        votes=_votes(samples, position),
        width=width,
        top=top,
    )


def _placed(found: Mapping[str, _Drawn], count: int, side: int) -> Iterator[tuple[str, tuple[MapView, ...]]]:
    place = 0
    for method, one in found.items():
        start = place
        place += len(one.views)
        lefts = [place_of(tile, count, side)[1] for tile in range(start, place)]
        yield method, tuple(MapView(method, *words, left) for words, left in zip(one.views, lefts, strict=True))


def _bars(prediction: Prediction, row: int, votes: Tensor | None) -> tuple[tuple[str, float, float | None], ...]:
    """Every class with its probability and votes, in their order; of very many the most probable ones."""
    probabilities, names = prediction.probabilities[row], prediction.class_names
    kept = sorted(probabilities.topk(min(MOST_BARS, len(names))).indices.tolist())
    share = votes if votes is not None and len(votes) == len(names) else None
    return tuple((names[at], float(probabilities[at]), None if share is None else float(share[at])) for at in kept)


def _planted(samples: Samples, position: int) -> str:
    """The true class of a face whose label was planted wrong, else ""."""
    drawn = samples.truth.get("label", samples.labels)[position]
    return samples.class_names[int(drawn)] if drawn != samples.labels[position] and drawn >= 0 else ""


def _votes(samples: Samples, position: int) -> str:
    """The votes in words, the most frequent first, else ""."""
    if samples.votes is None:
        return ""
    shares = samples.votes[position]
    order = [at for at in shares.argsort(descending=True, stable=True).tolist() if shares[at] > 0.005]
    return ", ".join(f"{samples.class_names[at]} {100 * float(shares[at]):.0f} %" for at in order)
