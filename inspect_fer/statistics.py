"""What chance does to scores, and whether two networks differ: pure functions of tensors.

Intervals: percentile bootstrap, Efron, Annals of Statistics 7, 1979. Paired test: McNemar, Psychometrika 12, 1947, with
the continuity correction of Edwards, Psychometrika 13, 1948. Many tests: Holm, Scandinavian Journal of Statistics 6,
1979. Ranks: Spearman, American Journal of Psychology 15, 1904.

Letters: N samples, K classes, B resamples, M cells: kinds of samples that no score tells apart. To draw N samples with
replacement and count how many fall into each cell is one draw of Multinomial(N, counts / N): the same distribution, for
M numbers a resample instead of N.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inspect_fer.errors import ConfigError
from inspect_fer.schema import Prediction

MEASURES = ("precision", "recall", "f1")
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
FEW = 25
"""Below so many discordant pairs the chi-square distribution is too coarse: the test is the exact binomial one."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class McNemar:
    """Do two networks err equally often? Only the samples that one of them alone gets right tell.

    only_a, only_b: how many samples only the one or the other gets right
    statistic: chi-square, None for the exact test
    p: probability of a difference as large or larger, if both err equally often
    """

    only_a: int
    only_b: int
    statistic: float | None
    p: float


@dataclass(frozen=True)
class Difference:
    """How much better a is than b: a score of a minus that of b, with its bootstrap interval."""

    value: float
    interval: Interval


