"""Gradient methods against captum itself, autograd, and what theory says of them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.explain import (
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    explain,
)
from inspect_fer.explain.fills import filled
from inspect_fer.schema import Classifier

attr = pytest.importorskip("captum.attr")


@pytest.fixture
def card(make_model):
    return replace(make_model("tiny").card, cam_layer="")


@pytest.fixture
def plain(card, make_network):
    return Classifier(make_network("plain"), card)


def gradient_by_hand(network, image, target):
    """d logit / d pixel by central differences, in float64."""
    flat, step = image.double().flatten(), 1e-6
    network = network.double()
    found = torch.zeros_like(flat)
    with torch.no_grad():
        for pixel in range(len(flat)):
            moved = [flat.clone(), flat.clone()]
            moved[0][pixel] += step
            moved[1][pixel] -= step
            high, low = (network(each.view(1, *image.shape))[0, target] for each in moved)
            found[pixel] = (high - low) / (2 * step)
    return found.view_as(image)


def test_saliency_and_input_x_gradient_match_differences(plain, images):
    slope = explain(plain, images[:1], Saliency(), targets=2).maps[0, 0]
    absolute = explain(plain, images[:1], Saliency(absolute=True), targets=2).maps[0, 0]
    share = explain(plain, images[:1], InputXGradient(), targets=2).maps[0, 0]
    expected = gradient_by_hand(plain.network, images[0], 2)[0].float()
    assert_close(slope, expected, rtol=1e-3, atol=1e-6)
    assert_close(absolute, expected.abs(), rtol=1e-3, atol=1e-6)
    assert_close(share, images[0, 0] * expected, rtol=1e-3, atol=1e-6)


def test_channels_are_added_or_the_largest_taken(card, generator, make_network):
    model = Classifier(make_network("plain", 3), replace(card, input_size=(3, 12, 12), mean=(0.5,) * 3, std=(0.5,) * 3))
    images = torch.randn(2, 3, 12, 12, generator=generator)
    asked = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model.network(asked)[:, 1].sum(), asked)
    assert_close(explain(model, images, Saliency(), targets=1).maps[:, 0], expected.sum(dim=1))
    absolute = explain(model, images, Saliency(absolute=True), targets=1).maps[:, 0]
    assert_close(absolute, expected.abs().amax(dim=1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", [0, 3])
def test_equal_captum(plain, images, target):
    network, base = plain.network, torch.full_like(images, 0.2)
    peers = {
        Saliency(): attr.Saliency(network).attribute(images, target=target, abs=False),
        InputXGradient(): attr.InputXGradient(network).attribute(images, target=target),
        IntegratedGradients(steps=20, baseline=0.2): attr.IntegratedGradients(network).attribute(
            images, base, target=target, n_steps=20
        ),
    }
    for method, expected in peers.items():
        assert_close(explain(plain, images, method, targets=target).maps[:, 0], expected[:, 0].detach())


@pytest.mark.filterwarnings("ignore")
def test_random_methods_equal_captum_from_the_same_seed(plain, images):
    smooth, shap = SmoothGrad(samples=9, seed=4), GradientShap(samples=9, seed=4, baseline=0.1)
    for image in images:
        spread = float(image.max() - image.min())
        torch.manual_seed(4)
        peer = attr.NoiseTunnel(attr.Saliency(plain.network))
        expected = peer.attribute(image[None], nt_samples=9, stdevs=0.15 * spread, target=1, abs=False)
        assert_close(explain(plain, image[None], smooth, targets=1).maps[:, 0], expected[:, 0].detach())
        torch.manual_seed(4)
        np.random.seed(4)
        expected = attr.GradientShap(plain.network).attribute(
            image[None], torch.full_like(image[None], 0.1), n_samples=9, stdevs=0.1 * spread, target=1
        )
        assert_close(explain(plain, image[None], shap, targets=1).maps[:, 0], expected[:, 0].detach())


def test_without_noise_smooth_grad_is_the_gradient(plain, images):
    smooth = explain(plain, images, SmoothGrad(noise=0, samples=3), targets="all").maps
    assert_close(smooth, explain(plain, images, "saliency", targets="all").maps)


@pytest.mark.parametrize("network", ["plain", "rough", "gated", "untraceable"])
@pytest.mark.parametrize("baseline", [0.0, "mean", "blur"])
def test_integrated_gradients_add_up(card, images, make_network, network, baseline):
    """Completeness, proposition 1 of arXiv:1703.01365."""
    model = Classifier(make_network(network), card)
    maps = explain(model, images, IntegratedGradients(steps=300, baseline=baseline), targets="all").maps
    with torch.no_grad():
        expected = model.network(images) - model.network(filled(images, baseline))
    assert_close(maps.sum(dim=(2, 3)), expected, rtol=0.02, atol=0.003)


def test_gradient_shap_adds_up_on_average(plain, images):
    maps = explain(plain, images, GradientShap(samples=2000, noise=0), targets="all").maps
    with torch.no_grad():
        expected = plain.network(images) - plain.network(torch.zeros_like(images))
    assert_close(maps.sum(dim=(2, 3)), expected, rtol=0.05, atol=0.01)


def test_samples_beyond_a_chunk_are_all_drawn(plain, images):
    many = explain(plain, images[:1], GradientShap(samples=200, noise=0), targets=0).maps
    parts = [
        explain(plain, images[:1], GradientShap(samples=n, noise=0, seed=s), targets=0).maps
        for n, s in ((128, 0), (72, 128))
    ]
    assert_close(many, (parts[0] * 128 + parts[1] * 72) / 200, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["smooth-grad", "gradient-shap"])
def test_random_numbers_of_the_caller_go_on_as_before(plain, images, name):
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(2).tolist(), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = explain(plain, images, name).maps
    assert (torch.rand(2).tolist(), np.random.rand()) == expected
    assert_close(first, explain(plain, images, name).maps, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("method", "options", "reason"),
    [
        (SmoothGrad, {"samples": 0}, "samples of at least 1"),
        (SmoothGrad, {"noise": -1}, "noise from 0"),
        (SmoothGrad, {"seed": 0.5}, "seed of at least 0"),
        (IntegratedGradients, {"steps": 0}, "steps of at least 1"),
        (IntegratedGradients, {"baseline": "black"}, "fills with"),
        (GradientShap, {"samples": 1.5}, "samples of at least 1"),
        (GradientShap, {"noise": "much"}, "noise from 0"),
        (GradientShap, {"baseline": None}, "fills with"),
    ],
)
def test_options_that_make_no_sense_are_errors(method, options, reason):
    with pytest.raises(ConfigError, match=reason):
        method(**options)


class Cut(nn.Module):
    """No gradient passes it: all is detached, or computed without gradients."""

    def __init__(self, inner, manner):
        super().__init__()
        self.inner, self.manner = inner, manner

    def forward(self, images):
        if self.manner == "detached":
            return self.inner(images.detach())
        with torch.no_grad():
            return self.inner(images)


NEED_GRADIENTS = ["saliency", "input-x-gradient", "integrated-gradients", "smooth-grad", "gradient-shap", "full-grad"]


@pytest.mark.parametrize("manner", ["detached", "no grad"])
@pytest.mark.parametrize("name", [*NEED_GRADIENTS, "guided-backprop", "deconvnet"])
def test_a_network_that_no_gradient_passes_is_one_line(mlp_model, images, name, manner):
    card = replace(mlp_model.card, cam_layer="")
    model = Classifier(Cut(mlp_model.network, manner), card)
    with pytest.raises(NetworkError, match="No gradient reaches the input.*use occlusion or rise"):
        explain(model, images, name)
    assert explain(model, images, "lime?samples=20&cells=3").maps.isfinite().all()
