"""Networks on which the methods through captum are compared with captum itself."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Plain(nn.Module):
    """Every activation a module of its own, nothing in place, no batch norm: what captum takes as it is."""

    def __init__(self, channels=1, classes=5):
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2, self.relu2 = nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()
        self.pool2 = nn.AdaptiveAvgPool2d(2)
        self.hidden, self.relu3 = nn.Linear(24, 8), nn.ReLU()
        self.last = nn.Linear(8, classes)

    def forward(self, images):
        maps = self.pool1(self.relu1(self.conv1(images)))
        maps = self.pool2(self.relu2(self.conv2(maps)))
        return self.last(self.relu3(self.hidden(maps.flatten(1))))


class Rough(Plain):
    """The same numbers from one ReLU for all, functions, and additions in place."""

    def __init__(self, channels=1, classes=5):
        super().__init__(channels, classes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images):
        maps = F.avg_pool2d(self.relu(self.conv1(images)), 2)
        maps = F.adaptive_avg_pool2d(F.relu(self.conv2(maps), inplace=True), (2, 2))
        return self.last(self.relu(self.hidden(torch.flatten(maps, 1))))


class Gated(nn.Module):
    """A squeeze-and-excitation block with a shortcut, as in SE-ResNet."""

    def __init__(self, channels=1, classes=5):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(inplace=True)
        self.squeeze, self.excite = nn.Linear(6, 3), nn.Linear(3, 6)
        self.last = nn.Linear(6, classes)

    def forward(self, images):
        maps = self.relu(self.conv(images))
        gate = torch.sigmoid(self.excite(self.relu(self.squeeze(maps.mean(dim=(2, 3))))))
        maps = self.relu(maps + maps * gate[:, :, None, None])
        return self.last(F.max_pool2d(maps, 2).mean((2, 3)))


class Untraceable(Plain):
    """Decides by what it sees."""

    def forward(self, images):
        return super().forward(images if images.sum() < 1e9 else -images)


@pytest.fixture
def make_network():
    """A network by its name, in eval mode."""
    kinds = {"plain": Plain, "rough": Rough, "gated": Gated, "untraceable": Untraceable}
    return lambda kind, channels=1: kinds[kind](channels).eval()
