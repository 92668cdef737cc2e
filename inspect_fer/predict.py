"""Logits of a set of samples, in batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.datasets.labels import labelled_as
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.schema import Classifier, Prediction, Samples, Tick
from inspect_fer.twin import exact_twin


@dataclass(frozen=True, eq=False)
class Images:
    """Samples or a tensor on their way into a network.

    pixels of samples and uint8 tensors are normalised by the card when they are read; float tensors are input as
    they are. labels: (N,) in the network's class order, -1 where unknown.
    """

    model: Classifier
    ids: tuple[str, ...]
    labels: Tensor
    source: Samples | Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, rows: slice) -> Tensor:
        """Network input (n, C, H, W) of these rows, on the network's device."""
        given = self.source.pixels[rows] if isinstance(self.source, Samples) else self.source[rows]
        return given.to(self.model.device) if given.is_floating_point() else self.model.normalise(given)

    def batches(self, size: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows and their network input in order, at most `size` at a time. Raises ConfigError for size < 1."""
        if size < 1:
            raise ConfigError(f"A batch holds at least one image, not {size}.")
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self.read(rows)


def network_input(model: Classifier, samples: Samples | Tensor) -> Images:
    """Make samples ready for a network. Raises DataError when there are none or when they do not fit it."""
    if isinstance(samples, Samples):
        samples = labelled_as(samples, model.card.class_names)
        images = Images(model, samples.ids, samples.labels, samples)
    else:
        _check_tensor(samples)
        ids = tuple(map(str, range(len(samples))))
        images = Images(model, ids, torch.full((len(samples),), -1), samples)
    if not len(images):
        raise DataError("There is no image to work on; an empty selection or split?")
    shape = samples.pixels.shape if isinstance(samples, Samples) else samples.shape
    if tuple(shape[1:]) != model.card.input_size:
        wanted, given = " x ".join(map(str, model.card.input_size)), " x ".join(map(str, shape[1:]))
        raise DataError(f"The network takes images of {wanted} (channels, height, width), these are {given}.")
    return images


def _check_tensor(images: Tensor) -> None:
    """Raise DataError for what is neither pixels nor network input."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        given = " x ".join(map(str, images.shape)) if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"Give Samples or a tensor (N, C, H, W), not {given}; one image is images[None].")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"A tensor of images is uint8 (pixels) or float (network input), not {images.dtype}.")


def predict(
    model: Classifier, samples: Samples | Tensor, *, batch_size: int = 256, tick: Tick | None = None
) -> Prediction:
    """Ask the network about every sample.

    Samples and uint8 tensors (N, C, H, W) are normalised by the card, float tensors are network input as they are; the
    rows of a tensor are called "0", "1", ... Labels come in the network's class order, -1 where unknown. Raises
    DataError when there are no images or they do not fit the network.
    """
    images = network_input(model, samples)
    logits = []
    with leave_no_trace(model.network):
        network = exact_twin(model.network, (), images.read(slice(2)))
        for rows, batch in images.batches(batch_size):
            with torch.inference_mode():
                logits.append(logits_of(network, batch).to("cpu", torch.float32))
            if tick:
                tick(rows.stop, len(images))
        card = model.card
        return Prediction(images.ids, torch.cat(logits), images.labels, card.class_names, card.output, card.threshold)
