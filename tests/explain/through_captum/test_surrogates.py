"""KernelSHAP and LIME against captum itself, exact Shapley values, a linear network, and what they cost."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import KernelShap, Lime, RegionShapley, explain
from inspect_fer.explain.regions import region_masks
from inspect_fer.schema import Classifier

attr = pytest.importorskip("captum.attr")


@pytest.fixture
def card(make_model):
    return replace(make_model("tiny").card, cam_layer="")


@pytest.fixture
def plain(card, make_network):
    return Classifier(make_network("plain"), card)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", [0, 3])
def test_equal_captum_from_the_same_seed(plain, images, target):
    from captum._utils.models.linear_model import SkLearnLasso

    mask = region_masks("grid", 3, 3, (12, 12)).int().argmax(dim=0)[None, None]
    shap = explain(plain, images, KernelShap(samples=60, cells=3, seed=7), targets=target).maps
    lime = explain(plain, images, Lime(samples=60, cells=3, seed=7, alpha=1e-4), targets=target).maps
    for row, image in enumerate(images.split(1)):
        settings = {"target": target, "feature_mask": mask, "n_samples": 60, "return_input_shape": False}
        torch.manual_seed(7)
        expected = attr.KernelShap(plain.network).attribute(image, torch.zeros_like(image), **settings)
        assert_close(shap[row, 0].flatten(), expected[0], rtol=1e-3, atol=1e-5)
        torch.manual_seed(7)
        peer = attr.Lime(plain.network, interpretable_model=SkLearnLasso(alpha=1e-4))
        expected = peer.attribute(image, baselines=torch.zeros_like(image), **settings)
        assert_close(lime[row, 0].flatten(), expected[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fill", [0.0, "mean"])
def test_kernel_shap_comes_close_to_the_exact_values(mlp_model, images, fill):
    exact = explain(mlp_model, images, RegionShapley(regions="grid", rows=2, columns=2, fill=fill), targets="all").maps
    found = explain(mlp_model, images, KernelShap(samples=600, cells=2, fill=fill), targets="all").maps
    assert (found - exact).abs().amax() < 0.1 * exact.abs().amax()
    assert_close(found.sum(dim=(2, 3)), exact.sum(dim=(2, 3)), rtol=1e-2, atol=1e-3)  # the all and none samples


def test_on_a_linear_network_the_coefficients_are_the_cells(card, images, generator):
    weight = torch.randn(5, 144, generator=generator)
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 5))
    network[1].weight.data = weight
    model = Classifier(network, card)
    worth = (weight.view(5, 1, 12, 12) * images[:, None]).sum(dim=2).unfold(2, 4, 4).unfold(3, 4, 4).sum(dim=(4, 5))
    for method in (KernelShap(samples=200, cells=3), Lime(samples=200, cells=3, alpha=1e-6)):
        found = explain(model, images, method, targets="all")
        assert found.footprint.rows == ((0, 4), (4, 8), (8, 12))
        assert_close(found.maps, worth, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("method", [KernelShap(samples=40, cells=2), Lime(samples=40, cells=2)])
def test_all_classes_take_the_passes_of_one(plain, images, method):
    passes = []
    plain.network.register_forward_hook(lambda _m, inputs, _o: passes.append(len(inputs[0])))
    explain(plain, images[:1], method, targets=0)
    one = sum(passes)
    passes.clear()
    explain(plain, images[:1], method, targets="all")
    assert sum(passes) == one


def test_a_larger_penalty_leaves_fewer_cells(plain, images):
    many, few = (explain(plain, images, Lime(samples=80, cells=3, alpha=a), targets=1).maps for a in (1e-6, 3e-3))
    assert (few != 0).sum() < (many != 0).sum()


@pytest.mark.parametrize("method", [KernelShap, Lime])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"samples": 2}, "samples of at least 3"),
        ({"cells": 1}, "cells of at least 2"),
        ({"fill": "black"}, "fills with"),
        ({"seed": -1}, "seed of at least 0"),
    ],
)
def test_options_that_make_no_sense_are_errors(method, options, reason):
    with pytest.raises(ConfigError, match=reason):
        method(**options)


def test_limits(plain, images):
    with pytest.raises(ConfigError, match="alpha from"):
        Lime(alpha=0)
    with pytest.raises(ConfigError, match="13 x 13 is finer than the 12 x 12 pixels"):
        explain(plain, images, KernelShap(cells=13))
