"""Deep feature factorisation: the concepts that a layer's features are made of.

Collins et al., ECCV 2018, arXiv:1806.10206; the factorisation is pytorch-grad-cam's (package grad-cam).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.capture.tail import AGREES, checked_tail
from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.internals.maps import activation_maps, output_of
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples

FEWEST, MOST = 2, 64
"""So many concepts may be asked for."""
AT_ONCE = 2**27
"""So many features are factorised at once: 512 MiB, and twice as much on the way."""


@dataclass(frozen=True, eq=False)
class Concepts:
    """What the samples' features have in common: features = concepts x maps, what makes up most of them first.

    vectors: (k, C), the features of each concept at the place where there is most of it
    maps: (N, k, h, w), 0..1, how much of each concept there is at each place; 1 at one place of one sample
    logits: (k, K), what the network answers where a concept takes every place, a class token's too

    A factorisation leaves open how large a concept is and how large its maps: the largest value of the maps settles it.
    """

    vectors: Tensor
    maps: Tensor
    logits: Tensor
    layer: str


def concepts(
    model: Classifier, samples: Samples | Tensor, layer: str, count: int = 5, *, batch_size: int = 128
) -> Concepts:
    """Factorise what a layer gives for all samples together into `count` concepts, none negative.

    Each channel is lifted by its least value first and lowered again in the concepts. The seed is fixed: equal samples
    have equal concepts, others may have others. layer: one whose output has places, maps or tokens, as in
    `activation_maps`, and which nothing passes by on the way to the logits. Raises UnknownNameError, NetworkError,
    ConfigError and DataError.
    """
    if not FEWEST <= count <= MOST:
        raise ConfigError(f"Features fall into {FEWEST} to {MOST} concepts, not {count}.")
    images = network_input(model, samples)
    with leave_no_trace(model.network), torch.no_grad():
        answer = _answer_alone(model.network, layer, images.read(slice(1)), len(images))
    features = _finite(activation_maps(model, samples, layer, batch_size=batch_size), layer)
    vectors, maps = _factorised(features, count)
    return Concepts(vectors, maps, answer(vectors), layer)


def _factorised(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Vectors (k, C) and maps (N, k, h, w), largest 1, of features (N, C, h, w); see Concepts for their order."""
    from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about iterations that end before all is settled
        vectors, maps = map(torch.from_numpy, dff(features.numpy(), count))
    least, peaks = features.amin(dim=(0, 2, 3)), maps.amax(dim=(0, 2, 3))
    parts = (vectors.T - least).clamp(min=0) * peaks[:, None]
    maps = maps / peaks.clamp(min=torch.finfo(maps.dtype).tiny)[:, None, None]
    order = (parts.sum(dim=1) * maps.sum(dim=(0, 2, 3))).sort(descending=True, stable=True).indices
    return parts[order] + least, maps[:, order].contiguous()


def _answer_alone(network: nn.Module, layer: str, image: Tensor, samples: int) -> Callable[[Tensor], Tensor]:
    """Vectors (k, C) to logits (k, K), each vector at every place of the layer; tried out on one image (1, C, H, W).

    Raises NetworkError where the layer has no places or where the logits also follow from what passes it by,
    ConfigError where so many samples are too many to factorise.
    """
    output, layout = output_of(network, layer, image)
    if layout.grid is None:
        raise NetworkError(f"Layer {layer!r} gives features (N, F) without places; name a convolution.")
    most = AT_ONCE // output.numel()
    if samples > most:
        raise ConfigError(
            f"{samples} samples have too many features at layer {layer!r} to factorise them together; take at most "
            f"{most}, or a later layer."
        )
    _finite(output, layer)
    another = torch.linspace(-1, 1, image.numel()).view_as(image).to(image)
    behind = checked_tail(network, layer, torch.cat([image, another]), output, logits_of(network, image))
    same, other = behind(0, output), behind(1, output)
    if not (same - other).abs().amax() <= AGREES * same.abs().amax():
        raise NetworkError(
            f"Behind layer {layer!r} the network also reads what passes it by, such as a shortcut, and cannot answer "
            "to a concept alone; name the block around it."
        )

    def answer(vectors: Tensor) -> Tensor:
        shape = [1] * output.ndim
        shape[layout.axis] = vectors.shape[1]
        everywhere = [vector.view(shape).to(output).expand_as(output) for vector in vectors]
        return torch.cat([behind(0, each) for each in everywhere]).to("cpu", torch.float32)

    return answer


def _finite(features: Tensor, layer: str) -> Tensor:
    """These features, if all of them are finite; else NetworkError."""
    if not features.isfinite().all():
        raise NetworkError(f"What layer {layer!r} gives is not finite everywhere; there are no concepts in it.")
    return features
