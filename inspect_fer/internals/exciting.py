"""Which samples excite a channel most."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace
from inspect_fer.errors import ConfigError
from inspect_fer.internals.maps import outputs_of
from inspect_fer.lookup import lookup
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples, Tick
from inspect_fer.twin import exact_twin

Measure = Literal["max", "mean"]
MEASURES = ("max", "mean")


@dataclass(frozen=True, eq=False)
class ExcitingSamples:
    """The samples with the largest activation of each channel of a layer, the strongest first.

    rows: (C, k) int64, rows of the samples; of equal ones the earlier row comes first
    values: (C, k) float32, the largest or the mean activation
    places: (C, k, 2) int64, row and column of the cell with the largest activation, of maps of `size` (h, w)

    Features (N, F) count as maps of one cell.
    """

    rows: Tensor
    values: Tensor
    places: Tensor
    size: tuple[int, int]
    layer: str


def strength(maps: Tensor, measure: Measure) -> tuple[Tensor, Tensor]:
    """How strongly each map is active, and in which of its cells most. maps (N, C, h, w) -> (N, C) and (N, C) int64.

    What is not a number counts as least.
    """
    cells = maps.flatten(2).nan_to_num(-torch.inf, torch.inf, -torch.inf)
    most = cells.max(dim=2)
    return (most.values if measure == "max" else cells.mean(dim=2)), most.indices


def exciting_samples(
    model: Classifier,
    samples: Samples | Tensor,
    layer: str,
    count: int = 9,
    *,
    measure: Measure = "max",
    batch_size: int = 128,
    tick: Tick | None = None,
) -> ExcitingSamples:
    """Find the `count` samples that excite each channel of a layer most, and where in them.

    layer: as in `activation_maps`; measure: the "max" or the "mean" over the map. Samples are read batch by batch and
    only the best are kept. Raises UnknownNameError, NetworkError, ConfigError and DataError.
    """
    if count < 1:
        raise ConfigError(f"At least one sample a channel is asked for, not {count}.")
    lookup(dict.fromkeys(MEASURES), measure, "measure")
    images = network_input(model, samples)
    best: tuple[Tensor, ...] = ()
    with leave_no_trace(model.network):
        network = exact_twin(model.network, (layer,), images.read(slice(2)))
        for rows, output in outputs_of(network, layer, images, batch_size):
            maps = output if output.ndim == 4 else output[:, :, None, None]
            values, cells = strength(maps, measure)
            numbers = torch.arange(rows.start, rows.stop)[:, None].expand_as(cells)
            best = _best((values, numbers, cells), best, count)
            if tick:
                tick(rows.stop, len(images))
    values, numbers, cells = (found.T.contiguous() for found in best)
    places = torch.stack([cells // maps.shape[3], cells % maps.shape[3]], dim=2)
    return ExcitingSamples(numbers, values, places, (maps.shape[2], maps.shape[3]), layer)


def _best(new: tuple[Tensor, ...], before: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Values, rows and cells, (n, C) each, of the `count` largest values of each channel."""
    joined = [torch.cat(parts) for parts in zip(before, new, strict=True)] if before else new
    order = joined[0].sort(dim=0, descending=True, stable=True).indices[:count]
    return tuple(found.gather(0, order) for found in joined)
