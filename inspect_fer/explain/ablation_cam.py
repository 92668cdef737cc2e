"""Ablation-CAM. Desai and Ramaswamy, WACV 2020, doi:10.1109/WACV45572.2020.9093360."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.errors import ConfigError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.weighing import of_known, ratio


def ablation_cam(features: Tensor, falls: Tensor) -> Tensor:
    """Weigh each channel by how much of the score is lost without it: sum_k fall_k A_k, before the ReLU.

    features (N, C, h, w); falls (N, T, C). Returns (N, T, h, w), signed.
    """
    return torch.einsum("ntc,nchw->nthw", falls, features)


def falls_of_a_linear_head(features: Tensor, weight: Tensor) -> Tensor:
    """By how much each logit falls without a channel, where logits are weight (K, C) times the features' mean.

    features (N, C, h, w). Returns w_k mean(A_k), (N, K, C).
    """
    return weight * features.mean(dim=(2, 3))[:, None]


def falls_by_passes(shared: SharedPass) -> Tensor:
    """By how much each logit falls when a channel is set to 0, (N, K, C), by passes through what lies behind the layer.

    A channel that is 0 already costs no pass. Raises NetworkError where the rest of the network cannot run by itself.
    """
    falls = shared.logits.new_zeros(*shared.logits.shape, shared.features.shape[1])
    for row, features in enumerate(shared.features):
        for channels in features.flatten(1).any(dim=1).nonzero()[:, 0].split(at_once()):
            ablated = features.repeat(len(channels), 1, 1, 1)
            ablated[torch.arange(len(channels)), channels] = 0
            falls[row, :, channels] = (shared.logits[row] - shared.behind(row, ablated)).mT
    return falls


@dataclass(frozen=True)
class AblationCAM:
    """Channels weighed by how much the target's logit falls when each is set to 0; no gradients.

    scale: "score" divides the fall by the logit, as the paper does, which turns the map's sign where the logit is
        negative and magnifies it where it is near 0; "magnitude" divides by its absolute value; "none" leaves the fall
        as it is, in units of the logit, so that classes can be compared
    """

    scale: Literal["score", "magnitude", "none"] = "score"

    def __post_init__(self) -> None:
        if self.scale not in ("score", "magnitude", "none"):
            raise ConfigError(f"Ablation-CAM scales by 'score', 'magnitude' or 'none', not by {self.scale!r}.")

    def turned(self, scores: Tensor) -> Tensor | None:
        """Where the logit that a fall is divided by, (N, T), is negative."""
        return scores < 0 if self.scale == "score" else None

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes() if setting.linear_head else Passes(forward=setting.features[0], at_most=True)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), 0 where a logit to divide by is 0, NaN where it is no number.

        Raises NetworkError, see falls_by_passes.
        """
        return of_known(shared, self._maps)

    def _maps(self, shared: SharedPass) -> Tensor:
        head = shared.head
        falls = falls_by_passes(shared) if head is None else falls_of_a_linear_head(shared.features, head[0])
        chosen = falls.gather(1, shared.targets[..., None].expand(-1, -1, falls.shape[2]))
        if self.scale != "none":
            score = shared.logits.gather(1, shared.targets)[..., None].expand_as(chosen)
            chosen = ratio(chosen, score if self.scale == "score" else score.abs())
        return ablation_cam(shared.features, chosen)
