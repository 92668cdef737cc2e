"""Which layers lie as the image does, and that CAM methods read just those that have axis 1."""

import pytest
import torch
from torch import nn

from inspect_fer import explain, wrap
from inspect_fer.errors import NetworkError
from inspect_fer.internals.layout import Layout
from inspect_fer.internals.map_layers import map_layers

CLASSES = ("anger", "fear", "happiness")


class Attention(nn.Module):
    """Patches of 3 x 3, two heads that see them as (N, heads, n, D), and maps with channels last at the end."""

    def __init__(self, width=16):
        super().__init__()
        self.patches, self.embedded = nn.Conv2d(1, width, 3, stride=3), nn.Identity()
        self.heads, self.weights, self.windows = nn.Identity(), nn.Softmax(dim=-1), nn.Identity()
        self.last, self.pooled, self.act, self.head = nn.Identity(), nn.Identity(), nn.ReLU(), nn.Linear(width, 3)

    def forward(self, images):
        tokens = self.embedded(self.patches(images).flatten(2).transpose(1, 2))
        heads = self.heads(tokens.unflatten(2, (2, -1)).transpose(1, 2))
        mixed = (self.weights(heads @ heads.mT) @ heads).transpose(1, 2).flatten(2)
        self.windows(mixed.reshape(-1, 4, 2, 2))
        maps = self.last(self.act(self.act(mixed)).unflatten(1, (4, 4)))
        return self.head(self.pooled(maps.mean((1, 2), keepdim=True)).flatten(1))


@pytest.fixture
def model():
    return wrap(Attention().eval(), CLASSES, (1, 12, 12), (0.5,), (0.25,), "patches")


def test_heads_windows_single_places_and_layers_that_run_twice_are_left_out(model):
    assert map_layers(model) == {
        "patches": Layout(1, (4, 4)),
        "embedded": Layout(2, (4, 4)),
        "last": Layout(3, (4, 4)),
    }


@pytest.mark.parametrize("kind", ["tiny", "mlp"])
def test_cam_methods_read_each_of_axis_1(make_model, images, kind):
    model = make_model(kind)
    names = [name for name, layout in map_layers(model).items() if layout.axis == 1]
    assert model.card.cam_layer in names
    assert not any("block.relu" in name for name in names), "runs twice"
    for name in names:
        assert explain(model, images, "grad-cam", layer=name).maps.isfinite().all()


def test_cam_methods_refuse_tokens_and_what_runs_twice(model, images):
    for name in ("embedded", "act"):
        with pytest.raises(NetworkError):
            explain(model, images, "grad-cam", layer=name)


def test_networks_of_torchvision_have_no_heads_among_them():
    from torchvision.models import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        network = VisionTransformer(24, 6, 1, 1, 8, 16, num_classes=3)
    found = map_layers(wrap(network.eval(), CLASSES, (3, 24, 24), (0.5,) * 3, (0.25,) * 3, "conv_proj"))
    assert {layout.axis for layout in found.values()} == {1, 2}
    assert [name for name, layout in found.items() if layout.axis == 1] == ["conv_proj"]
    assert found["encoder.layers.encoder_layer_0"] == Layout(2, (4, 4), 1)


def test_maps_behind_uneven_kernels_are_not_left_out():
    network = nn.Sequential(nn.Conv2d(1, 3, (5, 1)), nn.Flatten(), nn.LazyLinear(3)).eval()
    network(torch.zeros(1, 1, 8, 8))
    assert map_layers(wrap(network, CLASSES, (1, 8, 8), (0.5,), (0.25,), "0")) == {"0": Layout(1, (4, 8))}
