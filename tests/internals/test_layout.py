"""Tokens of vision transformers as maps: against loops, against the library's own grid, and what cannot be known."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.models import VisionTransformer

from inspect_fer import wrap
from inspect_fer.errors import NetworkError
from inspect_fer.internals import (
    Ascent,
    activation_maps,
    channel_contributions,
    exciting_samples,
    feature_visualisation,
    switched_off,
)
from inspect_fer.internals.layout import Layout, as_maps, layout_of

CLASSES = ("anger", "fear", "happiness")
PLAIN = nn.Linear(1, 1)
BLOCK = "encoder.layers.encoder_layer_0"


class Mixed(nn.Module):
    """Patches by a convolution of their own size, `leading` tokens before them, one mixing of places, a head."""

    def __init__(self, patch, grid, *, leading=0, width=6):
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.before = nn.Parameter(torch.randn(1, leading, width))
        self.joined = nn.Identity()
        self.mix = nn.Linear(leading + grid[0] * grid[1], leading + grid[0] * grid[1])
        self.mixed = nn.Identity()
        self.head = nn.Linear(width, len(CLASSES))

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.joined(torch.cat([self.before.expand(len(images), -1, -1), patches], dim=1))
        mixed = self.mix(tokens.transpose(1, 2)).tanh().transpose(1, 2)
        return self.head(self.mixed(mixed)[:, 0])


class ChannelsLast(nn.Module):
    """Maps whose channels stand last, as in Swin."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 5, 3, padding=1), nn.Linear(5, len(CLASSES))
        self.last, self.act = nn.Identity(), nn.Tanh()

    def forward(self, images):
        return self.head(self.act(self.last(self.conv(images).movedim(1, 3))).mean((1, 2)))


def wrapped(network, size):
    return wrap(network, CLASSES, (1, *size), (0.5,), (0.25,), "")


@pytest.fixture
def transformer():
    """The vision transformer of torchvision, small: 3 x 3 patches and a class token."""
    network = VisionTransformer(12, 4, 2, 2, 8, 16, num_classes=len(CLASSES))
    network.conv_proj = nn.Conv2d(1, 8, 4, stride=4)
    nn.init.normal_(network.heads.head.weight)
    return wrapped(network, (12, 12))


def outputs(model, layer, images):
    kept = []
    hook = model.network.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[2].detach()))
    model.network.eval()(images)
    hook.remove()
    return kept[0]


def by_hand(tokens, grid, leading):
    """Token `leading` + row w + column, channel by channel, in its cell."""
    n, _, channels = tokens.shape
    maps = torch.zeros(n, channels, *grid)
    for y, x in product(range(grid[0]), range(grid[1])):
        maps[:, :, y, x] = tokens[:, leading + y * grid[1] + x]
    return maps


def test_tokens_lie_row_by_row_on_their_grid(transformer, images):
    expected = by_hand(outputs(transformer, BLOCK, images), (3, 3), 1)
    assert_close(activation_maps(transformer, images, BLOCK, batch_size=3), expected)


def test_patches_are_where_the_patch_embedding_saw_them(images):
    """Behind it nothing has moved: the tokens are the maps of the convolution."""
    for size, patch, grid, leading in (
        ((12, 12), 4, (3, 3), 0),
        ((12, 12), 3, (4, 4), 5),
        ((12, 12), (6, 3), (2, 4), 1),
        ((12, 8), 4, (3, 2), 2),
    ):
        model = wrapped(Mixed(patch, grid, leading=leading), size)
        given = images[:, :, : size[0], : size[1]]
        maps = activation_maps(model, given, "joined")
        assert_close(maps, activation_maps(model, given, "patches"))
        assert maps.shape == (4, 6, *grid)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((2, 9, 5), (48, 48), Layout(2, (3, 3), 0)),
        ((2, 10, 5), (48, 48), Layout(2, (3, 3), 1)),
        ((2, 197, 5), (224, 224), Layout(2, (14, 14), 1)),
        ((2, 24, 5), (96, 64), Layout(2, (6, 4), 0)),
        ((2, 25, 5), (64, 96), Layout(2, (4, 6), 1)),
        ((2, 25, 5), (96, 96), Layout(2, (5, 5), 0)),
        ((2, 11, 5), (48, 48), None),
        ((2, 9, 5), (96, 64), None),
        ((2, 0, 5), (48, 48), None),
        ((2, 5, 7, 7), (48, 48), Layout(1, (7, 7))),
        ((2, 5, 5, 5), (48, 48), Layout(1, (5, 5))),
        ((2, 7, 7, 5), (48, 48), Layout(3, (7, 7))),
        ((2, 5, 7, 8), (48, 48), Layout(1, (7, 8))),
        ((2, 5), (48, 48), Layout(1, None)),
        ((2,), (48, 48), None),
        ((2, 5, 7, 7, 7), (48, 48), None),
    ],
)
def test_without_a_patch_embedding_the_proportion_of_the_image_decides(shape, size, expected):
    assert layout_of(PLAIN, shape, size) == expected


