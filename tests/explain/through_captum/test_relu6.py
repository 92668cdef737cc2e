"""ReLU6, as MobileNetV2 has it: a ReLU and a ceiling, each with its own rule."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.explain import LRP, DeepLift, explain
from inspect_fer.schema import Classifier


class Capped(nn.Module):
    """Three linear layers without biases with ReLU6 between, as a module that serves twice or as a function."""

    def __init__(self, manner):
        super().__init__()
        self.first, self.second, self.third = (
            nn.Linear(*sizes, bias=False) for sizes in ((144, 16), (16, 12), (12, 5))
        )
        self.relu, self.manner = nn.ReLU6(inplace=True), manner

    def forward(self, images):
        cap = self.relu if self.manner == "module" else F.relu6
        return self.third(cap(self.second(cap(self.first(images.flatten(1))))))


@pytest.fixture(params=["module", "function"])
def model(request, make_model):
    torch.manual_seed(3)
    network = Capped(request.param)
    network.first.weight.data *= 12
    network.second.weight.data *= 5
    return Classifier(network.double().eval(), replace(make_model("tiny").card, cam_layer=""))


def inside(model, image):
    """What goes into each ReLU6; some of it lies above 6, some below 0."""
    first = model.network.first.weight @ image.flatten()
    second = model.network.second.weight @ F.relu6(first)
    return first.detach(), second.detach()


def test_values_of_all_kinds_occur(model, images):
    for values in zip(*(inside(model, image) for image in images.double()), strict=True):
        for kind in (lambda v: v < 0, lambda v: (v > 0) & (v < 6), lambda v: v > 6):
            assert kind(torch.cat(values)).any()


@pytest.mark.parametrize("rule", ["guided-backprop", "deconvnet"])
def test_gradients_pass_below_the_ceiling_only(model, images, rule):
    found = explain(model, images, rule, targets="all").maps
    weights = [layer.weight.detach() for layer in (model.network.first, model.network.second, model.network.third)]
    for image, maps in zip(images.double(), found, strict=True):
        before = inside(model, image)
        for target in range(5):
            gradient = weights[2][target]
            for weight, values in ((weights[1], before[1]), (weights[0], before[0])):
                passed = values < 6 if rule == "deconvnet" else (values > 0) & (values < 6)
                gradient = (gradient.relu() * passed) @ weight
            assert_close(maps[target].flatten(), gradient.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_deep_lift_is_the_rescale_rule_and_adds_up(model, images, baseline):
    """Multipliers delta out / delta in of each unit, eq. of section 3.5.2 of arXiv:1704.02685, layer by layer."""
    found = explain(model, images, DeepLift(baseline), targets="all").maps
    below = torch.full_like(images[0].double(), baseline)
    weights = [layer.weight.detach() for layer in (model.network.first, model.network.second, model.network.third)]
    for image, maps in zip(images.double(), found, strict=True):
        rescale = [
            (F.relu6(now) - F.relu6(then)) / (now - then + 1e-30)
            for now, then in zip(inside(model, image), inside(model, below), strict=True)
        ]
        for target in range(5):
            multipliers = (weights[2][target] * rescale[1]) @ weights[1] * rescale[0] @ weights[0]
            expected = multipliers * (image - below).flatten()
            assert_close(maps[target].flatten(), expected.float(), rtol=1e-4, atol=1e-5)
        total = (model.network(image[None]) - model.network(below[None]))[0].detach()
        assert_close(maps.sum(dim=(1, 2)), total.float(), rtol=1e-4, atol=1e-5)


def test_relevance_passes_the_ceiling_whole(model, images):
    """Eq. 2 of Bach et al.: without biases it adds up to the logit."""
    maps = explain(model, images, LRP(epsilon=1e-12), targets="all").maps
    assert_close(maps.sum(dim=(2, 3)), model.network(images.double()).detach().float(), rtol=1e-4, atol=1e-5)
