"""Memory where maps are large beside the weights: every class, several images, a budget for one or two at a time."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.capture import Meter
from inspect_fer.errors import ConfigError
from inspect_fer.explain import explain, forecast, make_method
from inspect_fer.explain.budget import Rows, allowing, in_bytes
from inspect_fer.explain.need import need_of
from inspect_fer.explain.through_captum import logits_with_graph, own_copy

SIDE = 64
METHODS = (
    *("full-grad", "smooth-grad?samples=20", "gradient-shap?samples=20", "integrated-gradients?steps=8"),
    *("saliency", "input-x-gradient", "guided-backprop", "deconvnet", "guided-grad-cam", "deep-lift", "lrp"),
    *("smooth-grad-cam++?samples=100", "rise?masks=3000&cells=32"),
    *("region-shapley", "region-occlusion", "rise?masks=40", "kernel-shap?samples=40", "lime?samples=40", "occlusion"),
)


@pytest.fixture
def model(make_model):
    return make_model("mlp", input_size=(1, SIDE, SIDE))


@pytest.fixture
def faces(generator):
    return torch.randn(6, 1, SIDE, SIDE, generator=generator)


def need(model, faces, name):
    return need_of(model, faces[:1], {"": make_method(*name.split("?")[:1])}, (model.card.cam_layer,), 5)


def peak(model, faces, name, memory):
    """What is found, and the most bytes alive on the way to it, the maps themselves and copies of weights apart."""
    with Meter() as meter:
        maps = explain(model, faces, name, targets="all", memory=memory).maps
    weights = sum(weight.nbytes for weight in model.network.parameters())
    return maps, meter.peak - 3 * maps.nbytes - 4 * weights


@pytest.mark.parametrize(("name", "times"), [*((name, 1.5) for name in METHODS), ("full-grad", 4.2)])
def test_all_classes_of_large_images_keep_to_the_budget(model, faces, name, times):
    budget = int(times * need(model, faces, name).least)
    whole = explain(model, faces, name, targets="all").maps
    found, taken = peak(model, faces, name, budget)
    assert taken <= 1.2 * budget
    assert_close(found, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().amax()))


def test_patches_of_every_size_keep_to_the_budget(model, faces):
    coarse = replace(model, card=replace(model.card, cam_layer="blocks.1.pool"))
    test_all_classes_of_large_images_keep_to_the_budget(coarse, faces, "sess", 1.5)


@pytest.mark.parametrize("name", METHODS)
def test_the_forecast_is_of_what_is_taken(model, faces, name):
    for memory in (int(1.5 * need(model, faces, name).least), 10**9):
        told = forecast(model, faces, name, targets="all", memory=memory)
        _, taken = peak(model, faces, name, memory)
        assert taken <= 1.3 * told.bytes
        assert told.bytes <= memory


@pytest.mark.parametrize("name", ["full-grad", "deep-lift", "lrp", "saliency", "grad-cam"])
def test_what_a_budget_is_told_to_be_at_least_is_enough(model, faces, name):
    with pytest.raises(ConfigError, match="Give at least") as told:
        explain(model, faces, name, targets="all", memory=20_000)
    least = in_bytes(str(told.value).split()[-1].rstrip("."))
    assert peak(model, faces, name, least)[1] <= 1.2 * least


def test_a_method_too_large_for_the_budget_is_left_out_alone(model, faces):
    memory = int(1.2 * need(model, faces, "saliency").least)
    options = {"targets": "all", "memory": memory}
    refused = {}
    found = explain(model, faces, ["saliency", "deep-lift"], **options, refuse=refused.__setitem__)
    assert (list(found), list(refused)) == (["saliency"], ["deep-lift"])
    assert "Give at least" in str(refused["deep-lift"])
    assert list(forecast(model, faces, ["saliency", "deep-lift"], **options).refused) == ["saliency", "deep-lift"]


def test_a_method_takes_no_more_for_the_company_it_has(model, faces):
    alone = forecast(model, faces, "grad-cam", targets="all").methods["grad-cam"].bytes
    others = ["eigen-cam", "shapley-cam", "kpca-cam", "smooth-grad-cam++", "deep-lift", "grad-cam"]
    among = forecast(model, faces, others, targets="all").methods
    assert among["grad-cam"].bytes <= 1.3 * alone
    assert among["deep-lift"].bytes > 3 * among["grad-cam"].bytes


def test_a_pass_in_pieces_has_the_gradients_of_one_in_whole(model, faces):
    logits = logits_with_graph(own_copy(model.network))
    given, weights = faces[:5].clone().requires_grad_(), torch.arange(5.0)
    (expected,) = torch.autograd.grad(logits(given)[:, 2] @ weights, given)
    with allowing(Rows(graph=2)):
        (found,) = torch.autograd.grad(logits(given)[:, 2] @ weights, given)
    assert_close(found, expected)
