"""Mean map of each class over its mean face: where a network looks when it says so."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inspect_fer.report.stored import parts_of
from inspect_fer.schema import Explanation, Run, Samples

FACES = 100
"""So many faces of a class make its mean face; maps are averaged over all."""
ROWS = ("upper", "middle", "lower")
COLUMNS = ("left", "centre", "right")


@dataclass(frozen=True)
class ClassMeans:
    """Of K classes, over the faces predicted to be one.

    classes: K' class ids that were predicted at all; faces: (K', C, H, W) uint8, means of up to FACES faces
    By method:
    maps: (K', H, W), what a picture shows of the means of the maps of that class; counts: faces in each mean
    places: the strongest ninth of each mean, see `strongest`; fine: whether the maps are as fine as the image
    """

    classes: list[int]
    faces: Tensor
    maps: dict[str, Tensor]
    counts: dict[str, list[int]]
    places: dict[str, list[tuple[str, float]]]
    fine: dict[str, bool]


def class_means(run: Run, faces: Samples) -> ClassMeans:
    """Average the faces and the maps of the predicted class over the faces of each predicted class."""
    predicted = run.prediction.predicted
    classes = sorted(set(predicted.tolist()))
    means = [
        _mean_face(faces.find(tuple(run.prediction.ids[row] for row in _few(predicted, name)))) for name in classes
    ]
    mean_faces = torch.stack(means) if means else torch.empty(0, 1, 1, 1, dtype=torch.uint8)
    found = ClassMeans(classes, mean_faces, {}, {}, {}, {})
    said = dict(zip(run.prediction.ids, predicted.tolist(), strict=True))
    for method in run.explanations:
        mean, found.counts[method] = _mean_maps(parts_of(run, method), said, classes)
        found.maps[method] = mean.evidence()[:, 0] if mean else torch.zeros(len(classes), 1, 1)
        found.places[method] = [strongest(one) for one in mean.centred()[:, 0]] if mean else [("", 0.0)] * len(classes)
        found.fine[method] = bool(mean and mean.fine)
    return found


def strongest(evidence: Tensor) -> tuple[str, float]:
    """Name the ninth of a map (H, W) with most evidence for the class, and give its share of it; "" without any."""
    positive = evidence.clamp(min=0)
    shares = torch.stack([band.sum() for rows in positive.tensor_split(3) for band in rows.tensor_split(3, dim=1)])
    if not shares.sum() > 0:
        return "", 0.0
    at = int(shares.argmax())
    return f"{ROWS[at // 3]} {COLUMNS[at % 3]}", float(shares[at] / shares.sum())


def _few(predicted: Tensor, name: int) -> list[int]:
    """Rows of one predicted class, evenly spaced where there are many."""
    rows = (predicted == name).nonzero().flatten()
    spaced = torch.linspace(0, len(rows) - 1, min(FACES, len(rows))).round().long()
    return [int(row) for row in rows[spaced]]


def _mean_face(faces: Samples) -> Tensor:
    return faces.pixels[:].float().mean(0).round().byte()


def _mean_maps(
    parts: Iterable[Explanation], said: dict[str, int], classes: list[int]
) -> tuple[Explanation | None, list[int]]:
    """Means as K' maps, zeros where no face has one, and how many maps each is the mean of; None without any face."""
    sums, counts, last = [torch.zeros(1, 1, dtype=torch.float64)] * len(classes), [0] * len(classes), None
    for last in parts:
        for place, maps in enumerate(_said_maps(last, said, classes)):
            sums[place] = sums[place] + maps.double().sum(0)
            counts[place] += len(maps)
    if last is None or not (classes and len(last)):
        return None, counts
    means = torch.stack([(total / max(count, 1)).float() for total, count in zip(sums, counts, strict=True)])
    return replace(last.of([0] * len(classes)), maps=means[:, None], turned=None), counts


def _said_maps(why: Explanation, said: dict[str, int], classes: list[int]) -> Iterable[Tensor]:
    """Of each class the finite maps (M, h, w) for it, over the faces that are predicted to be it."""
    predicted = torch.tensor([said[name] for name in why.ids], dtype=torch.int64)
    wanted = why.targets == predicted[:, None]
    has, column = wanted.any(1), wanted.int().argmax(1) if len(why) else predicted
    if why.class_free:
        has, column = torch.ones_like(has), torch.zeros_like(column)
    for name in classes:
        rows = (has & (predicted == name)).nonzero().flatten()
        maps = why.maps[rows, column[rows]]
        yield maps[maps.isfinite().flatten(1).all(1)]
