"""Residual networks. He et al., CVPR 2016, arXiv:1512.03385; with the stems of sources 000 and 003."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from inspect_fer.errors import ConfigError
from inspect_fer.models.blocks import at_least

EIGHTEEN, THIRTY_FOUR = (2, 2, 2, 2), (3, 4, 6, 3)
"""Basic blocks in each of the four stages of ResNet-18 and ResNet-34."""


def resnet(
    *,
    channels: int = 1,
    classes: int = 7,
    size: int = 48,
    blocks: Sequence[int] = EIGHTEEN,
    stem: Literal["small", "lmu"] = "small",
) -> nn.Module:
    """Build torchvision's ResNet of basic blocks with another stem and fresh weights.

    resnet18, resnet34: source 000, 11,171,271 and 21,279,431 parameters for 7 classes and 1 channel; the stem is a
        convolution of 3x3 with stride 1, so that pooling leaves half the side of a small face
    resnet18_lmu, resnet34_lmu: source 003, 11,179,590 and 21,287,750 for 6 classes and 3 channels; 7x7 with stride 2,
        and no pooling behind it

    size: side of the square images, at least 16; the weights do not depend on it. Raises ConfigError. Global average
    pooling and one linear layer close the network, so that CAM applies.
    """
    from torchvision.models.resnet import BasicBlock, ResNet  # takes seconds, and other networks do without

    at_least(16, size, "ResNet")
    if stem not in ("small", "lmu") or len(blocks) != 4 or not all(1 <= count <= 99 for count in blocks):
        raise ConfigError(
            f"A ResNet has 4 stages of 1 to 99 blocks and one of the stems small and lmu, not {blocks!r} and {stem!r}."
        )
    network: nn.Module = ResNet(BasicBlock, list(blocks), num_classes=classes)
    if stem == "small":
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    else:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        network.maxpool = nn.Identity()
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network
