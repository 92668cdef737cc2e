"""Shapley-CAM. Cai, 2025, arXiv:2501.06261."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from inspect_fer.capture import SharedPass, shared_pass
from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.explain.method import Passes, Setting

Utility = Literal["logit", "rest"]


def shapley_cam(features: Tensor, gradients: Tensor, curvatures: Tensor) -> Tensor:
    """Weigh each channel by its mean of gradient less half the curvature (before the ReLU).

    w_k = mean_ij (g_k - (H A)_k / 2), H the Hessian of the utility by the features: the Shapley values of the features
    as players, for a utility cut off after its second Taylor term.
    features (N, C, h, w); gradients, curvatures H A (N, T, C, h, w). Returns (N, T, h, w), signed.
    """
    weights = (gradients - curvatures / 2).mean(dim=(3, 4))
    return torch.einsum("ntc,nchw->nthw", weights, features)


def utility(logits: Tensor, targets: Tensor, kind: Utility) -> Tensor:
    """What the players win, (N, T): the target's logit y_c, or ReST, y_c + log softmax(y)_c."""
    scores = logits if kind == "logit" else logits + logits.log_softmax(dim=1)
    return scores.gather(1, targets)


def curvature(leaf: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of scores (N, T) by leaf (N, C, h, w), and Hessian times leaf: (N, T, C, h, w) each."""
    found = [_first_and_second(leaf, score) for score in scores.sum(dim=0)]
    first, second = zip(*found, strict=True)
    return torch.stack(first, dim=1), torch.stack(second, dim=1)


def _first_and_second(leaf: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    (first,) = torch.autograd.grad(score, leaf, create_graph=True)
    if not first.requires_grad:  # linear behind the layer
        return first, torch.zeros_like(leaf)
    along = leaf.detach()
    (second,) = torch.autograd.grad(first, leaf, along, retain_graph=True, allow_unused=True, materialize_grads=True)
    return first.detach(), second


@dataclass(frozen=True)
class ShapleyCAM:
    """Grad-CAM with a second-order term, which shares out the target's score as Shapley values do.

    utility: "logit", or "rest", the paper's residual softmax score; behind layers that are linear piece by piece a
        logit has no curvature, and the map is Grad-CAM's
    """

    utility: Utility = "logit"

    def __post_init__(self) -> None:
        if self.utility not in ("logit", "rest"):
            raise ConfigError(f"Shapley-CAM shares out 'logit' or 'rest', not {self.utility!r}.")

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(backward=2 * setting.targets)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w). Raises NetworkError where no first or second derivative reaches the layer."""
        found = self._derivatives(shared)
        if found is None:  # fused attention has no second derivative, plain attention has
            with sdpa_kernel(SDPBackend.MATH):
                again = shared_pass(shared.network, shared.layer, shared.images, shared.targets)
            found = self._derivatives(again)
        if found is None:
            raise NetworkError(
                f"Shapley-CAM needs second derivatives, and what lies behind layer {shared.layer!r} has none; "
                "use grad-cam, or name a later layer."
            )
        return shapley_cam(shared.features, *found)

    def _derivatives(self, shared: SharedPass) -> tuple[Tensor, Tensor] | None:
        """Gradient and Hessian times features, (N, T, C, h, w) each; None where there is no second derivative."""
        leaf, logits = shared.graph.maps[shared.layer], shared.graph.logits
        if not logits.requires_grad:
            raise NetworkError(f"No gradient leads from the logits back to layer {shared.layer!r}; name a later layer.")
        targets = shared.targets.to(logits.device, copy=True)
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                first, second = curvature(leaf, utility(logits, targets, self.utility))
        except RuntimeError as problem:
            if not any(words in str(problem) for words in ("not implemented", "not supported")):
                raise
            return None
        return first.to(shared.features.dtype), second.to(shared.features.dtype)
