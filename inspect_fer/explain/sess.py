"""SESS, saliency enhancing with scaling and sliding. Tursun et al., ECCV 2022, arXiv:2207.01769.

Patches, weights and fusion are those of pytorch-grad-cam, of which a single pass a patch serves every class here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import leave_no_trace, shared_pass
from inspect_fer.errors import ConfigError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import check_between, check_count
from inspect_fer.explain.grad_cam import grad_cam
from inspect_fer.explain.grad_cam_plus_plus import grad_cam_plus_plus
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.pointwise import hires_cam, layer_cam
from inspect_fer.explain.weighing import scaled
from inspect_fer.explain.xgrad_cam import xgrad_cam
from inspect_fer.schema import Classifier, probabilities_of

BASES = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "hires-cam": hires_cam,
    "layer-cam": layer_cam,
    "xgrad-cam": xgrad_cam,
}
"""Formulas of features and gradients, by registry name."""


EVIDENCE = 1e-4
"""From here on a weighed map, 0 to 1, counts as evidence: theta of the paper, above what rounding makes of 0."""


@dataclass(frozen=True)
class Patch:
    """A part of the image, as large as the image, of a copy enlarged to `size` (rows, columns)."""

    size: tuple[int, int]
    top: int
    left: int


def patches(size: tuple[int, int], scales: int, step: float) -> list[Patch]:
    """Cover the image (H, W), which is the first scale, and `scales` - 1 copies, each larger by step * (H, W)."""
    height, width = size
    sizes = [(height + round(height * step) * grown, width + round(width * step) * grown) for grown in range(scales)]
    return [
        Patch((tall, wide), top, left)
        for tall, wide in sizes
        for top in _starts(tall, height)
        for left in _starts(wide, width)
    ]


def _starts(length: int, window: int) -> list[int]:
    """Where windows side by side start; the last one is moved back into the image."""
    return [min(start, length - window) for start in range(0, length, window)]


def sess(maps: Iterable[Tensor], scores: Tensor, cut: list[Patch], pool: Literal["mean", "max"]) -> Tensor:
    """Weigh each patch's map by the target's score in it, paste it where the patch was cut out, and fuse all.

    maps (T, H, W) of each of the P patches, 0 to 1; scores (P, T), at least 0, of which only the ratio to the largest
    counts; `pool` "mean" takes, at each place, the mean over patches with evidence there. Returns (T, H, W), 0 to 1.
    """
    most = scores.amax(dim=0)
    weights = torch.where(most == 0, torch.ones_like(scores), scores / most)
    total = covered = scores.new_zeros(())
    for patch, values, weight in zip(cut, maps, weights, strict=True):
        pasted = _pasted(values * weight[:, None, None], patch)
        if pool == "max":
            total = torch.maximum(total, pasted)
        else:
            seen = ~(pasted <= EVIDENCE)  # what is no number is evidence that nothing is known
            total = total + pasted.where(seen, 0)
            covered = covered + seen
    return total if pool == "max" else total / covered.clamp(min=1)


def _pasted(maps: Tensor, patch: Patch) -> Tensor:
    """Maps (T, H, W) of a patch as they lie in the whole image, (T, H, W), 0 around them; one by one, for memory."""
    height, width = maps.shape[1:]
    (tall, wide), top, left = patch.size, patch.top, patch.left
    around = (left, wide - width - left, top, tall - height - top)
    whole = (F.pad(one, around) for one in maps.split(1))
    return torch.cat([F.interpolate(one[None], (height, width), mode="bilinear")[0] for one in whole])


@dataclass(frozen=True)
class SESS:
    """Maps of parts of the image, enlarged step by step, fused into a finer one.

    base: of which method the maps are
    scales: sizes of the image, itself included; step: how much larger each is than the one before, in image sides
    pool: "mean" over the patches that see evidence at a place, or the "max"
    """

    base: Literal["grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam"] = "grad-cam"
    scales: int = 12
    step: float = 2 / 7
    pool: Literal["mean", "max"] = "mean"

    own_passes: ClassVar[bool] = True
    reads_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.base not in tuple(BASES):
            raise ConfigError(f"SESS has the bases {', '.join(BASES)}, not {self.base!r}.")
        if self.pool not in ("mean", "max"):
            raise ConfigError(f"SESS pools by 'mean' or 'max', not by {self.pool!r}.")
        check_count("SESS", "scales", self.scales, most=100)
        check_between("SESS", "step", self.step, 0, 10)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        count = len(self._patches(setting.input_size))
        return Passes(count, 0 if setting.linear_head else count)

    def smaller(self) -> Self:
        """Two scales, of which the second is as large as the last."""
        return replace(self, scales=min(self.scales, 2), step=self.step * max(1, self.scales - 1))

    def _patches(self, input_size: tuple[int, int, int]) -> list[Patch]:
        return patches(input_size[1:], self.scales, self.step)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str) -> Tensor:
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, H, W), 0 to 1."""
        with leave_no_trace(model.network), torch.no_grad():
            each = [self._maps(model, image, wanted, layer) for image, wanted in zip(images, targets, strict=True)]
        return torch.stack(each)

    def _maps(self, model: Classifier, image: Tensor, targets: Tensor, layer: str) -> Tensor:
        """(T, H, W) of one image (C, H, W)."""
        size, formula = (image.shape[1], image.shape[2]), BASES[self.base]
        cut = self._patches((len(image), *size))
        maps, scores = [], []
        rows = at_once(graph=True, share=len(targets))
        for start in range(0, len(cut), rows):
            seen = _seen(image, cut[start : start + rows])
            shared = shared_pass(model.network, layer, seen, targets.expand(len(seen), -1))
            maps.append(formula(shared.features, shared.gradients).clamp(min=0))
            scores.append(probabilities_of(shared.logits, model.card.output).gather(1, shared.targets))
        enlarged = (F.interpolate(coarse[None], size, mode="bilinear") for coarse in torch.cat(maps))  # one by one
        return sess((scaled(fine)[0] for fine in enlarged), torch.cat(scores), cut, self.pool)


def _seen(image: Tensor, cut: list[Patch]) -> Tensor:
    """The patches (n, C, H, W) of an image (C, H, W)."""
    _, height, width = image.shape
    found = []
    for size, patches_of_it in groupby(cut, key=attrgetter("size")):
        enlarged = F.interpolate(image[None], size, mode="bilinear")[0]
        found += [enlarged[:, p.top : p.top + height, p.left : p.left + width].clone() for p in patches_of_it]
    return torch.stack(found)
