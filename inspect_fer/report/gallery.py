"""The faces of a report: which are shown, and what stands on the card of each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.render import data_uri, enlarge, heat
from inspect_fer.render.sheets import picture
from inspect_fer.schema import Explanation, Prediction, Run, Samples

SIDE = 96
"""Faces are stored this high and wide, maps at most so; the browser enlarges them."""
CARD_BYTES = 4_000
"""What a card takes beside its pictures."""


@dataclass(frozen=True)
class MapView:
    """One map of a card: a picture to lay over the face, and its words."""

    method: str
    name: str
    role: str
    uri: str
    remark: str

    @property
    def alt(self) -> str:
        """What a screen reader says."""
        return f"{self.method} map: {self.name} ({self.role}){', ' + self.remark if self.remark else ''}"


@dataclass(frozen=True)
class Card:
    """One face: status is "wrong", "right" or "unlabelled"; bars are (class, probability); planted the true class."""

    id: str
    status: str
    label: str
    predicted: str
    confidence: float
    bars: tuple[tuple[str, float], ...]
    face: str
    methods: tuple[tuple[str, tuple[MapView, ...]], ...]
    planted: str = ""

    @property
    def size(self) -> int:
        """About how many bytes the card takes in the page."""
        return CARD_BYTES + len(self.face) + sum(len(view.uri) for _, views in self.methods for view in views)


def take_turns(queues: Iterable[Sequence[int]]) -> list[int]:
    """Take the first of every queue, then the second of every queue, until all are empty."""
    return [row for row in chain.from_iterable(zip_longest(*queues)) if row is not None]


def choose(prediction: Prediction, limit: int) -> list[int]:
    """Rows to show: mistakes and right answers in turns, the most certain first, right ones in turns of the classes."""
    order = prediction.confidence.argsort(descending=True, stable=True)
    labels, wrong = prediction.labels[order], prediction.wrong[order]
    right = [order[~wrong & (labels == label)].tolist() for label in range(len(prediction.class_names))]
    return take_turns([order[wrong].tolist(), take_turns(right), order[labels < 0].tolist()])[:limit]


def cards(run: Run, faces: Samples, rows: Sequence[int], *, scale: str, budget: int) -> list[Card]:
    """Make the cards of these rows of the prediction until `budget` bytes are used; most certain first."""
    made: list[Card] = []
    for card in _cards(run, faces, rows, scale):
        budget -= card.size
        if budget < 0:
            break
        made.append(card)
    return sorted(made, key=lambda card: -card.confidence)


def _cards(run: Run, faces: Samples, rows: Sequence[int], scale: str) -> Iterator[Card]:
    prediction, names = run.prediction, run.prediction.class_names
    samples = faces.find(tuple(prediction.ids[row] for row in rows)) if rows else faces[:0]
    places = {name: {face: row for row, face in enumerate(found.ids)} for name, found in run.explanations.items()}
    limits = {name: _peak(found.maps) if scale == "shared" else scale for name, found in run.explanations.items()}
    drawn = samples.truth.get("label", samples.labels).tolist()
    for position, row in enumerate(rows):
        label, predicted = int(prediction.labels[row]), int(prediction.predicted[row])
        name = prediction.ids[row]
        found = {method: run.explanations[method].of([at[name]]) for method, at in places.items() if name in at}
        planted = drawn[position] if label >= 0 and drawn[position] != int(samples.labels[position]) else -1
        yield Card(
            id=name,
            status="unlabelled" if label < 0 else "wrong" if label != predicted else "right",
            label=names[label] if label >= 0 else "",
            predicted=names[predicted],
            confidence=float(prediction.confidence[row]),
            bars=_bars(prediction.probabilities[row], names),
            face=_face(samples.pixels[position : position + 1]),
            methods=tuple((m, _views(m, why, predicted, label, names, limits[m])) for m, why in found.items()),
            planted=samples.class_names[planted] if planted >= 0 else "",
        )


def _peak(maps: Tensor) -> float:
    """Largest finite value of all maps of a method, in size."""
    return float(maps.abs().nan_to_num(0.0, 0.0, 0.0).max()) if maps.numel() else 1.0


def _bars(probabilities: Tensor, names: tuple[str, ...], most: int = 8) -> tuple[tuple[str, float], ...]:
    """Every class with its probability, in their order; of very many the most probable ones."""
    kept = sorted(probabilities.topk(min(most, len(names))).indices.tolist())
    return tuple((names[row], float(probabilities[row])) for row in kept)


def _face(pixels: Tensor) -> str:
    return data_uri(picture(enlarge(pixels, (SIDE, SIDE))[0].round().byte().numpy()), "webp")


def _views(
    method: str, why: Explanation, predicted: int, label: int, names: tuple[str, ...], scale: str | float
) -> tuple[MapView, ...]:
    """The maps of one face that its card shows: for the predicted and for the given class, or what there is."""
    targets = why.targets[0].tolist()
    wanted = {predicted: "predicted", **({label: "given"} if label >= 0 and label != predicted else {})}
    shown = [(targets.index(target), role) for target, role in wanted.items() if target in targets]
    shown = [(0, "any class")] if why.class_free else shown or [(0, "explained")]
    columns = [column for column, _ in shown]
    maps = why.evidence()[:, columns]
    if max(maps.shape[2:]) > SIDE:
        maps = F.interpolate(maps, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    pictures = heat(maps, scale=scale)[0]
    remarks = [why.remark(0, column) for column in columns]
    return tuple(
        MapView(
            method,
            "all classes" if why.class_free else names[targets[column]],
            role,
            data_uri(picture(tile), "webp"),
            remark,
        )
        for tile, (column, role), remark in zip(pictures, shown, remarks, strict=True)
    )
