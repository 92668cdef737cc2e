"""Plain convolutional networks of source 003 (GiMeFive, arXiv:2402.15662, and its preliminary report)."""

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from inspect_fer.errors import ConfigError


def block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """Convolution, batch norm, ReLU and pooling that halves the map."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, 3, padding=1),
            norm=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            dropout=nn.Dropout(dropout),
        )
    )


def dense_head(inputs: int, first: int, second: int, classes: int, dropout: float) -> nn.Sequential:
    """Three linear layers with ReLU between; dropout behind the first."""
    return nn.Sequential(
        nn.Linear(inputs, first),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, classes),
    )


class BaselineCNN(nn.Module):
    """Four blocks of convolution, batch norm, ReLU and pooling, then three linear layers; source 003.

    width: channels of the first block, doubled by each further one; 64 in the source, which has 2,606,086 parameters
        for 6 classes and 3 channels
    dropout: behind the first linear layer; block_dropout: behind each pooling (0.2 in the source's final form)
    size: side of the square images, at least 16; the weights do not depend on it
    """

    cam_layer = "blocks.3.relu"

    def __init__(
        self,
        *,
        channels: int = 1,
        classes: int = 7,
        size: int = 48,
        width: int = 64,
        dropout: float = 0.5,
        block_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if size < 16:
            raise ConfigError(
                f"The baseline network halves its map four times and needs images of 16 or more, not {size}."
            )
        widths = (channels, width, 2 * width, 4 * width, 8 * width)
        self.blocks = nn.Sequential(*(block(before, after, block_dropout) for before, after in pairwise(widths)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = dense_head(8 * width, 16 * width, 8 * width, classes, dropout)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, H, W) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(images)).flatten(1))
        return logits
