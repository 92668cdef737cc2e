"""Deep feature factorisation: the concepts that a layer's features are made of.

Collins et al., ECCV 2018, arXiv:1806.10206; the factorisation is pytorch-grad-cam's (package grad-cam).
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.capture.tail import checked_tail
from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.internals.maps import activation_maps, output_of
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples


@dataclass(frozen=True, eq=False)
class Concepts:
    """What the samples' features have in common: features = concepts x maps, the most present concept first.

    vectors: (k, C), the features of each concept
    maps: (N, k, h, w), at least 0, how much of each concept there is at each place of each sample
    logits: (k, K), what the network answers to a concept that is everywhere
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
    have equal concepts, others may have others. layer: one with maps (N, C, h, w). Raises UnknownNameError,
    NetworkError, ConfigError and DataError.
    """
    from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

    if not 2 <= count <= 64:
        raise ConfigError(f"Features fall into 2 to 64 concepts, not {count}.")
    images = network_input(model, samples)
    features = activation_maps(model, samples, layer, batch_size=batch_size)
    if features.ndim != 4:
        raise NetworkError(f"Layer {layer!r} gives features (N, F) without places; name a convolution.")
    if not features.isfinite().all():
        raise NetworkError(f"What layer {layer!r} gives is not finite everywhere; there are no concepts in it.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about iterations that end before all is settled
        vectors, maps = map(torch.from_numpy, dff(features.clone().numpy(), count))
    order = maps.sum(dim=(0, 2, 3)).sort(descending=True, stable=True).indices
    vectors, maps = vectors.T[order].contiguous(), maps[:, order].contiguous()
    return Concepts(vectors, maps, _answers(model, images.read(slice(1)), layer, vectors), layer)


def _answers(model: Classifier, image: Tensor, layer: str, vectors: Tensor) -> Tensor:
    """(k, K), the logits where a concept (k, C) takes every place of the layer."""
    with leave_no_trace(model.network), torch.no_grad():
        output, layout = output_of(model.network, layer, image)
        behind = checked_tail(model.network, layer, image, output, logits_of(model.network, image))
        shape = [1] * output.ndim
        shape[layout.axis] = vectors.shape[1]
        everywhere = [vector.view(shape).expand_as(output).to(output) for vector in vectors]
        return torch.cat([behind(0, each) for each in everywhere]).to("cpu", torch.float32)