def test_convolutions_that_cut_no_patches_do_not_decide():
    for convolution in (nn.Conv2d(1, 2, 3, 2), nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 4, 4, padding=1)):
        assert layout_of(convolution, (2, 11, 5), (12, 12)) is None
    assert layout_of(nn.Conv2d(1, 2, 4, 4), (2, 11, 5), (12, 12)) == Layout(2, (3, 3), 2)
    assert layout_of(nn.Conv2d(1, 2, 4, 4), (2, 18, 5), (12, 12)) is None, "as many lead as there are patches"
    assert layout_of(nn.Conv2d(1, 2, 4, 4), (2, 4, 5), (12, 12)) == Layout(2, (2, 2)), "patches were merged"


def test_features_and_maps_stay_as_they_are():
    for output in (torch.randn(2, 5), torch.randn(2, 5, 3, 3)):
        assert_close(as_maps(output, layout_of(PLAIN, output.shape, (9, 9))), output)


def test_channels_that_stand_last_are_moved_first(images):
    model = wrapped(ChannelsLast(), (12, 12))
    assert_close(activation_maps(model, images, "last"), activation_maps(model, images, "conv"))
    last, first = (channel_contributions(model, images, layer) for layer in ("last", "conv"))
    assert_close(last.values, first.values)
    assert_close(switched_off(model, images, "last"), switched_off(model, images, "conv"))


@pytest.mark.parametrize("measure", ["max", "mean"])
def test_exciting_samples_are_ranked_by_patches(transformer, images, measure):
    found = exciting_samples(transformer, images, BLOCK, 2, measure=measure, batch_size=3)
    cells = by_hand(outputs(transformer, BLOCK, images), (3, 3), 1).flatten(2)
    best = (cells.amax(dim=2) if measure == "max" else cells.mean(dim=2)).topk(2, dim=0)
    assert_close(found.values, best.values.T, rtol=1e-4, atol=1e-5)
    assert found.rows.tolist() == best.indices.T.tolist()
    assert found.size == (3, 3)
    for channel, rank in product(range(8), range(2)):
        cell = int(cells[found.rows[channel, rank], channel].argmax())
        assert found.places[channel, rank].tolist() == [cell // 3, cell % 3]


def test_a_channel_switched_off_is_off_in_every_token(transformer, images):
    """A hook that sets it to zero, class token and all, gives the same logits."""
    plain = transformer.network.eval()(images).detach()

    def silence(_module, _given, output):
        return output.index_fill(2, torch.tensor([2, 5]), 0.0)

    hook = transformer.network.get_submodule(BLOCK).register_forward_hook(silence)
    expected = transformer.network(images).detach() - plain
    hook.remove()
    found = switched_off(transformer, images, BLOCK, [(2, 5), 7])
    assert found.shape == (4, 2, 3)
    assert_close(found[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert switched_off(transformer, images[:1], BLOCK).shape == (1, 8, 3)


def test_pictures_excite_the_patches(transformer):
    found = feature_visualisation(transformer, BLOCK, [7, 2], Ascent(steps=10, jitter=0))
    maps = activation_maps(transformer, found.images, BLOCK)
    assert_close(found.reached, maps[[0, 1], [7, 2]].mean(dim=(1, 2)), rtol=1e-4, atol=1e-5)
    assert not found.silent.any()


def test_what_cannot_be_known_is_one_line(transformer, images):
    model = wrapped(Mixed(1, (12, 12), leading=2), (12, 12))
    with pytest.raises(
        NetworkError, match=r"gives 4 x 146 x 6: .* nor tokens .* of 12 x 12 images; name another layer"
    ):
        activation_maps(model, images, "mixed")
    with pytest.raises(NetworkError, match=r"nor tokens"):
        switched_off(model, images, "mixed")
    with pytest.raises(NetworkError, match=r"4 x 10 x 8, not maps"):
        channel_contributions(transformer, images, BLOCK)


class Windows(nn.Module):
    """Looks at each quarter of the image by itself."""

    def __init__(self):
        super().__init__()
        self.quarters, self.head = nn.Flatten(2), nn.Linear(36, len(CLASSES))

    def forward(self, images):
        parts = images.unflatten(3, (2, 6)).unflatten(2, (2, 6)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return self.head(self.quarters(parts).flatten(1)).unflatten(0, (len(images), 4)).mean(1)


def test_a_layer_that_looks_at_parts_of_images_is_one_line(images):
    with pytest.raises(NetworkError, match=r"gives 16 x 1 x 36 for 4 images, not one row an image"):
        activation_maps(wrapped(Windows(), (12, 12)), images, "quarters")


def test_networks_of_timm(images):
    timm = pytest.importorskip("timm", reason="timm is an extra")
    for name, leading in (("vit_tiny_patch16_224", 1), ("deit_tiny_distilled_patch16_224", 2)):
        made = timm.create_model(name, img_size=12, patch_size=4, embed_dim=12, depth=1, in_chans=1, num_classes=3)
        model = wrapped(made, (12, 12))
        expected = by_hand(outputs(model, "blocks.0", images), (3, 3), leading)
        assert_close(activation_maps(model, images, "blocks.0"), expected)
