"""A pass whose graph goes back to the input, with the outputs of many layers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inspect_fer.capture.hooks import as_input, leave_no_trace, run, watched
from inspect_fer.capture.shared import products


@dataclass(frozen=True, eq=False)
class WholePass:
    """The input (N, C, H, W) and the outputs of layers as a graph holds them, with the logits (N, K) at its end.

    outputs: (module, output) for every run of a watched layer, in order
    """

    images: Tensor
    outputs: tuple[tuple[nn.Module, Tensor], ...]
    logits: Tensor

    def gradients(self, scores: Tensor) -> list[Tensor]:
        """Of weighted sums (N, T, K) of the logits by the input and by each output: (T, N, ...) each.

        Raises NetworkError where no gradient reaches the input.
        """
        leaves = [self.images, *(output for _, output in self.outputs)]
        return products("input", leaves, self.logits, scores.transpose(0, 1))


def whole_pass(network: nn.Module, images: Tensor, wanted: Callable[[nn.Module], bool]) -> WholePass:
    """Pass images (N, C, H, W) through the network once and keep the graph, and the outputs of the wanted layers."""
    layers = {name: module for name, module in network.named_modules() if wanted(module)}
    outputs: list[tuple[nn.Module, Tensor]] = []

    def keep(name: str, output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or not output.requires_grad:
            return None
        outputs.append((layers[name], output))
        return output.clone()  # what follows may write into it

    with leave_no_trace(network), torch.enable_grad(), watched(layers, keep):
        leaf = as_input(network, images).requires_grad_()
        logits = run(network, leaf.clone(), rows=len(images))
    return WholePass(leaf, tuple(outputs), logits)
