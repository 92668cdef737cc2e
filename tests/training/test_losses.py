"""Every loss against its formula written out term by term in float64."""

import math

import pytest
import torch
from torch.nn.functional import one_hot

from inspect_fer.errors import DataError
from inspect_fer.schema import Samples
from inspect_fer.training import Training
from inspect_fer.training.losses import balanced_weights, cost_of, draw, focal, multi_target, truth_of

LABELS = torch.tensor([0, 2, 1, 1, 0])


@pytest.fixture
def logits(generator):
    return torch.randn(5, 3, generator=generator, dtype=torch.float64)


@pytest.fixture
def votes(generator):
    shares = torch.rand(5, 3, generator=generator, dtype=torch.float64)
    return shares / shares.sum(1, keepdim=True)


def probabilities(row):
    costs = [math.exp(float(value)) for value in row]
    return [cost / sum(costs) for cost in costs]


def near(value):
    return pytest.approx(value, rel=1e-9)


def test_cross_entropy_with_smoothing(logits):
    smooth, classes = 0.1, 3
    total = 0.0
    for row, label in zip(logits, LABELS.tolist(), strict=True):
        for k, p in enumerate(probabilities(row)):
            total -= ((k == label) * (1 - smooth) + smooth / classes) * math.log(p)
    assert float(cost_of(Training(label_smoothing=smooth))(logits, LABELS)) == near(total / 5)


def test_cross_entropy_with_class_weights(logits):
    weights = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    costs = [
        float(weights[k]) * -math.log(probabilities(row)[k]) for row, k in zip(logits, LABELS.tolist(), strict=True)
    ]
    expected = sum(costs) / float(weights[LABELS].sum())
    assert float(cost_of(Training(), weights)(logits, LABELS)) == near(expected)


def test_soft_cross_entropy_and_bce(logits, votes):
    soft = hard = 0.0
    for row, shares in zip(logits, votes.tolist(), strict=True):
        for k, share in enumerate(shares):
            soft -= share * math.log(probabilities(row)[k]) / 5
            yes = 1 / (1 + math.exp(-float(row[k])))
            hard -= (share * math.log(yes) + (1 - share) * math.log(1 - yes)) / 15
    assert float(cost_of(Training(loss="soft-cross-entropy"))(logits, votes)) == near(soft)
    assert float(cost_of(Training(loss="bce"))(logits, votes)) == near(hard)


def test_soft_cross_entropy_of_certain_votes_is_cross_entropy(logits):
    certain = one_hot(LABELS, 3).double()
    soft = cost_of(Training(loss="soft-cross-entropy"))(logits, certain)
    assert float(soft) == near(float(cost_of(Training())(logits, LABELS)))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss(logits, gamma):
    total = 0.0
    for row, label in zip(logits, LABELS.tolist(), strict=True):
        p = probabilities(row)[label]
        total -= (1 - p) ** gamma * math.log(p)
    assert float(focal(logits, LABELS, gamma=gamma)) == near(total / 5)
    assert float(cost_of(Training(loss="focal", focal_gamma=gamma))(logits, LABELS)) == near(total / 5)


def test_focal_loss_without_focus_is_cross_entropy_with_weights_too(logits):
    weights = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    assert float(focal(logits, LABELS, gamma=0, weights=weights)) == near(
        float(cost_of(Training(), weights)(logits, LABELS))
    )


def test_multi_target_takes_the_most_probable_chosen_class(logits):
    chosen = torch.tensor([[0.5, 0.5, 0], [1, 0, 0], [0, 0.3, 0.7], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]).double()
    total = 0.0
    for row, shares in zip(logits, chosen.tolist(), strict=True):
        weighted = [(0.999 * (share > 0) + 0.001) * p for share, p in zip(shares, probabilities(row), strict=True)]
        total -= math.log(max(weighted))
    assert float(multi_target(logits, chosen)) == near(total / 5)
    assert torch.isfinite(multi_target(logits * 1000, chosen))


def test_drawing_follows_the_votes():
    votes = torch.tensor([[0.2, 0.0, 0.8]]).expand(20_000, 3)
    counts = torch.bincount(draw(votes, torch.Generator().manual_seed(0)), minlength=3) / 20_000
    assert counts[1] == 0
    assert float(counts[2]) == pytest.approx(0.8, abs=0.01)


def test_balanced_weights_give_every_class_the_same_say():
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    weights = balanced_weights(labels, 4)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    assert float(weights[labels].mean()) == pytest.approx(1)


def test_losses_on_votes_ask_for_them(votes):
    faces = Samples(tuple("abcde"), torch.zeros(5, 1, 4, 4, dtype=torch.uint8), LABELS, ("x", "y", "z"))
    for loss in ("bce", "soft-cross-entropy", "drawn-cross-entropy", "multi-target"):
        with pytest.raises(DataError, match=f"Loss {loss} learns from votes; this dataset has none"):
            truth_of(Training(loss=loss), faces)
    assert torch.equal(truth_of(Training(), faces), LABELS)
