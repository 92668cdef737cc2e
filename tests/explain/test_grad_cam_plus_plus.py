"""Grad-CAM++ and Smooth Grad-CAM++ against their equations, the derivatives behind them, and pytorch-grad-cam.

torchcam 0.5 is no reference for either: its Grad-CAM++ divides a copy, so that alpha stays the squared gradient, and
its Smooth Grad-CAM++ takes the gradient of the last noisy copy for the mean of all.
"""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import SmoothGradCAMPlusPlus, explain
from inspect_fer.explain.grad_cam_plus_plus import grad_cam_plus_plus, smooth_grad_cam_plus_plus


def grad_cam_plus_plus_by_hand(features, gradients):
    """Eq. 19 of arXiv:1710.11063 and the weights it goes into, term by term, for one image and one class."""
    channels, h, w = features.shape
    result = torch.zeros(h, w, dtype=features.dtype)
    for k in range(channels):
        places = list(product(range(h), range(w)))
        total, weight = sum(features[k, y, x] for y, x in places), 0
        for y, x in places:
            g = gradients[k, y, x]
            if g != 0:
                weight += g**2 / (2 * g**2 + total * g**3) * max(g, 0)
        result += weight * features[k]
    return result


def test_matches_the_paper_term_by_term(features, gradients, even, each_target):
    each_target(grad_cam_plus_plus(features, gradients), grad_cam_plus_plus_by_hand, gradients)
    each_target(grad_cam_plus_plus(features, even), grad_cam_plus_plus_by_hand, even)
    each_target(grad_cam_plus_plus(features, even.contiguous()), grad_cam_plus_plus_by_hand, even)


def test_alpha_is_the_ratio_of_derivatives_of_the_exponential():
    """Y = exp(w A) has the derivatives g Y, g^2 Y and g^3 Y, of which eq. 19 is made: here by autograd."""
    features = torch.tensor([0.5, 1.5, 0.25], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.3, 0.2, 1.1], dtype=torch.float64)
    score, weight = (weights @ features).exp(), 0
    for place in range(3):
        derivatives = [score]
        for _ in range(3):
            (found,) = torch.autograd.grad(derivatives[-1], features, create_graph=True)
            derivatives.append(found[place])
        _, first, second, third = derivatives
        weight += second / (2 * second + features.sum() * third) * max(first, 0)
    expected = weight * features / score
    given = features.detach().view(1, 1, 1, 3), weights.view(1, 1, 1, 1, 3)
    assert_close(grad_cam_plus_plus(*given)[0, 0, 0], expected.detach())


def test_a_small_gradient_counts_as_a_large_one(features, gradients):
    """Scaled features make up for scaled gradients; pytorch-grad-cam's 1e-6 in the denominator would not allow it."""
    small = grad_cam_plus_plus(features * 1e6, gradients * 1e-6)
    assert_close(small, grad_cam_plus_plus(features, gradients))


def test_a_denominator_of_zero_gives_nothing():
    features, gradients = torch.tensor([[[[-4.0, 2.0]]]]), torch.ones(1, 1, 1, 1, 2)
    assert grad_cam_plus_plus(features, gradients).tolist() == [[[[0, 0]]]]
    beside = torch.tensor([[[[-4.0, 2.0]], [[1.0, 5.0]]]])  # weight 1 / (2 + 6) at both places of the second channel
    assert grad_cam_plus_plus(beside, torch.ones(1, 1, 2, 1, 2)).tolist() == [[[[0.25, 1.25]]]]


def test_what_is_given_stays_as_it_is(leaves_alone):
    leaves_alone(grad_cam_plus_plus)


def test_no_positive_gradient_no_map(features, gradients):
    assert not grad_cam_plus_plus(features, -gradients.abs()).any()


@pytest.mark.filterwarnings("ignore")
def test_equals_pytorch_grad_cam_where_its_guard_is_small(mlp_model, images, raw_pytorch_grad_cam):
    mlp_model.network.classifier.weight.data *= 1e3  # gradients beside which 1e-6 is nothing
    maps = explain(mlp_model, images, "grad-cam++", targets="all").maps
    for target in range(5):
        expected = raw_pytorch_grad_cam("GradCAMPlusPlus", mlp_model, images, target)
        assert_close(maps[:, target], expected, rtol=1e-4, atol=1e-5)


def smooth_by_hand(features, noisy):
    """arXiv:1908.01224 for one image and one class: noisy is a list of gradients, one for each noisy copy."""
    channels, h, w = features.shape
    result = torch.zeros(h, w, dtype=features.dtype)
    for k in range(channels):
        weight = 0
        for y, x in product(range(h), range(w)):
            first, second, third = (sum(g[k, y, x] ** p for g in noisy) / len(noisy) for p in (1, 2, 3))
            below = 2 * second + features[k].sum() * third
            weight += second / below * max(first, 0) if below != 0 else 0
        result += weight * features[k]
    return result


def test_smooth_matches_the_paper_term_by_term(features, gradients):
    noisy = [gradients, gradients.flip(4), 2 * gradients.roll(1, 3)]
    means = (sum(g**power for g in noisy) / 3 for power in (1, 2, 3))
    maps = smooth_grad_cam_plus_plus(features, *means)
    for image, target in product(range(2), range(2)):
        expected = smooth_by_hand(features[image], [g[image, target] for g in noisy])
        assert_close(maps[image, target], expected)


def test_smooth_averages_gradients_of_noisy_images(mlp_model, images):
    """The method's own passes, once more one image, one copy and one class at a time."""
    method, network = SmoothGradCAMPlusPlus(samples=3, noise=0.5, seed=4), mlp_model.network.double()
    found = explain(mlp_model, images, method, targets="all").maps
    noises = 0.5 * torch.randn(3, 1, 1, 12, 12, generator=torch.Generator().manual_seed(4))
    for image, target in product(range(4), range(5)):
        picture, noisy = images[image : image + 1].double(), []
        for noise in noises:
            maps = network.blocks[1][:3](network.blocks[0](picture + noise)).detach().requires_grad_()
            logits = network.classifier(torch.relu(network.hidden(network.blocks[1][3:](maps).flatten(1))))
            noisy.append(torch.autograd.grad(logits[0, target], maps)[0][0])
        features = network.blocks[1][:3](network.blocks[0](picture))[0].detach()
        assert_close(found[image, target], smooth_by_hand(features, noisy).float(), rtol=1e-4, atol=1e-6)


def test_without_noise_smooth_is_grad_cam_plus_plus(model, images):
    found = explain(model, images, {"smooth": SmoothGradCAMPlusPlus(samples=2, noise=0), "plain": "grad-cam++"})
    assert_close(found["smooth"].maps, found["plain"].maps)


@pytest.mark.parametrize("options", [{"samples": 0}, {"samples": 1.5}, {"noise": -1.0}, {"noise": float("nan")}])
def test_options_that_make_no_sense(options):
    with pytest.raises(ConfigError, match="at least|from 0"):
        SmoothGradCAMPlusPlus(**options)
