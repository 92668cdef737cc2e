"""Intervals, paired tests and rank correlations against slow twins, scipy, and what theory says."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.metrics import evaluate
from inspect_fer.schema import Prediction
from inspect_fer.statistics import (
    Difference,
    McNemar,
    disagreement,
    holm,
    intervals,
    mcnemar,
    paired_bootstrap,
    rank_correlation,
)

NAMES = ("anger", "fear", "neutral")


def answered(labels, predicted, names=NAMES):
    """A prediction with these answers."""
    labels, predicted = torch.tensor(labels), torch.tensor(predicted)
    logits = torch.nn.functional.one_hot(predicted, len(names)).float()
    return Prediction(tuple(map(str, range(len(labels)))), logits, labels, names)


def noisy(n, share, generator, classes=3):
    """Labels and answers (N,), so many of them right; the other answers are the next class."""
    labels = torch.randint(0, classes, (n,), generator=generator)
    right = torch.rand(n, generator=generator) < share
    return labels, torch.where(right, labels, (labels + 1) % classes)


def at(scores, measure, name):
    """A score of `evaluate` or `intervals`."""
    if measure == "macro_f1" and "averages" in scores:
        return scores["averages"]["macro"]["f1"]
    return scores["per_class"][name][measure] if name else scores[measure]


def undefined(prediction, measure, name):
    """By counting: the score would divide by nothing."""
    row = prediction.class_names.index(name)
    has, given = bool((prediction.labels == row).any()), bool((prediction.predicted == row).any())
    return {"precision": not given, "recall": not has, "f1": not (has or given)}[measure]


MEASURES = [(name, None) for name in ("accuracy", "balanced_accuracy", "macro_f1")]
MEASURES += [(measure, name) for measure in ("precision", "recall", "f1") for name in NAMES]


def test_every_resample_there_is_gives_the_same_percentiles():
    """Five samples can be drawn in 5^5 ways, each as likely: exact percentiles of the scores, computed row by row."""
    small = answered([0, 0, 1, 1, 2], [0, 1, 1, 1, 2])
    resampled = []
    for rows in product(range(5), repeat=5):
        drawn = answered(small.labels[list(rows)].tolist(), small.predicted[list(rows)].tolist())
        resampled.append((drawn, evaluate(drawn)))
    found = intervals(small, resamples=100_000, level=0.8)
    for measure, name in MEASURES:
        values = [
            at(scores, measure, name)
            for drawn, scores in resampled
            if name is None or not undefined(drawn, measure, name)
        ]
        expected = np.quantile(values, (0.1, 0.9))
        assert at(found, measure, name) == pytest.approx(expected, abs=1e-9), (measure, name)


def test_accuracy_spreads_as_the_binomial_distribution_says(generator):
    """Resampled counts of right answers are Binomial(n, accuracy)."""
    labels, predicted = noisy(36_000, 0.7, generator)
    share = float((labels == predicted).double().mean())
    low, high = intervals(answered(labels.tolist(), predicted.tolist()), resamples=20_000)["accuracy"]
    expected = stats.binom(36_000, share).ppf([0.025, 0.975]) / 36_000
    assert [low, high] == pytest.approx(expected, abs=2e-4)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / 36_000), rel=0.03)


def test_intervals_hold_the_truth_as_often_as_they_say(generator):
    """Of 300 samples drawn with accuracy 0.7, about 90 % have it in their 90 % interval."""
    held = 0
    for seed in range(300):
        labels, predicted = noisy(200, 0.7, generator)
        found = intervals(answered(labels.tolist(), predicted.tolist()), resamples=200, level=0.9, seed=seed)
        low, high = found["accuracy"]
        held += low <= 0.7 <= high
    assert 0.85 <= held / 300 <= 0.95


def test_the_score_lies_within_and_wider_levels_hold_narrower_ones(generator):
    labels, predicted = noisy(400, 0.6, generator)
    prediction = answered(labels.tolist(), predicted.tolist())
    scores = evaluate(prediction)
    wide, narrow = intervals(prediction, level=0.99), intervals(prediction, level=0.5)
    for measure, name in MEASURES:
        (least, most), (low, high) = at(wide, measure, name), at(narrow, measure, name)
        assert least < low <= at(scores, measure, name) <= high < most


def test_what_is_undefined_is_none():
    found = intervals(answered([0, 0, 1, -1], [0, 2, 2, 1]))
    assert found["per_class"]["neutral"]["recall"] is None  # nobody is neutral
    assert found["per_class"]["neutral"]["precision"] == (0.0, 0.0)
    assert found["per_class"]["fear"]["precision"] is None  # the one answer fear has no label
    assert found["per_class"]["fear"]["f1"] == (0.0, 0.0)
    assert found["macro_f1"] is not None


@pytest.mark.parametrize("labels", [[], [-1, -1]])
def test_without_labels_nothing_is_known(labels):
    prediction = Prediction(
        tuple(map(str, labels and [0, 1])),
        torch.zeros(len(labels), 3),
        torch.tensor(labels, dtype=torch.int64),
        NAMES,
    )
    found = intervals(prediction)
    assert {at(found, measure, name) for measure, name in MEASURES} == {None}
    a = prediction.predicted
    assert paired_bootstrap(a, a, prediction.labels, 3) == {"accuracy": None, "macro_f1": None}
    assert mcnemar(a, a, prediction.labels) == McNemar(0, 0, None, 1.0)


def test_unlabelled_samples_change_nothing():
    assert intervals(answered([0, 1, 2, -1, -1], [0, 1, 1, 1, 2])) == intervals(answered([0, 1, 2], [0, 1, 1]))


def test_the_same_seed_gives_the_same_interval(generator):
    labels, predicted = noisy(100, 0.6, generator)
    prediction = answered(labels.tolist(), predicted.tolist())
    assert intervals(prediction, seed=1) == intervals(prediction, seed=1) != intervals(prediction, seed=2)


@pytest.mark.parametrize(("option", "words"), [({"level": 95}, "between 0 and 1"), ({"resamples": 0}, "at least one")])
def test_impossible_intervals_are_refused(option, words):
    with pytest.raises(ConfigError, match=words):
        intervals(answered([0, 1], [0, 1]), **option)


def pairs_of(only_a, only_b, both=50, neither=20):
    """Answers of a and b and labels, by how many only the one or the other gets right."""
    right_a = [True] * only_a + [False] * only_b + [True] * both + [False] * neither
    right_b = [False] * only_a + [True] * only_b + [True] * both + [False] * neither
    return torch.tensor(right_a).long(), torch.tensor(right_b).long(), torch.ones(len(right_a)).long()


def test_mcnemar_by_hand():
    """Twenty discordant pairs, one for b: 2 (C(20,0) + C(20,1)) / 2^20. Then (|30 - 12| - 1)^2 / 42."""
    found = mcnemar(*pairs_of(19, 1))
    assert found == McNemar(19, 1, None, pytest.approx(2 * 21 / 2**20))
    many = mcnemar(*pairs_of(30, 12))
    assert many.statistic == pytest.approx(17**2 / 42)
    assert many.p == pytest.approx(math.erfc(math.sqrt(17**2 / 42 / 2)))  # chi-square of one degree is a squared normal


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 3), (13, 13), (13, 12)])
def test_equal_networks_are_not_told_apart(only_a, only_b):
    assert mcnemar(*pairs_of(only_a, only_b)).p == pytest.approx(1.0)


def test_both_forms_of_mcnemar_nearly_agree_and_it_does_not_matter_which_is_a():
    for only_a, only_b in ((16, 9), (20, 8), (24, 8)):
        found = mcnemar(*pairs_of(only_a, only_b))
        assert found.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue, rel=0.2)
    assert mcnemar(*pairs_of(4, 9)).p == mcnemar(*pairs_of(9, 4)).p


def test_mcnemar_leaves_out_what_has_no_label():
    a, b, labels = pairs_of(5, 3)
    labels[0] = -1
    assert mcnemar(a, b, labels).only_a == 4
    unknown = torch.full_like(labels, -1)
    assert mcnemar(unknown, b, unknown).only_a == 0  # an answer never equals a label that is unknown


def test_paired_differences_against_rows_drawn_one_by_one(generator):
    labels, a = noisy(60, 0.8, generator)
    _, b = noisy(60, 0.6, generator)
    rows = torch.randint(0, 60, (1000, 60), generator=generator)
    apart = {"accuracy": [], "macro_f1": []}
    for drawn in rows:
        first, second = (evaluate(answered(labels[drawn].tolist(), x[drawn].tolist())) for x in (a, b))
        for measure, values in apart.items():
            values.append(at(first, measure, None) - at(second, measure, None))
    found = paired_bootstrap(a, b, labels, 3, resamples=20_000)
    first, second = (evaluate(answered(labels.tolist(), x.tolist())) for x in (a, b))
    for measure, values in apart.items():
        assert found[measure].value == pytest.approx(at(first, measure, None) - at(second, measure, None))
        assert found[measure].interval == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=0.03)


def test_pairing_takes_away_what_both_share(generator):
    """b errs where a does and on one face more: the difference is sure, although each score is not."""
    labels, a = noisy(500, 0.6, generator)
    b = a.clone()
    b[(a == labels).nonzero()[:25]] = (labels[(a == labels).nonzero()[:25]] + 1) % 3
    low, high = paired_bootstrap(a, b, labels, 3)["accuracy"].interval
    assert 0 < low < 0.05 < high
    alone = intervals(answered(labels.tolist(), a.tolist()))["accuracy"]
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_a_network_does_not_differ_from_itself(generator):
    labels, a = noisy(50, 0.6, generator)
    assert paired_bootstrap(a, a, labels, 3)["accuracy"] == Difference(0.0, (0.0, 0.0))


def test_holm_by_hand():
    """.005 * 4; .01 * 3; .03 * 2; .04 * 1, which may not fall below .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


