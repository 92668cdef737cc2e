"""What each channel of a layer does for each class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, shared_pass
from inspect_fer.errors import NetworkError, TargetError
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples, Tick

Kind = Literal["exact", "gradient"]
"""How contributions were found: weight x mean activation, or gradient x activation."""


@dataclass(frozen=True, eq=False)
class ChannelContributions:
    """By how much each channel of a layer raises each target's logit.

    values: (N, T, C) float32, signed, in units of the logit
    rest: (N, T) float32, what the sum over channels leaves of the logit: the head's bias where `kind` is "exact", else
        all biases further on and what is not linear
    targets: (N, T) int64
    """

    values: Tensor
    rest: Tensor
    targets: Tensor
    layer: str
    kind: Kind


def weight_times_mean(features: Tensor, weights: Tensor) -> Tensor:
    """Sum over the places of CAM's terms: w_k^c mean(A^k). Zhou et al., CVPR 2016, arXiv:1512.04150, section 2.

    features (N, C, h, w), weights (N, T, C) of each target -> (N, T, C).
    """
    return weights * features.mean(dim=(2, 3))[:, None]


def gradient_times_activation(features: Tensor, gradients: Tensor) -> Tensor:
    """Sum over the places of gradient x activation: the first-order part of the logit that runs through a channel.

    Shrikumar et al., arXiv:1605.01713, section 3, at a layer instead of the input. features (N, C, h, w), gradients
    (N, T, C, h, w) -> (N, T, C).
    """
    return torch.einsum("ntchw,nchw->ntc", gradients, features)


def channel_contributions(
    model: Classifier,
    samples: Samples | Tensor,
    layer: str | None = None,
    targets: Tensor | Literal["all"] = "all",
    *,
    batch_size: int = 128,
    tick: Tick | None = None,
) -> ChannelContributions:
    """Tell what each channel of a layer contributes to the logit of each target.

    Where global average pooling and one linear layer follow, weight x mean activation is exact: contributions and bias
    add up to the logit. Elsewhere it is gradient x activation, and `rest` says what that leaves.

    layer: one that gives maps (N, C, h, w), by default what the network's card names; targets: (N, T) class ids, or
    "all". Raises TargetError, NetworkError, UnknownNameError and DataError.
    """
    read = layer or model.card.cam_layer
    if not read:
        raise NetworkError("Contributions are read at a layer, and the network's card names none; give one as layer=.")
    images = network_input(model, samples)
    ids = _class_ids(targets, len(images), len(model.card.class_names))
    found = []
    for rows, batch in images.batches(batch_size):
        found.append(_of_batch(shared_pass(model.network, read, batch, ids[rows])))
        if tick:
            tick(rows.stop, len(images))
    values, rest, kinds = zip(*found, strict=True)
    return ChannelContributions(torch.cat(values), torch.cat(rest), ids, read, max(kinds))


def _of_batch(shared: SharedPass) -> tuple[Tensor, Tensor, Kind]:
    """Values, rest and kind of one batch; "gradient" comes behind "exact"."""
    if shared.head is not None:
        weight, bias = shared.head
        values, rest = weight_times_mean(shared.features, weight[shared.targets]), bias[shared.targets]
    else:
        values = gradient_times_activation(shared.features, shared.gradients)
        rest = shared.logits.gather(1, shared.targets) - values.sum(dim=2)
    kind: Kind = "gradient" if shared.head is None else "exact"
    return values.to("cpu", torch.float32), rest.to("cpu", torch.float32), kind


def _class_ids(targets: Tensor | Literal["all"], count: int, classes: int) -> Tensor:
    """Class ids (N, T) int64. Raises TargetError for what does not fit N images and K classes."""
    if isinstance(targets, str):
        if targets != "all":
            raise TargetError(f"Contributions are to 'all' classes or to class ids (N, T), not to {targets!r}.")
        return torch.arange(classes).expand(count, classes)
    if targets.ndim != 2 or len(targets) != count or not targets.numel() or targets.dtype != torch.int64:
        shape = " x ".join(map(str, targets.shape))
        raise TargetError(f"{count} images need class ids (N, T) int64 with {count} rows, not {shape} {targets.dtype}.")
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise TargetError(f"The {classes} classes are 0 to {classes - 1}; there is no {int(wrong[0])}.")
    return targets.detach().cpu()
