"""Losses: what a network's logits cost against labels or votes, in nats. Letters: N samples, K classes.

Every loss takes logits (N, K) and truth, labels (N,) int64 or shares (N, K), and returns the mean over the samples.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.errors import DataError
from inspect_fer.schema import Samples
from inspect_fer.training.config import ON_VOTES, Training

Cost = Callable[[Tensor, Tensor], Tensor]

MULTI_TARGET_EPSILON = 1e-3


def focal(logits: Tensor, labels: Tensor, *, gamma: float, weights: Tensor | None = None) -> Tensor:
    """Focal loss, -(1 - p)^gamma log p of the label. Lin et al., ICCV 2017, arXiv:1708.02002, eq. 4.

    gamma: 0 gives cross-entropy; weights (K,): of the classes, eq. 5, averaged as cross-entropy does
    """
    logs = logits.log_softmax(1).gather(1, labels[:, None]).squeeze(1)
    costs = -((1 - logs.exp()) ** gamma) * logs
    if weights is None:
        return costs.mean()
    return (weights[labels] * costs).sum() / weights[labels].sum()


def multi_target(logits: Tensor, votes: Tensor) -> Tensor:
    """Minus the log of the most probable class that voters chose. Barsoum et al., ICMI 2016, arXiv:1608.01041, eq. 5.

    votes (N, K): classes with a share above 0 are chosen; the others count with a weight of 0.001, so that the loss
    stays finite (as in the authors' implementation)
    """
    chosen = (votes > 0).to(logits) * (1 - MULTI_TARGET_EPSILON) + MULTI_TARGET_EPSILON
    return -(chosen.log() + logits.log_softmax(1)).amax(1).mean()


def truth_of(options: Training, faces: Samples) -> Tensor:
    """What a loss compares with: labels (N,), or votes (N, K) for losses that learn from them. Raises DataError."""
    if options.loss not in ON_VOTES:
        return faces.labels
    if faces.votes is None:
        raise DataError(f"Loss {options.loss} learns from votes; this dataset has none. Use ferplus, or cross-entropy.")
    return faces.votes


def draw(votes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one class a row with the probability of its share: votes (N, K) -> labels (N,)."""
    return torch.multinomial(votes, 1, generator=generator).squeeze(1)


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """One over the share of each class among the labels, scaled so that the mean over the samples is 1: (K,).

    A class without samples weighs 0, as it is never asked for.
    """
    counts = torch.bincount(labels, minlength=classes)
    present = (counts > 0).sum()
    return torch.where(counts > 0, len(labels) / (present * counts.clamp(min=1)), 0.0).float()


def cost_of(options: Training, weights: Tensor | None = None) -> Cost:
    """The loss of a recipe; weights (K,) of the classes where it asks for them.

    A loss on labels takes shares (N, K) as well, which mixed images have.
    """
    if options.loss == "focal":
        return partial(focal, gamma=options.focal_gamma, weights=weights)
    if options.loss == "multi-target":
        return multi_target
    if options.loss == "bce":
        return partial(F.binary_cross_entropy_with_logits, weight=weights)
    return partial(F.cross_entropy, weight=weights, label_smoothing=options.label_smoothing)
