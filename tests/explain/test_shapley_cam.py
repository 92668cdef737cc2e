"""Shapley-CAM against its formula, finite differences, Shapley values of a game, and pytorch-grad-cam."""

from dataclasses import replace
from itertools import combinations, product
from math import factorial

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as fuse
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.explain import ShapleyCAM, explain
from inspect_fer.explain.shapley_cam import curvature, shapley_cam, utility


class Curved(nn.Module):
    """Smooth behind its convolution, so that logits have a curvature; `conv` is read."""

    def __init__(self):
        super().__init__()
        self.conv, self.classifier = nn.Conv2d(1, 3, 4, stride=4), nn.Linear(27, 5)

    def forward(self, images):
        return self.classifier(torch.sigmoid(self.conv(images)).flatten(1)) ** 3


@pytest.fixture
def curved(tiny_model):
    torch.manual_seed(2)
    return replace(tiny_model, network=Curved().eval(), card=replace(tiny_model.card, cam_layer="conv"))


def test_matches_the_formula_term_by_term(features, gradients):
    """arXiv:2501.06261: w_k = mean_ij (g_k - (H A)_k / 2)."""
    curvatures = gradients.flip(0).roll(1, 4)
    maps = shapley_cam(features, gradients, curvatures)
    for image, target in product(range(2), range(2)):
        expected = torch.zeros(4, 5, dtype=features.dtype)
        for k in range(3):
            places = list(product(range(4), range(5)))
            terms = [gradients[image, target, k, y, x] - curvatures[image, target, k, y, x] / 2 for y, x in places]
            expected += sum(terms) / 20 * features[image, k]
        assert_close(maps[image, target], expected)


def test_weights_times_features_are_shapley_values_of_a_quadratic_game(generator):
    """Players are features that are there or 0: for a quadratic utility the second-order cut is exact."""
    linear, square = torch.randn(4, generator=generator), torch.randn(4, 4, generator=generator)
    leaf = torch.randn(4, generator=generator).view(1, 4, 1, 1).requires_grad_()

    def worth(values):
        return linear @ values + values @ square @ values

    first, second = curvature(leaf, worth(leaf.flatten()).view(1, 1))
    found = (first - second / 2).flatten() * leaf.detach().flatten()
    for player in range(4):
        others, value = [k for k in range(4) if k != player], 0
        for size in range(4):
            for team in combinations(others, size):
                mask = torch.zeros(4)
                mask[list(team)] = 1
                without = worth(mask * leaf.detach().flatten())
                mask[player] = 1
                share = factorial(size) * factorial(3 - size) / factorial(4)
                value += share * (worth(mask * leaf.detach().flatten()) - without)
        assert_close(found[player], value)


def test_curvature_is_the_change_of_the_gradient_along_the_features(curved, images):
    network = curved.network.double()
    leaf = network.conv(images.double()).detach().requires_grad_()

    def scores(values):
        return utility(network.classifier(torch.sigmoid(values).flatten(1)) ** 3, torch.tensor([[0, 3]] * 4), "rest")

    _, second = curvature(leaf, scores(leaf))
    step = 1e-6
    for target in range(2):
        ends = [(leaf.detach() * (1 + turn * step)).requires_grad_() for turn in (1, -1)]
        up, down = (torch.autograd.grad(scores(end)[:, target].sum(), end)[0] for end in ends)
        assert_close(second[:, target], (up - down) / (2 * step), rtol=1e-5, atol=1e-7)


def test_rest_is_the_logit_and_the_log_probability():
    logits = torch.tensor([[1.0, 2.0, -1.0]])
    expected = logits[0, 1] + torch.log(logits[0, 1].exp() / logits[0].exp().sum())
    assert_close(utility(logits, torch.tensor([[1]]), "rest")[0, 0], expected)


def test_is_grad_cam_where_the_logits_are_linear_piece_by_piece(model, images):
    found = explain(model, images, ["shapley-cam", "grad-cam"], targets="all")
    assert_close(found["shapley-cam"].maps, found["grad-cam"].maps)


def test_is_proportional_to_cam_behind_pooling_and_one_linear_layer(tiny_model, images):
    found = explain(tiny_model, images, ["shapley-cam", "cam"], targets="all")
    assert_close(found["shapley-cam"].maps * 36, found["cam"].maps)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["logit", "rest"])
def test_equals_pytorch_grad_cam(curved, images, raw_pytorch_grad_cam, kind):
    maps = explain(curved, images, ShapleyCAM(kind), targets="all").maps
    wanted = {"logit": "ClassifierOutputTarget", "rest": "ClassifierOutputReST"}[kind]
    for target in range(5):
        expected = raw_pytorch_grad_cam("ShapleyCAM", curved, images, target, wanted).detach()
        assert_close(maps[:, target], expected, rtol=1e-4, atol=1e-5)
    plain = explain(curved, images, "grad-cam", targets="all").maps
    assert (maps - plain).abs().amax() > 0.01 * plain.abs().amax()


def test_what_cannot_be_explained(tiny_model, images):
    with pytest.raises(ConfigError, match="'logit' or 'rest'"):
        ShapleyCAM("probability")

    class Broken(Curved):
        def forward(self, images):
            return super().forward(images).detach()

    broken = replace(tiny_model, network=Broken(), card=replace(tiny_model.card, cam_layer="conv"))
    with pytest.raises(NetworkError, match="No gradient"):
        explain(broken, images, "shapley-cam")


class Attentive(nn.Module):
    """Attention among the places of a convolution, fused or written out; `conv` is read."""

    def __init__(self, attend):
        super().__init__()
        self.conv, self.classifier, self.attend = nn.Conv2d(1, 4, 4, stride=4), nn.Linear(4, 5), attend

    def forward(self, images):
        tokens = self.conv(images).flatten(2).mT
        return self.classifier(self.attend(tokens, tokens, tokens).mean(dim=1))


def written_out(queries, keys, values):
    return (queries @ keys.mT / queries.shape[2] ** 0.5).softmax(dim=2) @ values


def test_fused_attention_has_the_second_derivative_of_plain_attention(tiny_model, images):
    card = replace(tiny_model.card, cam_layer="conv")
    plain, fused = (replace(tiny_model, network=Attentive(f).eval(), card=card) for f in (written_out, fuse))
    fused.network.load_state_dict(plain.network.state_dict())
    expected = explain(plain, images, ["shapley-cam", "grad-cam"], targets="all")
    assert_close(explain(fused, images, "shapley-cam", targets="all").maps, expected["shapley-cam"].maps)
    assert (expected["shapley-cam"].maps - expected["grad-cam"].maps).abs().amax() > 1e-3


class Single(torch.autograd.Function):
    """Doubles, and has a derivative that has none itself."""

    @staticmethod
    def forward(_ctx, values):
        return values * 2

    @staticmethod
    def backward(_ctx, gradient):
        return Derivative.apply(gradient)


class Derivative(Single):
    @staticmethod
    def backward(_ctx, _gradient):
        raise RuntimeError("The second derivative is not implemented.")


def test_no_second_derivative_is_said(tiny_model, images):
    network = Attentive(lambda queries, _keys, values: Single.apply(queries) * values).eval()
    model = replace(tiny_model, network=network, card=replace(tiny_model.card, cam_layer="conv"))
    with pytest.raises(NetworkError, match="second derivatives, and what lies behind layer 'conv' has none; use grad"):
        explain(model, images, "shapley-cam")
