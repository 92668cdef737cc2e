"""What every method must do: tested for each line of METHODS."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.explain import METHODS, describe, explain, make_method
from inspect_fer.schema import HEALTH

QUICK = {
    "ablation-cam": {"scale": "none"},  # a logit near 0 magnifies rounding as much as the map
    "smooth-grad-cam++": {"samples": 2},
    "occlusion": {"window": 4, "stride": 4},
    "region-shapley": {"regions": "grid", "rows": 2, "columns": 2},
    "rise": {"masks": 150, "cells": 3},
    "smooth-grad": {"samples": 8},
    "integrated-gradients": {"steps": 12},
    "gradient-shap": {"samples": 8},
    "kernel-shap": {"samples": 150, "cells": 3},
    "lime": {"samples": 100, "cells": 3, "alpha": 1e-4},
    "sess": {"scales": 2},
}
CLASS_FREE = {name for name, kind in METHODS.items() if getattr(kind, "class_free", False)}


LINEAR_ONLY = {"cam"}
RULED = {"deep-lift", "lrp"}  # refuse what they have no rule for, such as a square root
TURNED = {"hires-cam", "grad-cam-elementwise", "layer-cam", "eigen-grad-cam", "seg-eigen-cam", "full-grad"}
TURNED |= {"saliency", "smooth-grad", "guided-backprop", "deconvnet"}
TURNED_IN = {(name, "mlp") for name in TURNED} | {("full-grad", "tiny"), ("deconvnet", "tiny"), ("sess", "tiny")}
"""Gradients place by place: in half precision a ReLU's sign turns at single ones, of which few places of a map know.
SESS counts at each place the patches whose evidence is not 0."""
CASES = [(name, kind) for name in METHODS for kind in ("tiny", "mlp") if kind == "tiny" or name not in LINEAR_ONLY]


@pytest.fixture(params=CASES, ids=" on ".join)
def case(request, make_model):
    """A method and a network that it can explain."""
    name, kind = request.param
    return make_method(name, **QUICK.get(name, {})), make_model(kind)


@pytest.fixture
def method(case):
    return case[0]


@pytest.fixture
def model(case):
    return case[1]


def test_maps_are_finite_float32_of_the_right_shape(model, method, images):
    found = explain(model, images, method, targets="all")
    assert found.maps.shape[:2] == (4, 5)
    assert found.maps.dtype == torch.float32
    assert found.maps.device.type == "cpu"
    assert found.maps.isfinite().all()
    assert not found.maps.requires_grad
    assert found.targets.tolist() == [[0, 1, 2, 3, 4]] * 4
    assert found.upsampled().shape == (4, 5, 12, 12)
    assert found.method == describe(method)
    assert HEALTH.index("ok") in found.health


def test_a_batch_equals_its_images_one_by_one(model, method, images):
    whole = explain(model, images, method, targets="all").maps
    halves = explain(model, images, method, targets="all", batch_size=3).maps
    single = torch.cat([explain(model, image[None], method, targets="all").maps for image in images])
    assert_close(halves, whole, rtol=1e-4, atol=1e-5)
    assert_close(single, whole, rtol=1e-4, atol=1e-5)


def test_each_image_has_its_own_targets(model, method, images):
    targets = torch.tensor([[0, 1], [1, 2], [2, 3], [4, 0]])
    found = explain(model, images, method, targets=targets, batch_size=3)
    every = explain(model, images, method, targets="all").maps
    assert found.targets.tolist() == targets.tolist()
    assert_close(found.maps, every[torch.arange(4)[:, None], targets], rtol=1e-4, atol=1e-5)


def test_all_equals_each_class_in_turn(model, method, images):
    every = explain(model, images, method, targets="all").maps
    for target in range(5):
        assert_close(explain(model, images, method, targets=target).maps[:, 0], every[:, target], rtol=1e-4, atol=1e-5)


def test_the_target_matters(model, method, images):
    maps = explain(model, images, method, targets="all").maps
    name = describe(method)["name"]
    assert (name in CLASS_FREE) == torch.allclose(maps[:, 0], maps[:, 1])


def test_leaves_no_trace(model, method, images, state_of):
    network, given = model.network.train(), images.clone()
    next(iter(network.children())).eval()
    before = state_of(network)
    explain(model, images, method, targets="all")
    assert state_of(network) == before
    assert_close(images, given, rtol=0, atol=0)


class Failing(nn.Module):
    def forward(self, _values):
        raise ZeroDivisionError


def test_leaves_no_trace_when_the_network_fails(model, method, images, state_of):
    network = model.network.train()
    network.classifier = nn.Sequential(network.classifier, Failing())
    before = state_of(network)
    with pytest.raises(ZeroDivisionError):
        explain(model, images, method)
    assert state_of(network) == before
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("grads", [True, False])
def test_gradients_of_the_owner_survive(model, method, images, grads):
    model.network(images).sum().backward()
    before = [weight.grad.clone() for weight in model.network.parameters()]
    with torch.set_grad_enabled(grads):
        explain(model, images.requires_grad_(), method)
        assert torch.is_grad_enabled() == grads
    for weight, gradient in zip(model.network.parameters(), before, strict=True):
        assert_close(weight.grad, gradient, rtol=0, atol=0)
    assert images.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_on_frozen_networks_in_any_mode(model, method, images, mode):
    expected = explain(model, images, method, targets="all").maps
    model.network.requires_grad_(requires_grad=False)
    with mode():
        found = explain(model, images.clone(), method, targets="all").maps
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    assert_close(found, expected)
    assert not found.is_inference()


@pytest.mark.parametrize("hooked", [False, True], ids=["twin", "plain network"])
def test_works_on_networks_made_in_inference_mode(model, method, images, hooked):
    expected = explain(model, images, method, targets="all").maps
    with torch.inference_mode():
        network = deepcopy(model.network)
        model = replace(model, network=network)
        if hooked:  # then there is no twin to help
            network.register_forward_hook(lambda _m, _i, _o: None)
        found = explain(model, images.clone(), method, targets="all").maps
    assert any(weight.is_inference() for weight in network.parameters())
    assert_close(found, expected)
    assert_close(explain(model, images, method, targets="all").maps, expected)


def test_hooks_of_the_owner_act(model, method, images):
    calls = []
    model.network.register_forward_hook(lambda _m, _i, _o: calls.append(1))
    found = explain(model, images, method, targets="all").maps
    assert calls
    with torch.no_grad():
        assert_close(
            found, explain(replace(model, network=deepcopy(model.network)), images, method, targets="all").maps
        )


def test_half_precision_networks_come_close(request, model, method, images):
    expected = explain(model, images, method, targets="all").maps
    model.network.bfloat16()
    found = explain(model, images, method, targets="all").maps
    assert found.dtype == torch.float32
    off = (found - expected).abs() / expected.abs().amax()
    assert off.quantile(0.95) < 0.05
    assert (found - expected).norm() < 0.2 * expected.norm()
    if request.node.callspec.params["case"] not in TURNED_IN:
        assert off.amax() < 0.1


class Functional(nn.Module):
    """The same network with its ReLU in place, as a module, or as a function."""

    def __init__(self, inner, manner):
        super().__init__()
        self.conv, self.manner, self.relu, self.inner = inner.features.conv, manner, nn.ReLU(), inner.classifier

    def forward(self, images):
        maps = self.conv(images)
        maps = self.relu(maps) if self.manner == "module" else F.relu(maps, inplace=self.manner == "in place")
        return self.inner((maps + 1).sqrt().mean(dim=(2, 3)))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in LINEAR_ONLY | RULED])
def test_the_manner_of_the_relu_behind_the_layer_is_harmless(tiny_model, images, name):
    found = [
        explain(replace(tiny_model, network=Functional(tiny_model.network, manner)), images, name, layer="conv").maps
        for manner in ("module", "function", "in place")
    ]
    assert_close(found[1], found[0])
    assert_close(found[2], found[0])


@pytest.mark.parametrize("input_size", [(3, 12, 12), (1, 12, 20), (3, 20, 12)])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_colour_and_other_shapes(make_model, generator, input_size, name, kind):
    images = torch.randn(1, *input_size, generator=generator)
    found = explain(make_model(kind, input_size=input_size), images, name)
    assert found.maps.isfinite().all()
    assert found.upsampled().shape == (1, 1, *input_size[1:])


@pytest.mark.parametrize("name", METHODS)
def test_registry_name_and_options_are_the_provenance(name):
    method = make_method(name)
    described = describe(method)
    assert make_method(described.pop("name"), **described) == method
    assert hash(method) == hash(make_method(**describe(method)))
    assert type(method).__dataclass_params__.frozen
    assert type(method).__doc__
