"""What a network answers."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.schema.card import Output
from inspect_fer.schema.shown import Shown


def probabilities_of(logits: Tensor, output: Output) -> Tensor:
    """(N, K), in 0..1, of logits (N, K); rows add up to 1 for softmax networks."""
    return logits.sigmoid() if output == "sigmoid" else logits.softmax(dim=1)


@dataclass(frozen=True)
class Prediction(Shown):
    """What a network answered: logits (N, K) float32, with the labels (N,) beside them, -1 where unknown."""

    ids: tuple[str, ...]
    logits: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    output: Output = "softmax"
    threshold: float = 0.5

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def probabilities(self) -> Tensor:
        """(N, K), in 0..1; rows add up to 1 for softmax networks."""
        return probabilities_of(self.logits, self.output)

    @cached_property
    def predicted(self) -> Tensor:
        """(N,) int64, the most probable class."""
        return self.logits.argmax(dim=1)

    @cached_property
    def confidence(self) -> Tensor:
        """(N,) probability of the predicted class."""
        return self.probabilities.amax(dim=1)

    @cached_property
    def loss(self) -> Tensor:
        """(N,) cross-entropy in nats of the label, NaN where it is unknown."""
        losses = F.cross_entropy(self.logits, self.labels.clamp(min=0), reduction="none")
        return losses.where(self.labels >= 0, torch.nan)

    @cached_property
    def wrong(self) -> Tensor:
        """(N,) bool, True where the label is known and another class was predicted."""
        return (self.labels >= 0) & (self.predicted != self.labels)
