"""Score-CAM. Wang et al., CVPR Workshops 2020, arXiv:1910.01279."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import SharedPass, leave_no_trace, logits_of
from inspect_fer.errors import ConfigError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.weighing import scaled
from inspect_fer.schema import ModelCard

Weights = Literal["softmax", "probability"]


def masks_of(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Channels (C, h, w) at the size of the image, each scaled from 0 to 1: (C, *size)."""
    return scaled(F.interpolate(features[None], size, mode="bilinear", align_corners=False)[0])


def score_cam(features: Tensor, scores: Tensor, weights: Weights) -> Tensor:
    """Weigh each channel by the score of the image seen through it, before the ReLU.

    features (N, C, h, w); scores (N, T, C), the target's logit for "softmax", which makes them weights that sum to 1
    over the channels (a baseline image's logit would cancel), its probability for "probability". Returns (N, T, h, w).
    """
    chosen = scores.softmax(dim=2) if weights == "softmax" else scores
    return torch.einsum("ntc,nchw->nthw", chosen, features)


def masked_logits(shared: SharedPass) -> Tensor:
    """Logits of each image under each channel's mask, (N, K, C); equal masks, and those of dead channels, pass once."""
    return torch.stack([_masked_logits(shared, row) for row in range(len(shared.features))])


def _masked_logits(shared: SharedPass, row: int) -> Tensor:
    """(K, C), for one image."""
    image, features = shared.images[row].to(shared.features), shared.features[row]
    different, which = scaled(features).unique(dim=0, return_inverse=True)
    with leave_no_trace(shared.network), torch.no_grad():
        chunks = (masks_of(chunk, (image.shape[1], image.shape[2])) for chunk in different.split(at_once()))
        found = torch.cat([logits_of(shared.network, image * masks[:, None]) for masks in chunks])
    return found[which].mT.to(shared.logits.dtype)


@dataclass(frozen=True)
class ScoreCAM:
    """Channels weighed by the target's score for the image seen through each of them; no gradients.

    weights: "softmax" over the channels of the target's logits, as in the paper, or the target's "probability" itself,
        as in its authors' program
    """

    weights: Weights = "softmax"

    def __post_init__(self) -> None:
        if self.weights not in ("softmax", "probability"):
            raise ConfigError(f"Score-CAM weighs by 'softmax' or by 'probability', not by {self.weights!r}.")

    def fits(self, card: ModelCard) -> None:
        """Raise ConfigError where the classes' probabilities are not those of a softmax."""
        if self.weights == "probability" and card.output != "softmax":
            raise ConfigError(
                f"Score-CAM weighs by a softmax's probability, and this network's output is {card.output}; use "
                "weights=softmax, which reads the logits."
            )

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(forward=setting.features[0], at_most=True)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w)."""
        logits = masked_logits(shared)  # of every class at once
        scores = logits if self.weights == "softmax" else logits.softmax(dim=1)
        chosen = scores.gather(1, shared.targets[..., None].expand(-1, -1, scores.shape[2]))
        return score_cam(shared.features, chosen, self.weights)
