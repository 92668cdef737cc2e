"""Which layers are gates: the module around one multiplies its own input by the layer's output."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from inspect_fer.capture.hooks import leave_no_trace, logits_of, watched

CLOSE = 1e-3
"""How far input times gate may lie from the output, in the largest output: one rounding of bfloat16 is less."""


def gate_layers(network: nn.Module, images: Tensor) -> list[str]:
    """Name the layers whose output (N, C) or (N, C, 1, 1) in 0..1 scales the channels of what their block is given.

    Tried on images (N, C, H, W), of which two or three are enough: a block's map is to be its input times the output of
    one of its direct parts. Whatever squeeze-and-excitation is made of is found this way, unless the gate is no layer
    of its own. A gate that runs several times in one pass does not count.
    """
    layers = {name: module for name, module in network.named_modules() if name}
    given: dict[str, Tensor] = {}
    small: dict[str, Tensor] = {}
    runs: Counter[str] = Counter()
    found: list[str] = []

    def enter(name: str, value: object) -> None:
        if isinstance(value, Tensor) and value.ndim == 4:
            given[name] = value.detach().clone()  # the block may write into it

    def leave(name: str, output: object) -> None:
        runs[name] += 1
        before = given.pop(name, None)
        if not isinstance(output, Tensor):
            return
        if output.ndim == 2 or (output.ndim == 4 and output.shape[2:] == (1, 1)):
            small[name] = output.detach().clone()
        if before is not None and before.shape == output.shape:
            parts = (f"{name}.{part}" for part, _ in layers[name].named_children())
            found.extend([part for part in parts if part in small and _scales(small[part], before, output)][-1:])

    with leave_no_trace(network), torch.no_grad(), watched(layers, leave), _entered(layers, enter):
        logits_of(network, images)
    return [name for name in found if runs[name] == 1]


@contextmanager
def _entered(layers: Mapping[str, nn.Module], see: Callable[[str, object], None]) -> Iterator[None]:
    """Tell `see` the name and the first input of each of these layers before it runs."""
    handles = [
        module.register_forward_pre_hook(lambda _module, inputs, name=name: see(name, *inputs[:1] or [None]))
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _scales(gate: Tensor, before: Tensor, after: Tensor) -> bool:
    """Whether maps (N, C, h, w) after a block are those before it, each channel times a number of 0 to 1."""
    if gate.shape[:2] != before.shape[:2] or gate.min() < 0 or gate.max() > 1:
        return False
    peak = after.abs().amax()
    return bool(peak > 0 and (before * gate.flatten(1)[:, :, None, None] - after).abs().amax() <= CLOSE * peak)