def test_rank_correlation_is_scipys_map_by_map(generator):
    a, b = torch.randn(2, 3, 4, 5, 6, generator=generator).unbind()
    b[:, :2] += a[:, :2]
    found = rank_correlation(a.round(), b.round(decimals=1))  # rounding makes ties
    for n, t in product(range(3), range(4)):
        expected = stats.spearmanr(a[n, t].round().flatten(), b[n, t].round(decimals=1).flatten()).statistic
        assert found[n, t] == pytest.approx(expected)


def test_rank_correlation_without_ties_is_the_textbooks(generator):
    """1 - 6 sum d^2 / (n (n^2 - 1)), Spearman 1904."""
    a, b = torch.randn(2, 1, 1, 4, 4, generator=generator).unbind()
    ranks = [values.flatten().argsort().argsort().double() for values in (a, b)]
    expected = 1 - 6 * (ranks[0] - ranks[1]).square().sum() / (16 * (16**2 - 1))
    assert_close(rank_correlation(a, b)[0, 0], expected)


def test_rising_transforms_change_no_rank(generator):
    maps = torch.randn(2, 3, 5, 5, generator=generator)
    ones = torch.ones(2, 3, dtype=torch.float64)
    assert_close(rank_correlation(maps, maps.exp() * 7), ones)
    assert_close(rank_correlation(maps, -maps), -ones)


def test_maps_without_ranks_have_no_correlation(generator):
    maps = torch.randn(3, 1, 4, 4, generator=generator)
    maps[0] = 2
    maps[1, 0, 0, 0] = torch.inf
    found = rank_correlation(maps, torch.randn(3, 1, 4, 4, generator=generator))
    assert found.isnan().flatten().tolist() == [True, True, False]
    assert rank_correlation(maps[:0], maps[:0]).shape == (0, 1)


def test_disagreement_counts_pairs_of_answers():
    a, b = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 1, 1, 0, 0])
    assert disagreement(a, b, 3).tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]
