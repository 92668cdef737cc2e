"""Why this class rather than that: contrast maps and Finer-CAM.

Contrast: Grad-CAM of a difference of two logits. Finer-CAM: Zhang et al., CVPR 2025, arXiv:2501.11309.
"""

from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import SharedPass
from inspect_fer.emotions import relabelling
from inspect_fer.errors import ConfigError, TargetError
from inspect_fer.explain.fills import check_between
from inspect_fer.explain.grad_cam import grad_cam
from inspect_fer.lookup import no_such_name
from inspect_fer.schema import ModelCard

Emotion: TypeAlias = Literal["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
"""The canonical emotions, which the dashboard offers."""


def strongest_rivals(logits: Tensor, targets: Tensor) -> Tensor:
    """For each target the other class with the largest logit: logits (N, K), targets (N, T). Returns (N, T)."""
    own = F.one_hot(targets, logits.shape[1]).bool()
    return logits[:, None].masked_fill(own, -torch.inf).argmax(dim=2)


def nearest_rivals(logits: Tensor, targets: Tensor, count: int) -> Tensor:
    """For each target the `count` other classes whose logits lie nearest to its own. Returns (N, T, count)."""
    own = F.one_hot(targets, logits.shape[1]).bool()
    distances = (logits[:, None] - logits.gather(1, targets)[..., None]).abs().masked_fill(own, torch.inf)
    return distances.argsort(dim=2, stable=True)[..., :count]


def against(targets: Tensor, rivals: Tensor, classes: int, strength: float = 1.0) -> Tensor:
    """Weights of the logits in y_c - strength * mean_t y_dt, in double precision as the network may be.

    targets (N, T), rivals (N, T, R). Returns (N, T, K).
    """
    rest = F.one_hot(rivals, classes).double().mean(dim=2)
    return F.one_hot(targets, classes) - strength * rest


def _needs_two_classes(shared: SharedPass) -> int:
    classes = shared.logits.shape[1]
    if classes < 2:
        raise ConfigError("A network of one class has no other class to set it against; use grad-cam.")
    return classes


@dataclass(frozen=True)
class Contrast:
    """Grad-CAM of one class less that of another: what speaks for the target rather than for its rival.
    Without a rival the predicted class is set against the runner-up, any other class against the predicted one.

    rival: the other class's name or id; None for the strongest other class of each image, which is
        `strongest_rivals(prediction.logits, explanation.targets)`
    """

    rival: Emotion | int | str | None = None

    def __post_init__(self) -> None:
        if self.rival is not None and type(self.rival) not in (int, str):
            raise ConfigError(f"A contrast takes a rival class by its name or id, or None, not {self.rival!r}.")

    def settled(self, card: ModelCard) -> Self:
        """The same with the rival by its id. Raises TargetError for a class that the network does not know."""
        names, rival = card.class_names, self.rival
        if isinstance(rival, str):
            if (rival := relabelling([rival], names)[0]) < 0:
                raise TargetError(f"{no_such_name(self.rival, names, 'class')} Name one of them as rival, or its id.")
        elif rival is not None and not 0 <= rival < len(names):
            raise TargetError(
                f"There is no class {rival} to contrast with: the classes are 0 to {len(names) - 1}, "
                f"{', '.join(names)}."
            )
        return replace(self, rival=rival)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), 0 where the target is the rival itself. The rival is settled before, see above."""
        classes = _needs_two_classes(shared)
        if self.rival is None:
            rivals = strongest_rivals(shared.logits, shared.targets)
        else:
            rivals = torch.full_like(shared.targets, int(self.rival))
        scores = against(shared.targets, rivals[..., None], classes)
        return grad_cam(shared.features, shared.gradients_of(scores))


@dataclass(frozen=True)
class FinerCAM:
    """Grad-CAM of the target's logit less those of the classes most like it, which suppresses what they share.

    similar: how many other classes, those with the logits nearest to the target's
    strength: gamma, how much of their mean is taken off
    """

    similar: int = 3
    strength: float = 0.6

    def __post_init__(self) -> None:
        if type(self.similar) is not int or self.similar < 1:
            raise ConfigError(f"Finer-CAM takes at least one similar class, not {self.similar!r}.")
        check_between("Finer-CAM", "strength", self.strength, 0, 1e6)

    def __call__(self, shared: SharedPass) -> Tensor:
        """Return maps (N, T, h, w), signed: the paper's, before the ReLU. Few classes: all others are similar ones."""
        classes = _needs_two_classes(shared)
        rivals = nearest_rivals(shared.logits, shared.targets, min(self.similar, classes - 1))
        scores = against(shared.targets, rivals, classes, self.strength)
        return grad_cam(shared.features, shared.gradients_of(scores))
