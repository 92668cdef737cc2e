"""Squeeze-and-excitation gates, and what becomes of the logits when a gate or a channel is switched off."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from inspect_fer.capture import gate_layers, leave_no_trace, logits_of
from inspect_fer.capture.tail import checked_tail
from inspect_fer.internals.maps import output_of
from inspect_fer.internals.numbers import channel_groups
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples, Tick
from inspect_fer.twin import exact_twin

AT_ONCE = 2**24
"""So many numbers of altered features are in memory at once (64 MiB)."""

Channels = Sequence[int | Sequence[int]] | Tensor
"""Channels to switch, each alone or several together."""


def gates(model: Classifier, samples: Samples | Tensor, *, batch_size: int = 128) -> dict[str, Tensor]:
    """What each squeeze-and-excitation gate gives: (N, C) in 0..1 by the name of the gate's layer; {} without any.

    A gate is whatever scales the channels of its block's input (see `capture.gate_layers`).
    """
    images = network_input(model, samples)
    names = gate_layers(model.network, images.read(slice(2)))
    if not names:
        return {}
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for _, batch in images.batches(batch_size):
        for name in names:
            found[name].append(output_of(model.network, name, batch)[0].flatten(1).to("cpu", torch.float32))
    return {name: torch.cat(values) for name, values in found.items()}


def switched_off(
    model: Classifier,
    samples: Samples | Tensor,
    layer: str,
    channels: Channels | None = None,
    *,
    value: float = 0.0,
    batch_size: int = 128,
    tick: Tick | None = None,
) -> Tensor:
    """By how much the logits change when channels of a layer are set to `value`: (N, M, K) float32.

    channels: M of them, by default every one alone; of several in a tuple, all are set together; arrays and tensors do
    as well. layer: as in `activation_maps`; of tokens a channel is set in all, the class token among them. Of a gate's
    layer, 1 lets a channel pass as if there were no gate, 0 shuts it. Only what lies behind the layer is run again.
    Raises UnknownNameError, NetworkError, ConfigError and DataError.
    """
    images = network_input(model, samples)
    changes = []
    with leave_no_trace(model.network):
        network = exact_twin(model.network, (layer,), images.read(slice(2)))
        for rows, batch in images.batches(batch_size):
            output, layout = output_of(network, layer, batch)
            with torch.no_grad():
                logits = logits_of(network, batch)
            every = range(output.shape[layout.axis])
            groups = channel_groups(every if channels is None else channels, layer, len(every))
            behind = checked_tail(network, layer, batch, output, logits)
            for row, number in enumerate(range(rows.start, rows.stop)):
                answers = [behind(row, part) for part in _altered(output[row], groups, value, layout.axis - 1)]
                changes.append((torch.cat(answers) - logits[row]).to("cpu", torch.float32))
                if tick:
                    tick(number + 1, len(images))
    return torch.stack(changes)


def _altered(features: Tensor, groups: list[list[int]], value: float, axis: int) -> Iterator[Tensor]:
    """Copies of features, one for each group of channels along `axis` that is set to `value`: (m, ...) at a time."""
    size = max(1, AT_ONCE // features.numel())
    for start in range(0, len(groups), size):
        part = groups[start : start + size]
        copies = features.expand(len(part), *features.shape).clone()
        for copied, group in zip(copies.movedim(axis + 1, 1), part, strict=True):
            copied[group] = value
        yield copies
