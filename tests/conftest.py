"""Small networks and images that tests of every part may use."""

import os
import shutil
from collections import OrderedDict

import pytest
import torch
from playwright.sync_api import sync_playwright
from torch import nn

from inspect_fer.schema import Classifier, ModelCard

CLASSES = ("anger", "fear", "happiness", "surprise", "neutral")


class Residual(nn.Module):
    """Two convolutions around a shortcut; one ReLU serves twice, as in torchvision."""

    def __init__(self, width, *, inplace=True):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=inplace)

    def forward(self, images):
        out = self.relu(self.bn1(self.conv1(images)))
        out = self.bn2(self.conv2(out))
        out += images
        return self.relu(out)


def stem(channels, width):
    return [
        ("conv", nn.Conv2d(channels, width, 3, padding=1)),
        ("bn", nn.BatchNorm2d(width)),
        ("relu", nn.ReLU(inplace=True)),
        ("pool", nn.MaxPool2d(2)),
    ]


class TinyNetwork(nn.Module):
    """Convolutional features, then global average pooling and one linear layer; CAM methods read `features`."""

    def __init__(self, channels=1, classes=5):
        super().__init__()
        self.features = nn.Sequential(OrderedDict([*stem(channels, 6), ("block", Residual(6))]))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(6, classes)

    def forward(self, images):
        return self.classifier(self.pool(self.features(images)).flatten(1))


class MLPNetwork(nn.Module):
    """Plain blocks with pooling and dropout, then two linear layers over all places; reads `blocks.1.relu`."""

    def __init__(self, channels=1, classes=5, size=(12, 12)):
        super().__init__()
        blocks = [[*stem(a, b), ("dropout", nn.Dropout())] for a, b in ((channels, 4), (4, 6))]
        self.blocks = nn.Sequential(*(nn.Sequential(OrderedDict(block)) for block in blocks))
        self.hidden = nn.Linear(6 * (size[0] // 4) * (size[1] // 4), 8)
        self.classifier = nn.Linear(8, classes)

    def forward(self, images):
        return self.classifier(torch.relu(self.hidden(self.blocks(images).flatten(1))))


LAYERS = {TinyNetwork: "features", MLPNetwork: "blocks.1.relu"}


def unsettled(network):
    """Give batch norms statistics and weights as training would, and biases other than zero."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network


def classifier(network, input_size, cam_layer, class_names=CLASSES):
    channels = input_size[0]
    card = ModelCard("test", class_names, input_size, (0.5,) * channels, (0.25,) * channels, cam_layer=cam_layer)
    return Classifier(network, card)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(generator):
    """Four grey pictures as network input, (4, 1, 12, 12)."""
    return torch.randn(4, 1, 12, 12, generator=generator)


@pytest.fixture
def make_model():
    """Build a small Classifier: kind "tiny" (pooling and one linear layer) or "mlp", always with the same weights."""

    def make(kind="tiny", *, input_size=(1, 12, 12)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            channels, *size = input_size
            network = TinyNetwork(channels) if kind == "tiny" else MLPNetwork(channels, size=size)
            return classifier(unsettled(network).eval(), input_size, LAYERS[type(network)])

    return make


@pytest.fixture
def tiny_model(make_model):
    """A residual network that ends in global average pooling and one linear layer."""
    return make_model("tiny")


@pytest.fixture
def mlp_model(make_model):
    """A plain network that ends in two linear layers over all places."""
    return make_model("mlp")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium that asks for nothing by itself."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium on the path; name one in CHROMIUM")
    flags = ("gpu", "quic", "background-networking", "component-update", "sync")
    quiet = ["--no-sandbox", "--no-first-run", *(f"--disable-{flag}" for flag in flags)]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield found
        found.close()
