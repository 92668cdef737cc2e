"""The three networks of source 004. Its text tells their parts; what of their widths is lost is ours."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.models.blocks import ResidualBlock, at_least, dense_head, in_turn


def conv(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution of 3x3 that keeps the size of the map, and ReLU."""
    return in_turn(conv=nn.Conv2d(inputs, outputs, 3, padding=1), relu=nn.ReLU())


class SmallCNN(nn.Module):
    """Two convolutions with pooling and a dense head; the first model of source 004, whose widths are lost.

    149,223 parameters for 7 classes and 1 channel at 48 px.

    width: channels of the first convolution, doubled by the second; dense: outputs of the first linear layer
    size: side of the square images, at least 4; the first linear layer is made for it
    """

    cam_layer = "features.conv2"

    def __init__(self, *, channels: int = 1, classes: int = 7, size: int = 48, width: int = 8, dense: int = 64) -> None:
        super().__init__()
        at_least(4, size, "small")
        self.features = in_turn(
            conv1=conv(channels, width),
            pool1=nn.MaxPool2d(2),
            conv2=conv(width, 2 * width),
            pool2=nn.MaxPool2d(2),
        )
        self.classifier = dense_head(2 * width * (size // 4) ** 2, dense, classes)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class ResidualCNN(nn.Module):
    """Two residual blocks with a convolution between; the second model of source 004.

    Its text speaks of four channels in the first block and of at least seven maps between, which are 4 and 8 here; all
    convolutions have stride 1 and none has batch norm. 76,047 parameters for 7 classes and 1 channel at 48 px.

    width: channels of the first block, doubled between; dense: outputs of the first linear layer
    size: side of the square images, at least 4; the first linear layer is made for it
    """

    cam_layer = "block2"

    def __init__(self, *, channels: int = 1, classes: int = 7, size: int = 48, width: int = 4, dense: int = 64) -> None:
        super().__init__()
        at_least(4, size, "residual")
        self.first = conv(channels, width)
        self.block1 = ResidualBlock(width, width, norm=False)
        self.between = conv(width, 2 * width)
        self.pool1 = nn.MaxPool2d(2)
        self.block2 = ResidualBlock(2 * width, 2 * width, norm=False)
        self.pool2 = nn.MaxPool2d(2)
        self.classifier = dense_head(2 * width * (size // 4) ** 2, dense, classes)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        features = self.pool1(self.between(self.block1(self.first(images))))
        logits: Tensor = self.classifier(self.pool2(self.block2(features)).flatten(1))
        return logits


class UNetCNN(nn.Module):
    """An encoder of two levels, and back up with the early maps concatenated; the third model of source 004.

    After U-Net (Ronneberger et al., MICCAI 2015, arXiv:1505.04597). The widths are lost; with these the innermost map
    has as many numbers as the image at 48 px (16 x 12 x 12), as the text wants it. 305,359 parameters for 7 classes
    and 1 channel.

    width: channels of the outer level, doubled by the inner one; dense: outputs of the first linear layer
    size: side of the square images, at least 4; the first linear layer is made for it
    """

    cam_layer = "outer_up"

    def __init__(self, *, channels: int = 1, classes: int = 7, size: int = 48, width: int = 8, dense: int = 64) -> None:
        super().__init__()
        at_least(4, size, "U-Net")
        self.outer_down = conv(channels, width)
        self.inner_down = conv(width, 2 * width)
        self.innermost = conv(2 * width, 2 * width)
        self.inner_up = conv(4 * width, 2 * width)
        self.outer_up = conv(3 * width, width)
        self.pool = nn.MaxPool2d(2)
        self.classifier = dense_head(width * (size // 2) ** 2, dense, classes)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, C, size, size) -> logits (N, K)."""
        outer = self.outer_down(images)
        inner = self.inner_down(self.pool(outer))
        innermost = self.innermost(self.pool(inner))
        up = self.outer_up(_beside(outer, self.inner_up(_beside(inner, innermost))))
        logits: Tensor = self.classifier(self.pool(up).flatten(1))
        return logits


def _beside(early: Tensor, deep: Tensor) -> Tensor:
    """Maps of an early layer and, brought to their size, those of a deeper one: (N, C + D, h, w)."""
    return torch.cat((early, F.interpolate(deep, size=early.shape[-2:])), dim=1)
