"""Logits of a set of samples, in batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.datasets.labels import labelled_as
from inspect_fer.errors import ConfigError, DataError, NetworkError
from inspect_fer.images import centre_crop, ten_crops
from inspect_fer.lookup import lookup
from inspect_fer.schema import Classifier, ModelCard, Prediction, Samples, Tick
from inspect_fer.twin import exact_twin

VIEWS = ("single", "flip", "ten-crop")
"""How an image may be shown: as it is, with its mirror image, or as ten crops."""


@dataclass(frozen=True, eq=False)
class Images:
    """Samples or a tensor on their way into a network.

    pixels of samples and uint8 tensors are normalised by the card when they are read; float tensors are input as
    they are. labels: (N,) in the network's class order, -1 where unknown. whole: larger images are not cropped.
    """

    model: Classifier
    ids: tuple[str, ...]
    labels: Tensor
    source: Samples | Tensor
    whole: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, rows: slice) -> Tensor:
        """Network input (n, C, H, W) of these rows, on the network's device; larger images where they stay whole."""
        given = self.source.pixels[rows] if isinstance(self.source, Samples) else self.source[rows]
        given = given.to(self.model.device)
        images = given if given.is_floating_point() else self.model.card.scale(given)
        side = self.model.card.input_size[2]
        return images if self.whole or images.shape[3] <= side else centre_crop(images, side)

    def batches(self, size: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows and their network input in order, at most `size` at a time. Raises ConfigError for size < 1."""
        if size < 1:
            raise ConfigError(f"A batch holds at least one image, not {size}.")
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield rows, self.read(rows)


def network_input(model: Classifier, samples: Samples | Tensor, *, whole: bool = False) -> Images:
    """Make samples ready for a network. Raises DataError when there are none or when they do not fit it.

    Squares of the card's read_size are cropped to the centre. whole: squares larger than the input stay as they are.
    Raises NetworkError for a network without a card.
    """
    require_card(model)
    if isinstance(samples, Samples):
        samples = labelled_as(samples, model.card.class_names)
        images = Images(model, samples.ids, samples.labels, samples, whole)
    else:
        _check_tensor(samples)
        ids = tuple(map(str, range(len(samples))))
        images = Images(model, ids, torch.full((len(samples),), -1), samples, whole)
    if not len(images):
        raise DataError("There is no image to work on; an empty selection or split?")
    shape, wanted = (
        tuple((samples.pixels if isinstance(samples, Samples) else samples).shape[1:]),
        model.card.input_size,
    )
    square = shape[0] == wanted[0] and shape[1] == shape[2]
    if shape != wanted and not (square and (shape[1] == model.card.read_size or (whole and shape[1] > wanted[1]))):
        raise DataError(
            f"The network takes images of {' x '.join(map(str, wanted))} (channels, height, width), these are "
            f"{' x '.join(map(str, shape))}."
        )
    return images


def require_card(model: object) -> None:
    """Raise NetworkError for a network that nothing is known of, and for what is none."""
    if not isinstance(model, Classifier):
        kind = model.__name__ if isinstance(model, type) else type(model).__name__
        raise NetworkError(
            f"{kind} has no card that says what its classes and its input are; use fer.wrap(network, class_names, "
            "input_size, mean, std), or fer.load(...) for a checkpoint."
        )


def check_tick(tick: object) -> None:
    """Raise ConfigError for what cannot be told of progress."""
    if tick is not None and not callable(tick):
        raise ConfigError(f"tick is a function that is told (done, total), or None, not {tick!r}.")


def _check_views(views: str, card: ModelCard) -> None:
    lookup(dict.fromkeys(VIEWS), views, "way to view an image")
    if views == "ten-crop" and card.input_size[1] != card.input_size[2]:
        raise ConfigError(f"Ten crops are squares; this network takes {card.input_size[1]} x {card.input_size[2]}.")


def _check_tensor(images: Tensor) -> None:
    """Raise DataError for what is neither pixels nor network input."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        given = " x ".join(map(str, images.shape)) if isinstance(images, Tensor) else type(images).__name__
        raise DataError(
            f"Give Samples or a tensor (N, C, H, W), not {given}; one image is images[None], an array becomes a "
            "tensor by torch.from_numpy."
        )
    if images.layout != torch.strided:
        raise DataError("These images are a sparse tensor; give images.to_dense().")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"A tensor of images is uint8 (pixels) or float (network input), not {images.dtype}.")


def views_of(images: Tensor, side: int, views: str = "single") -> Tensor:
    """What a network is shown of images (N, C, H, W) no smaller than its input: (N, V, C, side, side).

    views: "single" the centre, "flip" the centre and its mirror image, "ten-crop" corners, centre and mirror images
    """
    if views == "ten-crop":
        return ten_crops(images, side)
    centre = centre_crop(images, side) if images.shape[-1] > side else images
    return torch.stack([centre, centre.flip(-1)] if views == "flip" else [centre], dim=1)


def predict(
    model: Classifier,
    samples: Samples | Tensor,
    *,
    views: str = "single",
    batch_size: int = 64,
    tick: Tick | None = None,
) -> Prediction:
    """Ask the network about every sample.

    views: "single", "flip" or "ten-crop", whose logits are averaged (see `views_of`); pictures larger than the
        network's input are cropped then

    Samples and uint8 tensors (N, C, H, W) are normalised by the card, float tensors are network input as they are; the
    rows of a tensor are called "0", "1", ... Labels come in the network's class order, -1 where unknown. Raises
    DataError when there are no images or they do not fit the network, NetworkError for a network without a card, and
    ConfigError for unknown views.
    """
    require_card(model)
    check_tick(tick)
    card = model.card
    _check_views(views, card)
    images = network_input(model, samples, whole=views == "ten-crop")
    side, logits = card.input_size[2], []
    with leave_no_trace(model.network):
        network = exact_twin(model.network, (), views_of(images.read(slice(2)), side)[:, 0])
        for rows, batch in images.batches(batch_size):
            with torch.inference_mode():
                seen = [logits_of(network, view) for view in views_of(batch, side, views).unbind(1)]
                logits.append(torch.stack(seen).mean(0).to("cpu", torch.float32))
            if tick:
                tick(rows.stop, len(images))
        return Prediction(images.ids, torch.cat(logits), images.labels, card.class_names, card.output, card.threshold)
