"""From the intensities of facial action units to an emotion, for DISFA. Mavadati et al., IEEE TAC 2013, table 6."""

from typing import NamedTuple

import torch
from torch import Tensor

from inspect_fer.emotions import EMOTIONS

UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""The action units that DISFA codes, 0 to 5 each, in the order of the columns used here."""

BROWS = frozenset({1, 2, 4})
SLIGHT = (1, 2)
"""Intensities A and B, trace and slight: what the table calls low."""


class Rule(NamedTuple):
    """An emotion is shown when all of these units are, those of `low` weakly."""

    emotion: str
    units: frozenset[int]
    low: frozenset[int] = frozenset()


RULES = (
    Rule("happiness", frozenset({12})),
    Rule("happiness", frozenset({6, 12})),  # 7 + 12 as well, but DISFA does not code unit 7
    Rule("surprise", frozenset({1, 2}), low=frozenset({5})),
    Rule("surprise", frozenset({1, 2, 26})),
    Rule("disgust", frozenset({9})),  # 10 alone as well, but DISFA does not code unit 10
    Rule("sadness", frozenset({1})),
    Rule("sadness", frozenset({1, 4})),
    Rule("fear", frozenset({1, 2, 4})),
    Rule("fear", frozenset({20})),
)


def emotions_of(intensities: Tensor, *, threshold: int = 2) -> Tensor:
    """Which emotion is shown, by the paper's rules.

    intensities: (N, 12) of 0 to 5, in the order of UNITS; a unit is shown from `threshold` on
    Returns (N,) int64, ids of EMOTIONS["disfa"], -1 where it is undetermined.

    A rule holds when its units are shown, whatever else is; but a rule that names units of the brows (1, 2, 4) wants
    those and no other of the three, because raised inner brows (sadness), raised brows (surprise) and brows raised and
    drawn together (fear) differ in nothing else. Of several rules the one with the most units counts; where two
    emotions have as many, or no rule holds, it is undetermined. Anger, contempt and neutral have no rule.
    """
    names = EMOTIONS["disfa"]
    weight = torch.zeros(len(intensities), len(names), dtype=torch.int64)
    for rule in RULES:
        holds = _holds(rule, intensities, threshold)
        column, units = names.index(rule.emotion), len(rule.units | rule.low)
        weight[:, column] = torch.where(holds, weight[:, column].clamp(min=units), weight[:, column])
    top, label = weight.max(dim=1)
    alone = (weight == top[:, None]).sum(1) == 1
    return label.where((top > 0) & alone, -1)


def _holds(rule: Rule, intensities: Tensor, threshold: int) -> Tensor:
    shown = intensities >= threshold
    slight = (intensities >= SLIGHT[0]) & (intensities <= SLIGHT[1])
    holds = torch.ones(len(intensities), dtype=torch.bool)
    for column, unit in enumerate(UNITS):
        if unit in rule.units:
            holds &= shown[:, column]
        elif unit in rule.low:
            holds &= slight[:, column]
        elif unit in BROWS and rule.units & BROWS:
            holds &= ~shown[:, column]
    return holds
