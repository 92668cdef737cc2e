"""Receptive fields against the pixels that really move a place, and against published sizes."""

import json
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.internals.layer_rows import layer_rows, receptive_fields
from inspect_fer.models import ARCHITECTURES


class Branches(nn.Module):
    """Two branches of unlike kernels, a functional pooling and a shortcut."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.flat = nn.Conv2d(2, 2, (1, 5), padding=(0, 2))
        self.wide = nn.Conv2d(2, 2, 3, padding=2, dilation=2)
        self.last = nn.Conv2d(4, 2, 3, padding=1)
        self.head = nn.Linear(2, 3)

    def forward(self, images):
        stem = torch.tanh(self.stem(images))
        maps = torch.cat([self.flat(stem), F.avg_pool2d(self.wide(stem), 3, stride=1, padding=1)], dim=1)
        return self.head((self.last(maps) + stem).mean((2, 3)))


def moved_by_hand(network, layer, side=41):
    """Change one pixel after the other; how wide the square is that moves the middle place of the layer's map."""
    network = network.double().eval()
    seen = {}
    hook = network.get_submodule(layer).register_forward_hook(lambda *given: seen.update(maps=given[2]))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, side, side, generator=generator, dtype=torch.float64)

    def middle(given):
        network(given)
        h, w = seen["maps"].shape[2:]
        return seen["maps"][0, :, h // 2, w // 2].clone()

    plain, moved = middle(image), []
    for y, x in product(range(side), range(side)):
        changed = image.clone()
        changed[0, 0, y, x] += 10
        if (middle(changed) - plain).abs().max() > 1e-12:
            moved.append((y, x))
    hook.remove()
    return max(max(place[axis] for place in moved) - min(place[axis] for place in moved) + 1 for axis in (0, 1))


@pytest.mark.parametrize("layer", ["stem", "flat", "wide", "last"])
def test_it_is_as_wide_as_what_moves_a_place(layer):
    with torch.no_grad():
        assert receptive_fields(Branches())[layer] == moved_by_hand(Branches(), layer)


def test_the_published_size_of_vgg_16():
    """Table 1 of Araujo et al.: 212 pixels before the classifier."""
    layers = []
    for count in (2, 2, 3, 3, 3):
        layers += [nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()] * count + [nn.MaxPool2d(2)]
    assert receptive_fields(nn.Sequential(*layers))["30"] == 212


def test_behind_global_pooling_and_gates_the_whole_image_is_seen():
    fields = receptive_fields(Branches())
    assert fields["head"] == float("inf")
    se = receptive_fields(ARCHITECTURES["se"](channels=1, classes=7, size=48))
    assert next(iter(se.values())) < 10
    assert sorted(se.values())[-1] == float("inf")


def test_rows_are_plain_and_stop_at_the_image(tiny_model):
    rows = layer_rows(tiny_model)
    assert json.loads(json.dumps(rows)) == rows
    assert rows[0] == {
        "name": "features.conv",
        "kind": "Conv2d",
        "shape": [6, 12, 12],
        "parameters": 60,
        "receptive_field": 3,
    }
    assert rows[-1] == {"name": "classifier", "kind": "Linear", "shape": [5], "parameters": 35, "receptive_field": 12}
    assert sum(row["parameters"] for row in rows) == sum(w.numel() for w in tiny_model.network.parameters())


def test_blocks_are_listed_when_asked_for(tiny_model):
    rows = {row["name"]: row for row in layer_rows(tiny_model, blocks=True)}
    block = rows.pop("features.block")
    assert block["parameters"] == sum(
        row["parameters"] for row in rows.values() if row["name"].startswith(block["name"])
    )
    assert block["receptive_field"] is None
    assert set(rows) > {row["name"] for row in layer_rows(tiny_model)}


def test_a_network_that_cannot_be_traced_has_no_fields(tiny_model):
    class Untraceable(nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    assert receptive_fields(Untraceable()) == {}
