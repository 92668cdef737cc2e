"""The rules of FER+ against slow twins, written from the text that describes the reference implementation."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from inspect_fer.datasets.votes import KINDS, MODES, NO_EMOTION, NO_MAJORITY, TOO_SPREAD, crossentropy, multi_target

ROWS = st.lists(st.lists(st.integers(0, 5), min_size=10, max_size=10), min_size=1, max_size=12)
"""Few different numbers of votes, so that ties are common."""

TIES = [
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    [2, 2, 2, 2, 0, 0, 0, 0, 0, 0],  # four of the same
    [2, 2, 2, 0, 0, 0, 0, 0, 2, 2],
    [4, 0, 0, 0, 0, 0, 0, 0, 4, 0],  # an emotion and unknown
    [0, 0, 0, 0, 0, 0, 0, 0, 5, 5],
    [6, 0, 0, 0, 0, 0, 0, 0, 2, 2],
    [0, 0, 0, 3, 0, 0, 0, 4, 3, 0],
    [3, 0, 0, 3, 0, 0, 0, 0, 4, 0],
    [4, 2, 2, 2, 0, 0, 0, 0, 0, 0],
    [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],
]


def without_single_votes(votes):
    return [vote if vote > 1 else 0 for vote in votes]


def majority_by_hand(votes):
    """Keep the top column if it has more than S / 2. The shares are those of all emotions."""
    counted = without_single_votes(votes)
    kept = max(counted) > sum(counted) / 2
    return counted.index(max(counted)), counted if kept else None, NO_MAJORITY


def crossentropy_by_hand(votes):
    """Take columns in descending order, equal counts together, until 75 % of S or three; unknown and NF end it."""
    left = dict(enumerate(without_single_votes(votes)))
    total, taken, ended = sum(left.values()), {}, False
    while sum(taken.values()) < 0.75 * total and len(taken) < 3 and not ended:
        top = max(left.values())
        for column in [column for column in range(10) if left.get(column) == top]:
            del left[column]
            if column < 8:
                taken[column] = top
            else:
                if not taken:
                    taken[column] = top
                ended = True
                break
    rejected = sum(taken.values()) <= total / 2 or len(taken) > 3
    counts = [taken.get(column, 0) for column in range(10)]
    return counts.index(max(counts)), None if rejected else counts, TOO_SPREAD


def multi_target_by_hand(votes):
    """Keep columns with at least 30 % of S; reject if they cover 50 % or less. Those kept are equal targets."""
    counted = without_single_votes(votes)
    total = sum(counted)
    taken = [vote if vote >= 0.3 * total - 1e-9 else 0 for vote in counted]
    return taken.index(max(taken)), None if sum(taken) <= total / 2 else taken, TOO_SPREAD


BY_HAND = {
    "majority": majority_by_hand,
    "probability": crossentropy_by_hand,
    "crossentropy": crossentropy_by_hand,
    "multi_target": multi_target_by_hand,
}


def shares_by_hand(mode, counts):
    emotions = [float(count > 0) if mode == "multi_target" else float(count) for count in counts[:8]]
    return [share / sum(emotions) for share in emotions]


@pytest.mark.parametrize("mode", MODES)
@given(rows=ROWS)
@example(rows=TIES)
def test_every_rule_is_the_one_written_out(mode, rows):
    labels, shares, reasons = MODES[mode](torch.tensor(rows, dtype=torch.float32))
    for row, votes in enumerate(rows):
        label, counts, rejected = BY_HAND[mode](votes)
        if counts is None:
            assert reasons[row] == rejected
        elif label >= 8:
            assert reasons[row] == NO_EMOTION
        else:
            assert reasons[row] == ""
            assert int(labels[row]) == label
            assert shares[row].tolist() == pytest.approx(shares_by_hand(mode, counts))


@pytest.mark.parametrize("mode", MODES)
@given(rows=ROWS)
def test_what_is_kept_is_a_distribution_with_its_label_on_top(mode, rows):
    votes = torch.tensor(rows, dtype=torch.float32)
    labels, shares, reasons = MODES[mode](votes)
    kept = torch.from_numpy(reasons == "")
    assert torch.allclose(shares[kept].sum(1), torch.ones(int(kept.sum())))
    assert (labels[kept] < KINDS).all()
    top = shares.gather(1, labels.clamp(max=KINDS - 1)[:, None])[:, 0]
    assert torch.equal(top[kept], shares.amax(1)[kept])
    assert torch.equal(votes, torch.tensor(rows, dtype=torch.float32))  # the caller's votes are left alone


def test_examples_by_the_text():
    votes = torch.tensor(
        [[4.0, 3, 0, 3, 0, 0, 0, 0, 0, 0], [3, 0, 3, 0, 0, 0, 0, 0, 4, 0], [6, 0, 0, 0, 0, 0, 0, 0, 4, 0]]
    )
    labels, shares, reasons = crossentropy(votes)
    assert reasons.tolist() == ["", TOO_SPREAD, ""]  # unknown comes first and covers 4 of 10; then it comes second
    assert shares[[0, 2]].tolist() == [pytest.approx([0.4, 0.3, 0, 0.3, 0, 0, 0, 0]), [1, 0, 0, 0, 0, 0, 0, 0]]
    labels, shares, reasons = multi_target(torch.tensor([[3.0, 5, 2, 0, 0, 0, 0, 0, 0, 0]]))
    assert labels.tolist() == [1]
    assert shares.tolist() == [[0.5, 0.5, 0, 0, 0, 0, 0, 0]]
