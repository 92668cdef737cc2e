"""Blocks that several networks share."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from inspect_fer.errors import ConfigError


def at_least(least: int, size: int, network: str) -> None:
    """Raise ConfigError when images of this side are too small for the network."""
    if size < least:
        raise ConfigError(f"The {network} network needs images of {least} or more, not {size}.")


def in_turn(**layers: nn.Module | None) -> nn.Sequential:
    """These layers one after the other, by name; those that are None are left out."""
    return nn.Sequential(OrderedDict((name, layer) for name, layer in layers.items() if layer is not None))


def take_channels(network: nn.Module, channels: int) -> None:
    """Let the first convolution take images of so many channels, with weights drawn as they were for its own."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    drawn = first.weight.detach()[:, [channel % first.in_channels for channel in range(channels)]]
    first.in_channels, first.weight = channels, nn.Parameter(drawn)


class SqueezeExcitation(nn.Module):
    """Scales every channel by what a bottleneck makes of all channels' means. Hu et al., CVPR 2018, arXiv:1709.01507.

    reduction: channels per unit of the bottleneck; the linear layers have no bias, as in source 003
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        between = max(1, channels // reduction)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Linear(channels, between, bias=False)
        self.relu = nn.ReLU()
        self.excite = nn.Linear(between, channels, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, features: Tensor) -> Tensor:
        """features (N, C, h, w) -> the same, each channel scaled by a number of 0 to 1."""
        weights: Tensor = self.sigmoid(self.excite(self.relu(self.squeeze(self.pool(features).flatten(1)))))
        return features * weights[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two convolutions with bias around a shortcut, which is a 1x1 convolution where stride or width change.

    norm: batch norm behind each convolution, as in source 003; source 004 has none
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride)
            self.shortcut = in_turn(conv=conv, norm=nn.BatchNorm2d(outputs) if norm else None)
        self.relu2 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """features (N, inputs, h, w) -> (N, outputs, h / stride, w / stride), rounded up."""
        deep = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(features)))))
        answer: Tensor = self.relu2(deep + self.shortcut(features))
        return answer


def conv_block(
    inputs: int,
    outputs: int,
    dropout: float = 0.0,
    *,
    norm: bool = True,
    squeeze: bool = False,
    round_up: bool = False,
) -> nn.Sequential:
    """Convolution, batch norm and/or squeeze-and-excitation, ReLU and pooling that halves the map; source 003."""
    return in_turn(
        conv=nn.Conv2d(inputs, outputs, 3, padding=1),
        norm=nn.BatchNorm2d(outputs) if norm else None,
        se=SqueezeExcitation(outputs) if squeeze else None,
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(2, ceil_mode=round_up),
        dropout=nn.Dropout(dropout) if dropout else None,
    )


def dense_head(*widths: int, dropout: Sequence[float] = ()) -> nn.Sequential:
    """Linear layers of these widths with ReLU between, and dropout behind the first of them, as many as are given."""
    *hidden, last = pairwise(widths)
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(hidden):
        layers += [nn.Linear(before, after), nn.ReLU(), *(nn.Dropout(rate) for rate in dropout[place : place + 1])]
    return nn.Sequential(*layers, nn.Linear(*last))
