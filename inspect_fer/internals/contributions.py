"""What each channel of a layer does for each class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, shared_pass
from inspect_fer.errors import NetworkError
from inspect_fer.internals.layout import as_maps, checked_layout
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples, Tick
from inspect_fer.targets import Targets, predicted, resolve_targets

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
    targets: Targets = "all",
    *,
    batch_size: int = 128,
    tick: Tick | None = None,
) -> ChannelContributions:
    """Tell what each channel of a layer contributes to the logit of each target.

    Where global average pooling and one linear layer follow, weight x mean activation is exact: contributions and bias
    add up to the logit. Elsewhere it is gradient x activation, and `rest` says what that leaves.

    layer: one that gives maps (N, C, h, w), by default what the network's card names; targets: as in `explain`:
    "all", "predicted", "label", or classes by id or name. Raises TargetError, NetworkError, UnknownNameError and
    DataError.
    """
    read = layer or model.card.cam_layer
    if not read:
        raise NetworkError("Contributions are read at a layer, and the network's card names none; give one as layer=.")
    images = network_input(model, samples)
    names = model.card.class_names
    ids = resolve_targets(targets, images.labels, len(names), names)
    found = []
    for rows, batch in images.batches(batch_size):
        found.append(_of_batch(shared_pass(model.network, read, batch, predicted if ids is None else ids[rows])))
        if tick:
            tick(rows.stop, len(images))
    values, rest, chosen, kinds = zip(*found, strict=True)
    return ChannelContributions(torch.cat(values), torch.cat(rest), torch.cat(chosen), read, max(kinds))


def _of_batch(shared: SharedPass) -> tuple[Tensor, Tensor, Tensor, Kind]:
    """Values, rest, targets and kind of one batch; "gradient" comes behind "exact"."""
    if shared.head is not None:
        weight, bias = shared.head
        values, rest = weight_times_mean(shared.features, weight[shared.targets]), bias[shared.targets]
    else:
        layout = checked_layout(shared.network, shared.layer, shared.features, shared.images)
        gradients = as_maps(shared.gradients.flatten(0, 1), layout).unflatten(0, shared.targets.shape)
        values = gradient_times_activation(as_maps(shared.features, layout), gradients)
        rest = shared.logits.gather(1, shared.targets) - values.sum(dim=2)
    kind: Kind = "gradient" if shared.head is None else "exact"
    return values.to("cpu", torch.float32), rest.to("cpu", torch.float32), shared.targets.cpu(), kind
