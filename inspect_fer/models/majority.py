"""The network that has not looked: the baseline of source 004 (always happy), and of every table of scores."""

import torch
from torch import Tensor, nn

from inspect_fer.models.blocks import at_least


class Majority(nn.Module):
    """Gives every image the same logits, one bias a class, so that the commonest class of the training data wins.

    Trained with cross-entropy, the biases come to the logarithms of the class frequencies. There is no map to explain;
    the gradient by the image is zero everywhere. As many parameters as classes.

    channels, size: taken as every network takes them, and of no consequence
    """

    cam_layer = ""

    def __init__(self, *, channels: int = 1, classes: int = 7, size: int = 48) -> None:  # noqa: ARG002
        super().__init__()
        at_least(1, size, "majority")
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> logits (N, K)."""
        return self.bias + 0 * images.flatten(1)[:, :1]
