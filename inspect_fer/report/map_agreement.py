"""How far the maps of two networks agree: rank correlation of the maps of one method for the same face and class."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.emotions import relabelling
from inspect_fer.schema import Explanation, Prediction, Run
from inspect_fer.statistics import rank_correlation

MOST = 300
"""So many faces are compared, evenly spread over those that both runs explain."""
CHUNK = 256
QUARTILES = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)


@dataclass(frozen=True)
class Apart:
    """A face whose maps for one class differ; target "" for methods that know no class."""

    id: str
    target: str
    correlation: float


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of the maps of one method in two runs.

    common: faces that both runs explain; faces, maps: how many of them were compared, with how many maps
    undefined: how many of the maps have no ranks, being constant or not finite
    quartiles: lower quartile, median and upper quartile of the others; None without any
    apart: the faces whose maps differ most; those first for whose class both networks decide, one map a face
    """

    common: int
    faces: int
    maps: int
    undefined: int
    quartiles: tuple[float, float, float] | None
    apart: tuple[Apart, ...]


def map_agreement(name: str, runs: tuple[Run, Run], answers: tuple[Prediction, Prediction], shown: int) -> Agreement:
    """Compare the maps of the method `name` in two runs, brought to the size of the smaller input.

    answers: of both networks to the same samples, in one class order; shown: so many faces are named
    """
    first, second = (run.explanations[name] for run in runs)
    ids = tuple(set(first.ids) & set(second.ids) & set(answers[0].ids))
    order = {sample: row for row, sample in enumerate(answers[0].ids)}
    ids = tuple(sorted(ids, key=order.__getitem__))
    spread = torch.linspace(0, len(ids) - 1, min(MOST, len(ids))).round().long().tolist()
    chosen = [ids[row] for row in spread]
    a, b = (_of(why, chosen) for why in (first, second))
    class_names = answers[0].class_names
    classes = [_renumbered(why, run, class_names) for why, run in zip((a, b), runs, strict=True)]
    rows, left, right = _same_class(*classes, class_free=a.class_free and b.class_free)
    found = _correlations(a, b, rows, left, right)
    known = found[found.isfinite()]
    quartiles = known.quantile(QUARTILES).tolist() if len(known) else None
    targets = classes[0][rows, left]
    places = torch.tensor([order[sample] for sample in chosen], dtype=torch.int64)[rows]
    decided = sum(((one.predicted[places] == targets).long() for one in answers), torch.zeros_like(rows))
    named = [] if a.class_free else list(class_names)
    return Agreement(
        common=len(ids),
        faces=len(rows.unique()),
        maps=len(rows),
        undefined=len(rows) - len(known),
        quartiles=None if quartiles is None else (quartiles[0], quartiles[1], quartiles[2]),
        apart=_apart(chosen, rows, targets, found, decided, named)[:shown],
    )


def _of(why: Explanation, ids: list[str]) -> Explanation:
    places = {sample: row for row, sample in enumerate(why.ids)}
    return why.of([places[sample] for sample in ids])


def _renumbered(why: Explanation, run: Run, class_names: tuple[str, ...]) -> Tensor:
    """Targets (N, T) in the class order of the comparison."""
    return torch.tensor(relabelling(run.prediction.class_names, class_names))[why.targets]


def _same_class(a: Tensor, b: Tensor, *, class_free: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Where targets a (N, T) and b (N, T') are the same: rows, columns of a, columns of b, each (M,)."""
    same = a[:, :, None] == b[:, None, :]
    if class_free:  # every target has the same map
        same = torch.zeros_like(same)
        same[:, :1, :1] = True
    rows, left, right = same.nonzero().unbind(1)
    return rows, left, right


def _correlations(a: Explanation, b: Explanation, rows: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Rank correlation of map (row, left) of a and map (row, right) of b: (M,) float64."""
    size = min(a.input_size[1:], b.input_size[1:])
    parts = zip(rows.split(CHUNK), left.split(CHUNK), right.split(CHUNK), strict=True)
    found = [
        rank_correlation(_sized(a, a.maps[row, i], size), _sized(b, b.maps[row, j], size))[:, 0] for row, i, j in parts
    ]
    return torch.cat(found) if len(rows) else torch.empty(0, dtype=torch.float64)


def _sized(why: Explanation, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (M, h, w) of an explanation over so many pixels: (M, 1, H, W)."""
    spread = why.footprint.upsample(maps[:, None].float(), why.input_size[1:])
    return spread if tuple(spread.shape[2:]) == size else F.interpolate(spread, size=size, mode="area")


def _apart(
    ids: list[str], rows: Tensor, targets: Tensor, found: Tensor, decided: Tensor, class_names: list[str]
) -> tuple[Apart, ...]:
    """The map of each face that differs most, of those for whose class the most networks decide, in rising order."""
    order = (found - 3 * decided).argsort(stable=True)  # correlations lie within 2 of one another
    first: dict[str, Apart] = {}
    for place in order[found[order].isfinite()].tolist():
        target = class_names[int(targets[place])] if class_names else ""
        first.setdefault(ids[int(rows[place])], Apart(ids[int(rows[place])], target, float(found[place])))
    return tuple(first.values())
