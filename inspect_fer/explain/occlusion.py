"""Occlusion. Zeiler and Fergus, ECCV 2014, arXiv:1311.2901, section 4.2."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.errors import ConfigError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.fills import Fill, check_fill, filled
from inspect_fer.explain.incremental import logits_under, outlook
from inspect_fer.explain.incremental.gain import Outlook
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.regions import inside
from inspect_fer.schema import Classifier, Footprint


def windows(length: int, window: int, stride: int) -> tuple[tuple[int, int], ...]:
    """Where the windows start and stop along one side; the last may be clipped, and each holds a pixel."""
    starts = range(0, length - max(window - stride, 0), stride)
    return tuple((start, min(start + window, length)) for start in starts)


def occluded(images: Tensor, fill: Tensor, places: Footprint, at_once: int) -> Iterator[Tensor]:
    """Yield each image under each of its windows in turn, at most `at_once` (n, C, H, W) at a time.

    images, fill: (N, C, H, W). Windows come in rows of the map, image after image.
    """
    height, width = images.shape[2:]
    down, across = inside(places.rows, height, images.device), inside(places.columns, width, images.device)
    for jobs in torch.arange(len(images) * len(down) * len(across), device=images.device).split(at_once):
        image, row, column = torch.unravel_index(jobs, (len(images), len(down), len(across)))
        hidden = down[row][:, None, :, None] & across[column][:, None, None, :]
        yield torch.where(hidden, fill[image], images[image])


def whole_logits(network: nn.Module, images: Tensor, fill: Tensor, places: Footprint) -> tuple[Tensor, Tensor]:
    """The logits of images (N, C, H, W) and of each under each window, computed whole: (N, K) and (N, windows, K)."""
    batches = occluded(images, fill, places, at_once())
    covered = torch.cat([logits_of(network, batch) for batch in batches])
    return logits_of(network, images), covered.view(len(images), -1, covered.shape[1])


@dataclass(frozen=True)
class Occlusion:
    """By how much the target's logit falls when a window of the image is covered.

    window, stride: pixels
    fill: a value in network-input units, "mean" of the image per channel, or "blur" (Gaussian of half a window)
    """

    window: int = 8
    stride: int = 4
    fill: Fill = 0.0

    own_passes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            if type(value) is not int or value < 1:
                raise ConfigError(f"Occlusion takes a {name} of at least one whole pixel, not {value!r}.")
        check_fill("Occlusion", self.fill)

    def footprint(self, input_size: tuple[int, int, int]) -> Footprint:
        """The window that each cell of a map stands for.

        Raises ConfigError when it is larger than the image, or the stride so large that no second one holds a pixel.
        """
        _, height, width = input_size
        if self.window > min(height, width):
            raise ConfigError(
                f"A window of {self.window} pixels does not fit an image of {height} x {width}; give one of at most "
                f"{min(height, width)}."
            )
        places = Footprint(windows(height, self.window, self.stride), windows(width, self.window, self.stride))
        sides = (places.rows, height), (places.columns, width)
        if any(len(spans) == 1 and self.window < length for spans, length in sides):
            raise ConfigError(
                f"A stride of {self.stride} pixels leaves an image of {height} x {width} behind at once; give one of "
                f"at most the window's {self.window} pixels, which covers everything."
            )
        return places

    def passes(self, setting: Setting) -> Passes:
        """What an image costs; less where only what a window reaches is computed again."""
        places = self.footprint(setting.input_size)
        return Passes(1 + len(places.rows) * len(places.columns), at_most=True)

    def outlook(self, network: nn.Module, image: Tensor) -> Outlook:
        """Whether what no window reaches is going to be left out; image (1, C, H, W)."""
        channels, height, width = image.shape[1:]
        return outlook(network, image, self.footprint((channels, height, width)))

    def filling(self, images: Tensor) -> Tensor:
        """What stands under the windows, (N, C, H, W)."""
        return filled(images, self.fill, self.window / 2)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W) network input, targets (N, T). Returns (N, T, rows, columns), in units of the logit."""
        channels, height, width = images.shape[1:]
        places = self.footprint((channels, height, width))
        with leave_no_trace(model.network):
            with torch.inference_mode():
                given = model.network, images, self.filling(images), places
                clean, covered = logits_under(*given) or whole_logits(*given)
            falls = (clean[:, None] - covered).mT  # (N, K, windows)
            chosen = targets.to(falls.device)[..., None].expand(-1, -1, falls.shape[2])
            return falls.gather(1, chosen).view(*targets.shape, len(places.rows), len(places.columns))
