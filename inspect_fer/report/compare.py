"""Runs side by side: scores, whether they differ by more than chance, where answers differ, how far maps agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from inspect_fer.emotions import canonical, relabelling, united
from inspect_fer.errors import RunError
from inspect_fer.metrics import evaluate
from inspect_fer.report.map_agreement import Agreement, map_agreement
from inspect_fer.schema import Prediction, Run
from inspect_fer.statistics import Difference, McNemar, disagreement, holm, intervals, mcnemar, paired_bootstrap

NEVER = -1e4
"""The logit of a class that a network does not know: its probability is 0, and it is a number still."""
VIEWS = ("size", "channels", "classes")
"""Options of a dataset that change how its samples look, not which they are."""


OUTCOMES = ("both right", "only the first", "only the second", "both wrong")


@dataclass(frozen=True)
class Asked:
    """shown: so many of the faces on which two networks, or their maps, differ; resamples, seed: of the bootstrap."""

    shown: int = 12
    resamples: int = 1000
    seed: int = 0


ASKED = Asked()


@dataclass(frozen=True)
class Face:
    """A sample on which two networks disagree: the answer and the confidence of each; label "" where there is none."""

    id: str
    label: str
    answers: tuple[str, str]
    confidences: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two runs on the samples that both have.

    runs: their places among the runs compared; faces, labelled: how many samples, and how many with a label in both
    test, corrected: do they err equally often, and p after Holm's correction for all pairs; None without labels
    differences: "accuracy" and "macro_f1" of the first minus the second
    outcomes: of the labelled samples, by OUTCOMES
    answers: (K, K) rows answers of the first, columns answers of the second; disagreeing: the most certain come first
    pictured: likewise, but those first that both runs explain by their first common method
    explained: how many faces both explain by it
    maps: by method
    """

    runs: tuple[int, int]
    faces: int
    labelled: int
    test: McNemar | None
    corrected: float | None
    differences: dict[str, Difference | None]
    outcomes: dict[str, int]
    answers: Tensor
    disagreeing: tuple[Face, ...]
    pictured: tuple[Face, ...]
    explained: int
    maps: dict[str, Agreement]

    @property
    def differ(self) -> int:
        """On how many samples the answers differ."""
        return int(self.answers.sum() - self.answers.diagonal().sum())

    def most(self, class_names: Sequence[str], count: int = 5) -> list[tuple[str, str, int]]:
        """The commonest pairs of answers that differ, with their counts."""
        apart = self.answers - self.answers.diagonal().diag()
        found = apart.flatten().sort(descending=True, stable=True)
        places = [(int(place), int(n)) for n, place in zip(found.values[:count], found.indices[:count], strict=True)]
        classes = len(class_names)
        return [(class_names[place // classes], class_names[place % classes], n) for place, n in places if n]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    names: of the runs; faces: how many samples all have; class_names: of all networks
    scores: a run each, of `metrics.evaluate`, with "intervals" of `statistics.intervals`, on the samples that all have
    notes: what has to be kept in mind, in words
    """

    names: tuple[str, ...]
    runs: tuple[Run, ...]
    faces: int
    class_names: tuple[str, ...]
    scores: tuple[dict[str, Any], ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    def title_of(self, pair: Pair) -> str:
        """Both names."""
        return " and ".join(self.names[row] for row in pair.runs)


def compare(runs: Sequence[Run], asked: Asked = ASKED) -> Comparison:
    """Compare two runs or more on the samples they share, matched by id; classes are matched by canonical name.

    Raises RunError when there are less than two runs, or two have no sample or no class in common.
    """
    if len(runs) < 2 or len({run.folder.resolve() for run in runs}) < len(runs):
        raise RunError("Comparing takes two runs or more, each named once: inspect-fer compare reports/a reports/b.")
    names, class_names = _names(runs), _class_names(runs)
    ids = _common(runs, names)
    answers = _aligned(runs, ids, class_names)
    scores = [
        {**evaluate(one), "intervals": intervals(one, resamples=asked.resamples, seed=asked.seed)} for one in answers
    ]
    pairs = [
        _pair((a, b), (runs[a], runs[b]), class_names, _common((runs[a], runs[b]), (names[a], names[b])), asked)
        for a, b in combinations(range(len(runs)), 2)
    ]
    tests = [pair.test.p for pair in pairs if pair.test]
    corrected = dict(zip([pair.runs for pair in pairs if pair.test], holm(tests), strict=True))
    pairs = [replace(pair, corrected=corrected.get(pair.runs)) for pair in pairs]
    notes = tuple(_notes(runs, names, ids))
    return Comparison(names, tuple(runs), len(ids), class_names, tuple(scores), tuple(pairs), notes)


def _names(runs: Sequence[Run]) -> tuple[str, ...]:
    """What each folder is called, with the folders above where that is not enough."""
    short = tuple(run.folder.resolve().name for run in runs)
    return short if len(set(short)) == len(short) else tuple(str(run.folder) for run in runs)


def _class_names(runs: Sequence[Run]) -> tuple[str, ...]:
    """The classes of all networks in one order. Raises RunError for networks that have none in common."""
    orders = [run.prediction.class_names for run in runs]
    for order in orders[1:]:
        if max(relabelling(order, orders[0])) < 0:
            raise RunError(
                f"Networks with no class in common cannot be compared: {', '.join(orders[0])} and {', '.join(order)}."
            )
    return united(orders)


def _common(runs: Sequence[Run], names: Sequence[str]) -> tuple[str, ...]:
    """The ids that all runs have, in the order of the first. Raises RunError where there are none."""
    shared = reduce(frozenset.intersection, (frozenset(run.prediction.ids) for run in runs))
    if not shared:
        held = "; ".join(f"{name} holds {_source(run)}" for name, run in zip(names, runs, strict=True))
        raise RunError(f"The runs have no sample in common: {held}. Make them of one dataset and split.")
    return tuple(name for name in runs[0].prediction.ids if name in shared)


def _source(run: Run) -> str:
    dataset = run.manifest.get("dataset", {})
    return " ".join(str(dataset[key]) for key in ("spec", "split") if key in dataset) or f"{run.prediction.ids[:1]}"


def _aligned(runs: Sequence[Run], ids: tuple[str, ...], class_names: tuple[str, ...]) -> list[Prediction]:
    """The answers to these samples, in one class order; a label counts where all runs give it."""
    answers = [_renumbered(run.prediction, ids, class_names) for run in runs]
    labels = answers[0].labels
    for other in answers[1:]:
        labels = labels.where(labels == other.labels, -1)
    return [replace(one, labels=labels) for one in answers]


def _renumbered(prediction: Prediction, ids: tuple[str, ...], class_names: tuple[str, ...]) -> Prediction:
    places = {name: row for row, name in enumerate(prediction.ids)}
    rows = torch.tensor([places[name] for name in ids])
    table = torch.tensor([*relabelling(prediction.class_names, class_names), -1])  # the last entry keeps -1
    logits = torch.full((len(ids), len(class_names)), NEVER)
    logits[:, table[:-1]] = prediction.logits[rows]
    return replace(prediction, ids=ids, logits=logits, labels=table[prediction.labels[rows]], class_names=class_names)


def _pair(
    places: tuple[int, int], runs: tuple[Run, Run], class_names: tuple[str, ...], ids: tuple[str, ...], asked: Asked
) -> Pair:
    a, b = _aligned(runs, ids, class_names)
    labels, known, classes = a.labels, a.labels >= 0, len(class_names)
    right_a, right_b = (a.predicted == labels)[known], (b.predicted == labels)[known]
    outcomes = [right_a & right_b, right_a & ~right_b, ~right_a & right_b, ~right_a & ~right_b]
    both = [name for name in runs[0].explanations if name in runs[1].explanations]
    held = [frozenset(run.explanations[both[0]].ids if both else ()) for run in runs]
    explained = held[0] & held[1]
    drawn = torch.tensor([name in explained for name in ids], dtype=torch.bool)
    return Pair(
        runs=places,
        faces=len(ids),
        labelled=int(known.sum()),
        test=mcnemar(a.predicted, b.predicted, labels) if known.any() else None,
        corrected=None,
        differences=paired_bootstrap(
            a.predicted, b.predicted, labels, classes, resamples=asked.resamples, seed=asked.seed
        ),
        outcomes=dict(zip(OUTCOMES, (int(rows.sum()) for rows in outcomes), strict=True)),
        answers=disagreement(a.predicted, b.predicted, classes),
        disagreeing=_disagreeing(a, b, asked.shown),
        pictured=_disagreeing(a, b, asked.shown, before=drawn),
        explained=int(drawn.sum()),
        maps={name: map_agreement(name, runs, (a, b), asked.shown) for name in both},
    )


def _disagreeing(a: Prediction, b: Prediction, shown: int, before: Tensor | None = None) -> tuple[Face, ...]:
    """Samples with two answers, those first of which the less certain network is the most certain.

    before: (N,) bool, the samples that come before all others
    """
    rows = (a.predicted != b.predicted).nonzero().flatten()
    sure = torch.minimum(a.confidence, b.confidence)[rows]
    sure = sure if before is None else sure + 2.0 * before[rows]  # no confidence is above 1
    chosen = rows[sure.argsort(descending=True, stable=True)][:shown].tolist()
    names = a.class_names
    return tuple(
        Face(
            id=a.ids[row],
            label=names[label] if (label := int(a.labels[row])) >= 0 else "",
            answers=(names[int(a.predicted[row])], names[int(b.predicted[row])]),
            confidences=(float(a.confidence[row]), float(b.confidence[row])),
        )
        for row in chosen
    )


def _notes(runs: Sequence[Run], names: Sequence[str], ids: Sequence[str]) -> Iterator[str]:
    """What a reader has to keep in mind."""
    if any(len(run) != len(ids) for run in runs):
        held = ", ".join(f"{name} has {len(run):,}" for name, run in zip(names, runs, strict=True))
        yield f"{held} samples; {len(ids):,} are in all runs, and the scores are of those."
    orders = {tuple(map(canonical, run.prediction.class_names)) for run in runs}
    if len({frozenset(order) for order in orders}) > 1:
        yield "The networks know different classes. A sample counts as labelled where all know its class."
    elif len(orders) > 1:
        yield "The networks have their classes in different orders; they were matched by name."
    ways = {name: _way(run) for name, run in zip(names, runs, strict=True)}
    if len(set(ways.values())) > 1:
        said = "; ".join(f"{name} {way}" for name, way in ways.items())
        yield f"The samples have the same names but were read in different ways ({said}): are they the same pictures?"


def _way(run: Run) -> str:
    """The kind of a run's dataset, and the options that choose its samples."""
    dataset = run.manifest.get("dataset", {})
    kind, _, rest = str(dataset.get("spec", "")).partition(":")
    written = dict(part.partition("=")[::2] for part in rest.partition("?")[2].split("&") if part)
    options = {**{name: str(value) for name, value in dataset.get("options", {}).items()}, **written}
    return "&".join([kind, *(f"{name}={options[name]}" for name in sorted(options) if name not in VIEWS)])