def intervals(prediction: Prediction, *, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> dict[str, Any]:
    """Percentile bootstrap intervals of the scores of `metrics.evaluate`, over the labelled samples.

    Returns {"accuracy": (low, high), "balanced_accuracy": ..., "macro_f1": ..., "per_class": {name: {"precision": ...,
    "recall": ..., "f1": ...}}}; None where a score is undefined: no labelled sample, a class that has none or that is
    never predicted. Resamples without the class say nothing about it and are left out of its intervals. Raises
    ConfigError for a level outside 0..1 or less than one resample.
    """
    known, names = prediction.labels >= 0, prediction.class_names
    pairs, counts = torch.stack([prediction.labels, prediction.predicted])[:, known].unique(dim=1, return_counts=True)
    drawn = _resampled(counts, resamples, seed)
    truth, answers = pairs
    found = _scores(truth, answers, drawn, len(names))
    real = _scores(truth, answers, counts[None], len(names))  # what is undefined of the samples themselves
    spans = {name: _interval(values, level, real[name][0]) for name, values in found.items()}
    rows = {name: {measure: spans[measure][row] for measure in MEASURES} for row, name in enumerate(names)}
    return {**{name: spans[name][0] for name in OVERALL}, "per_class": rows}


def mcnemar(a: Tensor, b: Tensor, labels: Tensor) -> McNemar:
    """Test whether two networks err equally often: answers a, b (N,), labels (N,), -1 where unknown (left out).

    chi^2 = (|n_a - n_b| - 1)^2 / (n_a + n_b) with one degree of freedom; exact binomial for less than FEW discordant
    pairs. n_a, n_b: how many only a, only b gets right.
    """
    from scipy.stats import binomtest, chi2  # type: ignore[import-untyped,unused-ignore]

    known = labels >= 0
    right_a, right_b = (a == labels) & known, (b == labels) & known
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total = only_a + only_b
    if total < FEW:
        return McNemar(only_a, only_b, None, float(binomtest(only_a, total).pvalue) if total else 1.0)
    statistic = max(abs(only_a - only_b) - 1, 0) ** 2 / total
    return McNemar(only_a, only_b, statistic, float(chi2.sf(statistic, 1)))


def paired_bootstrap(
    a: Tensor, b: Tensor, labels: Tensor, classes: int, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Difference | None]:
    """Differences of "accuracy" and "macro_f1" between answers a and b (N,) on the same resampled samples, a minus b.

    labels (N,), -1 where unknown (left out); None without a labelled sample. Raises ConfigError as `intervals` does.
    """
    triples, counts = torch.stack([labels, a, b])[:, labels >= 0].unique(dim=1, return_counts=True)
    truth, of_a, of_b = triples
    drawn = torch.cat([counts[None], _resampled(counts, resamples, seed)])  # the samples themselves come first
    first, second = (_scores(truth, answers, drawn, classes) for answers in (of_a, of_b))
    found: dict[str, Difference | None] = {}
    for name in ("accuracy", "macro_f1"):
        apart = first[name] - second[name]
        (span,) = _interval(apart[1:], level, apart[0])
        found[name] = None if span is None else Difference(float(apart[0]), span)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for there being several: each times the number of those not smaller, in rising order.

    The chance that any true null hypothesis is rejected stays below the level, whatever the tests' dependence.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def rank_correlation(maps_a: Tensor, maps_b: Tensor) -> Tensor:
    """Spearman's rank correlation of each pair of maps (N, T, H, W): (N, T) float64 in -1..1, ties averaged.

    Two maps may differ in scale and in any rising transform and still agree. NaN where a map is constant or not finite.
    """
    a, b = (_centred_ranks(maps.flatten(2)) for maps in (maps_a, maps_b))
    return (a * b).sum(2) / (a.square().sum(2) * b.square().sum(2)).sqrt()


def disagreement(a: Tensor, b: Tensor, classes: int) -> Tensor:
    """Count pairs of answers: a, b (N,) -> (K, K) int64, rows answers of a, columns answers of b."""
    return torch.bincount(a * classes + b, minlength=classes * classes).view(classes, classes)


def _resampled(counts: Tensor, resamples: int, seed: int) -> Tensor:
    """Counts of each cell (M,), none of them zero -> counts in each of B resamples of as many samples, (B, M)."""
    if resamples < 1:
        raise ConfigError(f"A bootstrap needs at least one resample, not {resamples}.")
    if not len(counts):  # nothing to draw from
        return torch.zeros(resamples, 0)
    shares = (counts.double() / counts.sum()).numpy()
    return torch.from_numpy(np.random.default_rng(seed).multinomial(int(counts.sum()), shares, size=resamples))


def _scores(truth: Tensor, answers: Tensor, counts: Tensor, classes: int) -> dict[str, Tensor]:
    """Scores of B countings of M cells: truth, answers (M,), counts (B, M) -> (B, 1) or, per class, (B, K) float64.

    NaN where undefined; in macro F1 a class without samples and predictions counts 0, as in `metrics.averages`.
    """
    zeros = torch.zeros(len(counts), classes, dtype=torch.float64)
    counts = counts.double()
    support, predicted = zeros.index_add(1, truth, counts), zeros.index_add(1, answers, counts)
    right = truth == answers
    hits = zeros.index_add(1, truth[right], counts[:, right])
    recall, f1 = hits / support, 2 * hits / (support + predicted)
    total = support.sum(1, keepdim=True)
    return {
        "accuracy": hits.sum(1, keepdim=True) / total,
        "balanced_accuracy": recall.nanmean(1, keepdim=True),
        "macro_f1": f1.nan_to_num(0.0).mean(1, keepdim=True).where(total > 0, torch.nan),
        "precision": hits / predicted,
        "recall": recall,
        "f1": f1,
    }


def _interval(values: Tensor, level: float, real: Tensor) -> list[Interval | None]:
    """Percentile intervals of resampled scores (B, C); None where the score (C,) of the samples themselves is NaN."""
    if not 0 < level < 1:
        raise ConfigError(f"The level of an interval lies between 0 and 1, such as 0.95, not {level}.")
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = values.nanquantile(tails, dim=0).tolist()
    undefined = real.isnan().tolist()
    return [None if gone else (start, stop) for gone, start, stop in zip(undefined, low, high, strict=True)]


def _centred_ranks(values: Tensor) -> Tensor:
    """Ranks of values (N, T, P) minus their mean, float64; NaN for rows that are not finite."""
    from scipy.stats import rankdata  # type: ignore[import-untyped,unused-ignore]

    if not values.numel():
        return values.double()
    finite = values.isfinite().all(2, keepdim=True)
    ranks = torch.from_numpy(rankdata(values.nan_to_num().cpu().numpy(), axis=2))
    return (ranks - (values.shape[2] + 1) / 2).where(finite, torch.nan)
