"""Occlusion that computes only what a window can change.

Nakandala et al., Incremental and approximate inference for faster occlusion-based deep CNN explanations, SIGMOD 2019
(Krypton); here exact: what a window cannot reach is taken from the clean image's maps, the rest is computed as always.
"""

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from inspect_fer.capture import logits_of
from inspect_fer.capture.hooks import as_input
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.incremental.gain import Measured, Outlook, write_down
from inspect_fer.explain.incremental.plan import Forecast, Traced, alive, evened, forecast_of, reaches, traced
from inspect_fer.explain.incremental.reach import Spans
from inspect_fer.explain.incremental.run import program, run
from inspect_fer.schema import Footprint
from inspect_fer.twin import TOLERANCE, graph_of

PAYS = 1.2
"""From this forecast gain on, what need not be computed outweighs cutting and pasting."""

CACHE, FEW = 2**26, 64
"""Bytes at a time beyond which more windows at a time gain nothing, and how many windows there are at least."""


def outlook(network: nn.Module, image: Tensor, places: Footprint) -> Outlook:
    """What `logits_under` is going to do for an image (1, C, H, W), as far as is known before."""
    if image.device.type != "cpu" or any(weight.device.type != "cpu" for weight in network.parameters()):
        return Outlook(why_not="only on a processor does less pay")
    try:
        told = forecast(network, image, places)
    except Exception:  # as below
        told = None
    if told is None:
        return Outlook(why_not="the network cannot be traced, or hooks hang on it")
    if told.gain < PAYS:
        return Outlook(why_not=f"windows reach so much of its maps that {told.gain:.1f}x less work is all to be had")
    return Outlook(told.gain)


def logits_under(network: nn.Module, images: Tensor, fill: Tensor, places: Footprint) -> tuple[Tensor, Tensor] | None:
    """The logits of images (N, C, H, W) and of each with the fill (N, C, H, W) under each window, if that is faster.

    Returns (N, K) and (N, windows, K). None off the processor, where cutting has not been seen to pay; where the
    network cannot be traced; where the windows reach too much of its maps; and where a few of them, computed whole, say
    otherwise.
    """
    graph = graph_of(network)
    images, fill = as_input(network, images), as_input(network, fill)
    if graph is None or images.device.type != "cpu":
        return None
    try:
        net = traced(network, graph, images[:1])
        windows = places.rows, places.columns
        gain = forecast_of(net, reaches(net, windows)).gain
        return _logits(net, images, fill, windows, gain) if gain >= PAYS else None
    except Exception:  # whole maps have the last word
        return None


def forecast(network: nn.Module, image: Tensor, places: Footprint) -> Forecast | None:
    """What the windows cost on an image (1, C, H, W); None for a network that cannot be traced."""
    graph = graph_of(network)
    if graph is None:
        return None
    with torch.no_grad():
        net = traced(network, graph, as_input(network, image))
        return forecast_of(net, reaches(net, (places.rows, places.columns)))


def _logits(
    net: Traced, images: Tensor, fill: Tensor, windows: tuple[Spans, Spans], gain: float
) -> tuple[Tensor, Tensor] | None:
    """Block after block of the windows, so many images at a time as memory allows."""
    rows, columns = windows
    fitting = _fitting(net, windows, images.element_size())
    count = max(1, min(len(images), fitting // (len(rows) * len(columns))))
    clean = left = None
    whole, taken = float("inf"), 0.0
    for down, across in _blocks(len(rows), len(columns), fitting):
        block = rows[down], columns[across]
        ready = program(net, evened(net, reaches(net, block), count))
        for start in range(0, len(images), count):
            chunk = slice(start, start + count)
            started = time.perf_counter()
            found = run(ready, images[chunk], fill[chunk])
            taken += time.perf_counter() - started
            if start == 0:
                agrees, seconds = _agrees(net.network, images[:1], fill[:1], block, found[0])
                if not agrees:
                    return None
                whole = min(whole, seconds)
            if clean is None or left is None:
                clean = found.new_empty(len(images), found.shape[2])
                left = found.new_empty(len(images), len(rows), len(columns), found.shape[2])
            clean[chunk] = found[:, 0]
            left[chunk, down, across] = found[:, 1:].unflatten(1, (len(block[0]), len(block[1])))
    if clean is None or left is None:
        return None
    write_down(Measured(gain, whole * len(images) * (1 + len(rows) * len(columns)), taken))
    return clean, left.flatten(1, 2)


def _fitting(net: Traced, windows: tuple[Spans, Spans], size: int) -> int:
    """How many windows to compute at a time, for numbers of `size` bytes: no more memory than whole maps may take."""
    whole, each = alive(net, evened(net, reaches(net, windows), images=1))
    return max(1, int(min(at_once() * whole, max(CACHE / size, FEW * each)) / each))


def _blocks(rows: int, columns: int, fitting: int) -> Iterator[tuple[slice, slice]]:
    """Cut a grid of windows into blocks of at most so many, of whole rows if possible."""
    wide = min(columns, fitting)
    tall = min(rows, fitting // wide)
    for top in range(0, rows, tall):
        for left in range(0, columns, wide):
            yield slice(top, min(top + tall, rows)), slice(left, min(left + wide, columns))


def _agrees(
    network: nn.Module, image: Tensor, fill: Tensor, windows: tuple[Spans, Spans], found: Tensor
) -> tuple[bool, float]:
    """Whether the logits (1 + windows, K) are those of the image and of three of the windows, computed whole.

    With it the seconds that one of these takes, image or window.
    """
    rows, columns = windows
    covered, kept = [image], [0]
    for down, across in ((0, 0), (len(rows) // 2, len(columns) // 2), (len(rows) - 1, len(columns) - 1)):
        under = (..., slice(*rows[down]), slice(*columns[across]))
        covered.append(image.clone())
        covered[-1][under] = fill[under]
        kept.append(1 + down * len(columns) + across)
    started = time.perf_counter()
    expected = logits_of(network, torch.cat(covered))
    seconds = (time.perf_counter() - started) / len(covered)
    tolerance = max(TOLERANCE, torch.finfo(expected.dtype).eps)
    return bool((found[kept] - expected).abs().amax() <= tolerance * expected.abs().amax()), seconds
