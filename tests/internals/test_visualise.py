"""Feature visualisation: its parts against loops, and the ascent against optima that theory gives."""

import cmath
import math
from itertools import product
from math import inf, nan

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, NetworkError, UnknownNameError
from inspect_fer.internals import Ascent, activation_maps, feature_visualisation
from inspect_fer.internals.visualise import excitement, moved, penalty, picture_of, waves
from inspect_fer.schema import Classifier, ModelCard

LOW, HIGH = -2.0, 2.0  # what black and white are as network input here


def linear_model(generator, size=(5, 4), classes=3):
    """One linear layer over the pixels."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(size), classes))
    weight = torch.randn(classes, math.prod(size), generator=generator)
    network[1].weight.data.copy_(weight)
    names = tuple(map(str, range(classes)))
    return Classifier(network, ModelCard("test", names, (1, *size), (0.5,), (0.25,)))


def roughness(height, width):
    """The matrix (P, P) of the mean of squared differences of neighbours down, and of those across, by loops."""
    matrix = torch.zeros(height * width, height * width, dtype=torch.float64)
    for y, x in product(range(height), range(width)):
        for (v, u), pairs in (((y + 1, x), (height - 1) * width), ((y, x + 1), height * (width - 1))):
            if v < height and u < width:
                a, b = y * width + x, v * width + u
                for i, j, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
                    matrix[i, j] += sign / pairs
    return matrix


def test_reaches_the_optimum_of_a_linear_layer(generator):
    """w x - decay |x|^2 / P - variation x R x is largest where 2 (decay / P + variation R) x = w."""
    model = linear_model(generator)
    ascent = Ascent(steps=200, rate=0.1, jitter=0, decay=40.0, variation=4.0)
    found = feature_visualisation(model, "1", [0, 2], ascent).images.flatten(1).double()
    curvature = 2 * (40.0 / 20 * torch.eye(20, dtype=torch.float64) + 4.0 * roughness(5, 4))
    expected = torch.linalg.solve(curvature, model.network[1].weight.detach().double()[[0, 2]].T).T
    assert expected.abs().max() < HIGH, "no pixel at its limit"
    assert_close(found, expected, rtol=0, atol=5e-3)


def test_without_penalty_every_pixel_goes_to_the_end_that_its_weight_says(generator):
    model = linear_model(generator)
    found = feature_visualisation(model, "logits", [0, 1, 2], Ascent(steps=120, jitter=0, rate=0.1))
    weight, bias = model.network[1].weight.detach(), model.network[1].bias.detach()
    strong = weight.abs() > 0.5
    assert torch.equal(found.images.flatten(1)[strong] > 0, weight[strong] > 0)
    best = (weight * HIGH).clamp(min=0).sum(1) + (weight * LOW).clamp(min=0).sum(1) + bias
    assert (found.reached > 0.9 * best).all()
    assert (found.reached <= best).all()
    assert found.images.abs().max() <= HIGH


def test_pictures_are_sums_of_waves(generator):
    """The inverse transform written out: every wave but those without a partner counts twice."""
    for height, width in ((4, 5), (3, 4)):
        amplitudes = torch.randn(1, 1, height, width // 2 + 1, 2, generator=generator, dtype=torch.float64)
        base = torch.randn(1, height, width, generator=generator, dtype=torch.float64)
        for y, x in product(range(height), range(width)):
            total = 0.0
            for v, u in product(range(height), range(width // 2 + 1)):
                down, across = min(v, height - v) / height, u / width
                scale = 1 / max(math.hypot(down, across), 1 / max(height, width))
                wave = complex(*amplitudes[0, 0, v, u]) * cmath.exp(2j * math.pi * (v * y / height + u * x / width))
                total += scale * wave.real * (1 if u == 0 or 2 * u == width else 2)
            expected = 1 / (1 + math.exp(-(float(base[0, y, x]) + total / math.sqrt(height * width) / 4)))
            assert float(picture_of(amplitudes, base)[0, 0, y, x]) == pytest.approx(expected, rel=1e-6)
    assert waves(4, 4)[0, 0] == 4, "the mean counts as much as the slowest wave"


def test_moving_repeats_the_edge(images):
    for down, across in ((0, 0), (2, -1), (-2, 2)):
        found = moved(images, down, across, 2)
        for y, x in product(range(12), range(12)):
            source = images[:, :, min(max(y + down, 0), 11), min(max(x + across, 0), 11)]
            assert_close(found[:, :, y, x], source, rtol=0, atol=0)


def test_penalty_term_by_term(generator):
    images, start = torch.randn(2, 1, 3, 4, generator=generator).double(), torch.full((1, 3, 4), 0.5).double()
    for row, image in enumerate(images[:, 0]):
        size = sum((image[y, x] - 0.5) ** 2 for y, x in product(range(3), range(4))) / 12
        down = sum((image[y + 1, x] - image[y, x]) ** 2 for y, x in product(range(2), range(4))) / 8
        across = sum((image[y, x + 1] - image[y, x]) ** 2 for y, x in product(range(3), range(3))) / 9
        assert_close(penalty(images, start, 2.0, 3.0)[row], 2 * size + 3 * (down + across))


@pytest.mark.parametrize(("layer", "channels"), [("blocks.1.bn", [2, 0, 2, 5]), ("hidden", [1, 3, 0, 7])])
def test_excitement_is_the_mean_activation_with_its_gradient(mlp_model, images, layer, channels):
    values, gradient = excitement(mlp_model.network, layer, images, channels)
    network = mlp_model.network
    for row, channel in enumerate(channels):
        leaf = images[row : row + 1].clone().requires_grad_()
        found = network.blocks[1].conv(network.blocks[0](leaf))
        found = (
            network.blocks[1].bn(found) if layer == "blocks.1.bn" else network.hidden(network.blocks(leaf).flatten(1))
        )
        expected = found[0, channel].mean()
        assert_close(values[row], expected.detach())
        assert_close(gradient[row], torch.autograd.grad(expected, leaf)[0][0])


def test_excites_much_more_and_says_how_much(mlp_model):
    found = feature_visualisation(mlp_model, "hidden", [0, 3, 5], Ascent(steps=40, jitter=1))
    expected = activation_maps(mlp_model, found.images, "hidden")[range(3), [0, 3, 5]]
    assert_close(found.reached, expected, rtol=1e-4, atol=1e-5)
    noise = activation_maps(mlp_model, torch.randn(500, 1, 12, 12), "hidden")[:, [0, 3, 5]]
    assert not found.silent.any()
    assert (found.reached > noise.amax(0)).all(), "more than any of 500 pictures of noise"
    assert found.images.abs().max() <= HIGH


def test_a_picture_depends_on_its_channel_and_the_seed_alone(mlp_model):
    ascent, ticks = Ascent(steps=5), []
    many = feature_visualisation(
        mlp_model, "blocks.1.bn", [4, 1, 0], ascent, batch_size=2, tick=lambda *done: ticks.append(done)
    )
    for place, channel in enumerate((4, 1, 0)):
        one = feature_visualisation(mlp_model, "blocks.1.bn", [channel], ascent)
        assert_close(many.images[place], one.images[0], rtol=1e-4, atol=1e-5)
    again = feature_visualisation(mlp_model, "blocks.1.bn", [4, 1, 0], ascent, batch_size=2)
    assert torch.equal(many.images, again.images)
    other = feature_visualisation(mlp_model, "blocks.1.bn", [4, 1, 0], Ascent(steps=5, seed=1))
    assert not torch.allclose(many.images, other.images, atol=1e-3)
    assert (ticks[0], ticks[-1], len(ticks)) == ((1, 10), (10, 10), 10)


def test_begins_at_the_given_picture(mlp_model, generator):
    start = torch.rand(1, 12, 12, generator=generator)
    found = feature_visualisation(mlp_model, "hidden", [2], Ascent(steps=1, rate=1e-6, noise=1e-6), start=start)
    assert_close(found.images[0], start, rtol=0, atol=1e-3)
    assert_close(found.start, activation_maps(mlp_model, start[None], "hidden")[:, 2], rtol=1e-3, atol=1e-3)


def test_a_silent_channel_stays_as_it_is(mlp_model):
    nn.init.constant_(mlp_model.network.blocks[0].bn.bias, -100.0)
    found = feature_visualisation(mlp_model, "blocks.0.relu", [1], Ascent(steps=2))
    assert found.reached.tolist() == found.start.tolist() == [0.0]
    assert found.silent.tolist() == [True]


def test_no_trace_under_inference_mode_and_with_frozen_weights(mlp_model):
    network = mlp_model.network.requires_grad_(requires_grad=False).train()
    state = torch.get_rng_state()
    expected = feature_visualisation(mlp_model, "hidden", [0], Ascent(steps=3))
    with torch.inference_mode():
        found = feature_visualisation(mlp_model, "hidden", [0], Ascent(steps=3))
    assert_close(found.images, expected.images)
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(weight.grad is None and not weight.requires_grad for weight in network.parameters())


def test_a_call_that_is_stopped_leaves_no_trace(mlp_model):
    def stop(*_):
        raise KeyboardInterrupt

    with torch.no_grad():
        with pytest.raises(KeyboardInterrupt) as stopped:
            feature_visualisation(mlp_model, "hidden", [0], Ascent(steps=3), tick=stop)
        assert not torch.is_grad_enabled()
    del stopped
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks for module in mlp_model.network.modules())


def test_mistakes_are_errors(mlp_model):
    for channels, words in (([8], "0 to 7; there is no 8"), ([], "name at least one")):
        with pytest.raises(ConfigError, match=words):
            feature_visualisation(mlp_model, "hidden", channels)
    with pytest.raises(UnknownNameError, match="hidden"):
        feature_visualisation(mlp_model, "hiden", [0])
    with pytest.raises(ConfigError, match="one image of 1 x 12 x 12 as network input, not 12 x 12"):
        feature_visualisation(mlp_model, "hidden", [0], start=torch.zeros(12, 12))
    for options in (
        {"steps": 0},
        {"jitter": -1},
        {"rate": 0.0},
        {"variation": -1.0},
        {"rate": nan},
        {"noise": inf},
        {"decay": nan},
    ):
        with pytest.raises(ConfigError, match="not negative"):
            Ascent(**options)


def test_channels_stand_alone_and_batches_hold_one(mlp_model):
    found = feature_visualisation(mlp_model, "hidden", torch.tensor([0, 2]), Ascent(steps=1))
    assert found.channels == (0, 2)
    with pytest.raises(ConfigError, match=r"stands for itself here: \[0, 1\]"):
        feature_visualisation(mlp_model, "hidden", [(0, 1)])
    with pytest.raises(ConfigError, match="at a time, not 0"):
        feature_visualisation(mlp_model, "hidden", [0], batch_size=0)


def test_a_layer_cut_off_from_the_input_is_an_error(mlp_model):
    class Cut(nn.ReLU):
        def forward(self, maps):
            return super().forward(maps.detach())

    mlp_model.network.blocks[1].relu = Cut()
    with pytest.raises(NetworkError, match="No gradient leads from layer 'hidden'"):
        feature_visualisation(mlp_model, "hidden", [0])
