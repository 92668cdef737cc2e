"""What each channel of a layer does for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspect_fer.capture import SharedPass, shared_pass
from inspect_fer.errors import NetworkError, TargetError
from inspect_fer.internals.layout import as_maps, checked_layout
from inspect_fer.lookup import no_such_name
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples, Tick

Kind = Literal["exact", "gradient"]
"""How contributions were found: weight x mean activation, or gradient x activation."""

Targets = str | int | Sequence[int] | Tensor
""" "predicted", "label", "all", one class for every image, one class an image (N,), or several (N, T)."""
WORDS = ("predicted", "label", "all")


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
    "all", "predicted", "label" or class ids. Raises TargetError, NetworkError, UnknownNameError and DataError.
    """
    read = layer or model.card.cam_layer
    if not read:
        raise NetworkError("Contributions are read at a layer, and the network's card names none; give one as layer=.")
    images = network_input(model, samples)
    ids = _class_ids(targets, images.labels, len(model.card.class_names))
    found = []
    for rows, batch in images.batches(batch_size):
        found.append(_of_batch(shared_pass(model.network, read, batch, _predicted if ids is None else ids[rows])))
        if tick:
            tick(rows.stop, len(images))
    values, rest, chosen, kinds = zip(*found, strict=True)
    return ChannelContributions(torch.cat(values), torch.cat(rest), torch.cat(chosen), read, max(kinds))


def _predicted(logits: Tensor) -> Tensor:
    return logits.argmax(dim=1, keepdim=True)


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


def _class_ids(targets: Targets, labels: Tensor, classes: int) -> Tensor | None:
    """Class ids (N, T) int64, None for "predicted". Raises TargetError for what does not fit N images and K classes."""
    count = len(labels)
    if isinstance(targets, str):
        return _of_word(targets, labels, classes)
    try:
        ids = torch.as_tensor(targets).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as problem:
        raise TargetError(f"Targets are class ids or one of {', '.join(WORDS)}, not {targets!r}.") from problem
    ids = ids.expand(count) if ids.ndim == 0 else ids
    whole = ids.dtype != torch.bool and not ids.is_floating_point() and not ids.is_complex()
    if ids.ndim not in (1, 2) or len(ids) != count or not ids.numel() or not whole:
        shape = " x ".join(map(str, ids.shape))
        raise TargetError(f"{count} images need a class id, {count} of them or as many rows, not {shape} {ids.dtype}.")
    wrong = ids[(ids < 0) | (ids >= classes)]
    if len(wrong):
        raise TargetError(f"The {classes} classes are 0 to {classes - 1}; there is no {int(wrong[0])}.")
    return ids.to(torch.int64).reshape(count, -1)


def _of_word(word: str, labels: Tensor, classes: int) -> Tensor | None:
    if word not in WORDS:
        raise TargetError(f"{no_such_name(word, WORDS, 'target')} Class ids do as well.")
    if word == "all":
        return torch.arange(classes).expand(len(labels), classes)
    unknown = int((labels < 0).sum())
    if word == "label" and unknown:
        raise TargetError(f"{unknown} of {len(labels)} images have no label; use 'predicted' or class ids.")
    return labels[:, None] if word == "label" else None
