"""What every form of a report is made from: a run, its faces, and what follows from them, computed when asked for."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspect_fer.datasets.counts import Counts, split_counts
from inspect_fer.errors import DataError, FerError
from inspect_fer.metrics import evaluate
from inspect_fer.report.means import ClassMeans, class_means
from inspect_fer.report.ranking import Ranking, rankings
from inspect_fer.report.stored import parts_of
from inspect_fer.schema import Prediction, Run, Samples

FEW = 12
"""So many of the most certain mistakes and of the most uncertain answers are shown apart."""
RANDOM = 24
RESAMPLES = 1000


@dataclass(frozen=True)
class Report:
    """A run with what its report says.

    faces: at least the samples of the run; None for tables, which show no face
    limit: so many faces are shown at most; scale: what full colour of a map stands for, a name of `render.SCALES`
    force: replace files that no report has written
    """

    run: Run
    faces: Samples | None = None
    limit: int = 500
    scale: str = "image"
    force: bool = False

    @property
    def samples(self) -> Samples:
        """The faces, where they are needed."""
        if self.faces is None:
            raise DataError("This form of the report shows faces: make it with Report(run, faces).")
        return self.faces

    @property
    def prediction(self) -> Prediction:
        """Of the run."""
        return self.run.prediction

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return self.run.prediction.class_names

    @property
    def card(self) -> Mapping[str, Any]:
        """The network's, as plain values; empty where the run holds none."""
        return dict(self.run.manifest.get("card", {}))

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """Of the training, an entry an epoch."""
        return list(self.card.get("history", ()))

    @property
    def layers(self) -> list[Mapping[str, Any]]:
        """Rows of the layer table, as `internals.layer_rows` makes them; empty where the run holds none."""
        return list(self.run.manifest.get("layers") or ())

    @property
    def title(self) -> str:
        """Network and dataset."""
        spec = self.run.manifest.get("dataset", {}).get("spec", "faces")
        return f"{self.network} on {spec.partition(':')[0]}"

    @property
    def network(self) -> str:
        """What its checkpoint is called, else its architecture."""
        origin = self.run.manifest.get("model", {}).get("origin") or self.card.get("architecture", "Network")
        return str(origin).replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")

    def command(self, out: Path, form: str = "html", figures: Sequence[str] = ()) -> str:
        """What writes this report into a folder again, in one of its forms."""
        words = ["inspect-fer", "report", str(self.run.folder)]
        words += [] if self.limit == 500 else ["--limit", str(self.limit)]
        words += [] if self.scale == "image" else ["--scale", self.scale]
        words += [] if out == self.run.folder else ["--out", str(out)]
        words += [] if form == "html" else ["--format", form]
        return shlex.join([*words, *(word for name in figures for word in ("--figure", name))])

    @cached_property
    def scores(self) -> Mapping[str, Any]:
        """Of `metrics.evaluate`, from the run where it holds them."""
        return self.run.metrics if "confusion" in self.run.metrics else evaluate(self.prediction)

    @cached_property
    def intervals(self) -> dict[str, Any]:
        """95 % bootstrap intervals of the scores, as `statistics.intervals` gives them; empty without a label."""
        if not self.scores["n"]:
            return {}
        from inspect_fer.statistics import intervals

        return intervals(self.prediction, resamples=RESAMPLES, seed=0)

    @cached_property
    def splits(self) -> tuple[Mapping[str, Counts], str]:
        """Labels of every split of the run's dataset, and why there are none; nothing where it is of no dataset."""
        dataset = self.run.manifest.get("dataset", {})
        spec = (self.faces.source if self.faces else {}).get("spec") or dataset.get("spec")
        if spec is None:
            return {}, ""
        try:
            return split_counts(spec, dataset.get("split", "test"), self.names, **dataset.get("options", {})), ""
        except FerError as problem:
            return {}, str(problem)

    @cached_property
    def ranking(self) -> dict[str, Ranking]:
        """Curves of the classes that have faces and are not all there is."""
        return rankings(self.prediction)

    @cached_property
    def means(self) -> ClassMeans:
        """Mean faces and maps of what was predicted to be each class."""
        return class_means(self.run, self.samples)

    @cached_property
    def explained(self) -> Tensor:
        """Whether a face has a map of any method, (N,) bool."""
        methods = self.run.explanations
        ids = {name for method in methods for part in parts_of(self.run, method) for name in part.ids}
        return torch.tensor([name in ids for name in self.prediction.ids], dtype=torch.bool)

    @property
    def partly(self) -> bool:
        """Whether some faces are explained and others are not."""
        return bool(self.explained.any() and not self.explained.all())

    def few(self, rows: Sequence[int]) -> list[int]:
        """The first FEW of some rows, explained ones first."""
        return self.explained_first(rows)[:FEW]

    def explained_first(self, rows: Sequence[int]) -> list[int]:
        """The same rows, those that have a map before the others."""
        explained = self.explained.tolist()
        return sorted(rows, key=lambda row: not explained[row])

    @property
    def mistakes(self) -> list[int]:
        """Rows of wrong answers, the most certain first."""
        order = self.prediction.confidence.argsort(descending=True, stable=True)
        return [int(row) for row in order[self.prediction.wrong[order]]]

    @property
    def uncertain(self) -> list[int]:
        """Rows of the least certain answers, right or wrong."""
        return [int(row) for row in self.prediction.confidence.argsort(stable=True)]

    @property
    def random(self) -> list[int]:
        """A few rows drawn with seed 0, to see what the faces are like."""
        drawn = torch.randperm(len(self.prediction), generator=torch.Generator().manual_seed(0))
        return [int(row) for row in drawn[:RANDOM]]

    @cached_property
    def totals(self) -> dict[str, int]:
        """How many faces there are of each status."""
        wrong, unlabelled = int(self.prediction.wrong.sum()), int((self.prediction.labels < 0).sum())
        return {"wrong": wrong, "right": len(self.prediction) - wrong - unlabelled, "unlabelled": unlabelled}


def take_turns(queues: Sequence[Sequence[int]]) -> list[int]:
    """Take the first of every queue, then the second of every queue, until all are empty; each row once."""
    return list(dict.fromkeys(row for row in chain.from_iterable(zip_longest(*queues)) if row is not None))


def choose(report: Report) -> list[int]:
    """Rows to show, explained ones first, see `_in_turns`."""
    return report.explained_first(_in_turns(report))[: report.limit]


def _in_turns(report: Report) -> list[int]:
    """All rows in turns: certain mistakes, right answers of every class, mistakes of every cell, unsure ones."""
    prediction = report.prediction
    order = prediction.confidence.argsort(descending=True, stable=True)
    labels, wrong = prediction.labels[order], prediction.wrong[order]
    right = [order[~wrong & (labels == label)].tolist() for label in range(len(prediction.class_names))]
    cells: dict[tuple[int, int], list[int]] = {}
    for row in report.mistakes:
        cells.setdefault((int(prediction.labels[row]), int(prediction.predicted[row])), []).append(row)
    queues = [report.mistakes, take_turns(right), order[labels < 0].tolist()]
    return take_turns([*queues, take_turns(list(cells.values())), report.few(report.uncertain)])
