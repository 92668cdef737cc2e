"""Gates are found whatever they are made of, and switching off does what running the network altered would."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.ops import SqueezeExcitation

from inspect_fer.capture import gate_layers
from inspect_fer.errors import ConfigError, NetworkError, UnknownNameError
from inspect_fer.internals import channel_contributions, feature_visualisation, gates, switched_off, switches
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.schema import Classifier, ModelCard

CLASSES = ("a", "b", "c")


def gated_model(name="se", **options):
    network = build(name, classes=3, size=32, options={"width": 4, **options})
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
    card = ModelCard(name, CLASSES, (1, 32, 32), (0.5,), (0.25,), ARCHITECTURES[name].cam_layer)
    return Classifier(network.eval(), card)


@pytest.fixture
def faces(generator):
    return torch.randn(3, 1, 32, 32, generator=generator)


GATES = {
    "se": ["blocks.0.se.sigmoid"],
    "gimefive_se": ["blocks.0.se.sigmoid"],
    "se_residual": ["stem.se.sigmoid"],
    "gimefive_res": ["stem.se.sigmoid"],
    "gimefive": [],
    "baseline": [],
}


@pytest.mark.parametrize("name", GATES)
def test_gates_of_our_networks(name, faces):
    assert gate_layers(gated_model(name).network, faces) == GATES[name]


def test_gates_of_other_libraries(faces):
    layers = pytest.importorskip("timm.layers")
    blocks = (SqueezeExcitation(8, 2), SqueezeExcitation(8, 2, scale_activation=nn.Hardsigmoid))
    blocks += (layers.SEModule(8), layers.EffectiveSEModule(8), nn.BatchNorm2d(8))
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    network = nn.Sequential(nn.Conv2d(1, 8, 3), *blocks, *end).eval()
    found = gate_layers(network, faces)
    assert found == ["1.scale_activation", "2.scale_activation", "3.gate", "4.gate"]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


class InPlace(nn.Module):
    """Writes into its input; the gate comes from a sequence and is used twice where `shared`."""

    def __init__(self, *, times=1):
        super().__init__()
        self.first, self.times = nn.Conv2d(1, 4, 3), times
        self.block = self.Block()
        self.head = nn.Linear(4, 3)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            parts = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.Hardsigmoid())
            self.fc, self.late = nn.Sequential(*parts), nn.Dropout()

        def forward(self, maps):
            return maps.mul_(self.late(self.fc(maps))[:, :, None, None])

    def forward(self, images):
        maps = self.first(images)
        for _ in range(self.times):
            maps = self.block(maps)
        return self.head(maps.mean((2, 3)))


def test_a_gate_that_writes_into_its_input_is_found(faces):
    assert gate_layers(InPlace(), faces) == ["block.late"]
    assert gate_layers(InPlace(times=2), faces) == []


class Scaled(nn.Module):
    """A factor above one is no gate."""

    def __init__(self, factor):
        super().__init__()
        self.block, self.head = InPlace.Block(), nn.Linear(1, 3)
        self.block.fc = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Hardtanh(factor, factor + 1e-6))

    def forward(self, images):
        return self.head(self.block(images.clone()).mean((2, 3)))


@pytest.mark.parametrize(("factor", "found"), [(0.5, ["block.late"]), (1.5, []), (-0.5, [])])
def test_only_numbers_from_0_to_1_gate(faces, factor, found):
    assert gate_layers(Scaled(factor), faces) == found


def test_gate_values_are_what_the_block_multiplies_with(faces):
    model = gated_model()
    block, (values,) = model.network.blocks[0], gates(model, faces, batch_size=2).values()
    maps = block.conv(faces)
    for face, channel in ((n, c) for n in range(3) for c in range(4)):
        whole = block.se(maps)[face, channel] / maps[face, channel]
        assert_close(values[face, channel], whole.median().detach())


def test_a_network_without_gates_has_none(tiny_model, images):
    assert gates(tiny_model, images) == {}


def by_hand(model, faces, channels, value):
    """The whole network run again with its first gate written over, one face and one change at a time."""
    found = torch.zeros(len(faces), len(channels), 3, dtype=torch.float64)
    network = model.network.double()
    block = network.blocks[0]
    for row, face in enumerate(faces.double()):
        maps = block.conv(face[None])
        gate = block.se.sigmoid(block.se.excite(torch.relu(block.se.squeeze(maps.mean((2, 3))))))
        for place, channel in enumerate(channels):
            altered = gate.clone()
            altered[0, channel] = value
            rest = block.pool(torch.relu(maps * altered[:, :, None, None]))
            for later in network.blocks[1:]:
                rest = later(rest)
            found[row, place] = network.classifier(rest.mean((2, 3)))[0] - network(face[None])[0]
    return found.float().detach()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_gate_that_is_switched(faces, value):
    model = gated_model()
    found = switched_off(model, faces, "blocks.0.se.sigmoid", [2, (0, 3)], value=value, batch_size=2)
    assert found.abs().max() > 1e-3
    assert_close(found, by_hand(model, faces, [2, [0, 3]], value), rtol=1e-3, atol=1e-5)


def test_a_gate_set_to_what_it_is_changes_nothing(faces):
    model = gated_model()
    name = "blocks.0.se.sigmoid"
    own = float(gates(model, faces)[name][1, 2])
    assert_close(switched_off(model, faces[1:2], name, [2], value=own), torch.zeros(1, 1, 3), rtol=0, atol=1e-6)


def test_behind_pooling_and_one_linear_layer_a_channel_takes_its_contribution_along(tiny_model, images):
    found = switched_off(tiny_model, images, "features")
    assert found.shape == (4, 6, 5)
    assert_close(found, -channel_contributions(tiny_model, images).values.transpose(1, 2), rtol=1e-4, atol=1e-5)
    together = switched_off(tiny_model, images, "features", [(1, 4)])
    assert_close(together[:, 0], found[:, 1] + found[:, 4], rtol=1e-4, atol=1e-5)


def test_features_are_switched_as_well(mlp_model, images):
    network = mlp_model.network
    hidden = network.hidden(network.blocks(images).flatten(1))
    hidden[:, 3] = 0
    expected = network.classifier(torch.relu(hidden)) - network(images)
    assert_close(switched_off(mlp_model, images, "hidden", [3])[:, 0], expected.detach(), rtol=1e-4, atol=1e-5)


def test_in_parts_it_is_the_same(mlp_model, images, monkeypatch):
    whole = switched_off(mlp_model, images, "blocks.0.relu")
    monkeypatch.setattr(switches, "AT_ONCE", 2 * 4 * 12 * 12)
    ticks = []
    found = switched_off(mlp_model, images, "blocks.0.relu", tick=lambda *done: ticks.append(done))
    assert_close(found, whole)
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(("channels", "words"), [([6], "0 to 5; there is no 6"), ([-1], "no -1"), ([], "at least one")])
def test_channels_that_are_not_there_are_an_error(tiny_model, images, channels, words):
    with pytest.raises(ConfigError, match=words):
        switched_off(tiny_model, images, "features", channels)
    with pytest.raises(ConfigError, match="at least one"):
        switched_off(tiny_model, images, "features", [(), (1,)])


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_channels_come_in_lists_arrays_and_tensors(tiny_model, images, kind):
    expected = switched_off(tiny_model, images, "features", [0, 5])
    assert_close(switched_off(tiny_model, images, "features", kind([0, 5])), expected)
    together = switched_off(tiny_model, images, "features", [kind([0, 5])])
    assert_close(together, switched_off(tiny_model, images, "features", [(0, 5)]))


@pytest.mark.parametrize("channels", [3, "all", [0.5], ["a"], [None], torch.tensor(3), [[0, [1]]]], ids=repr)
def test_what_names_no_channels_is_an_error(tiny_model, images, channels):
    with pytest.raises(ConfigError, match="whole numbers such as"):
        switched_off(tiny_model, images, "features", channels)
    with pytest.raises(ConfigError, match="whole numbers such as"):
        feature_visualisation(tiny_model, "features", channels)


def test_a_layer_that_cannot_be_switched_is_an_error(tiny_model, images):
    with pytest.raises(UnknownNameError, match="Did you mean 'features'"):
        switched_off(tiny_model, images, "feature")
    tiny_model.network.unused = nn.Conv2d(1, 1, 1)
    with pytest.raises(NetworkError, match="did not run"):
        switched_off(tiny_model, images, "unused")
