"""What captum's hooks must find: every activation a module of its own, every tensor before one used by it alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.errors import NetworkError
from inspect_fer.explain import DeepLift, explain
from inspect_fer.explain.unshared import modules_of, unshared
from inspect_fer.schema import Classifier

FUNCTIONS = {
    "F.relu": (F.relu, nn.ReLU),
    "F.relu_": (F.relu_, nn.ReLU),
    "F.relu in place": (lambda maps: F.relu(maps, inplace=True), nn.ReLU),
    "torch.relu": (torch.relu, nn.ReLU),
    "torch.relu_": (torch.relu_, nn.ReLU),
    "relu": (lambda maps: maps.relu(), nn.ReLU),
    "relu_": (lambda maps: maps.relu_(), nn.ReLU),
    "F.relu6": (F.relu6, nn.ReLU),
    "F.sigmoid": (F.sigmoid, nn.Sigmoid),
    "torch.sigmoid": (torch.sigmoid, nn.Sigmoid),
    "sigmoid": (lambda maps: maps.sigmoid(), nn.Sigmoid),
    "F.tanh": (F.tanh, nn.Tanh),
    "torch.tanh": (torch.tanh, nn.Tanh),
    "tanh": (lambda maps: maps.tanh(), nn.Tanh),
    "F.elu": (lambda maps: F.elu(maps, 0.5), nn.ELU),
    "F.leaky_relu": (lambda maps: F.leaky_relu(maps, negative_slope=0.3), nn.LeakyReLU),
    "F.max_pool2d": (lambda maps: F.max_pool2d(maps, 3, 2, padding=1), nn.MaxPool2d),
    "F.avg_pool2d": (lambda maps: F.avg_pool2d(maps, 3, stride=2, padding=1, count_include_pad=False), nn.AvgPool2d),
    "F.adaptive_avg_pool2d": (lambda maps: F.adaptive_avg_pool2d(input=maps, output_size=3), nn.AdaptiveAvgPool2d),
}


class Calling(nn.Module):
    """Calls a function of a convolution's maps."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.last, self.function = nn.Conv2d(1, 4, 3), nn.Linear(4, 5), function

    def forward(self, images):
        return self.last(self.function(self.conv(images)).sum(dim=(2, 3)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_becomes_its_module(images, name):
    function, kind = FUNCTIONS[name]
    network = Calling(function).eval()
    with torch.no_grad():
        expected = network(images)
    traced = unshared(network, images)
    assert [type(module) for _, module in modules_of(traced)] == [nn.Conv2d, kind, nn.Linear]
    assert_close(traced(images).detach(), expected)


class Around(nn.Module):
    """Halves what goes in, if so told, and doubles what comes out."""

    def __init__(self, inner, half):
        super().__init__()
        self.inner, self.half = inner, half

    def forward(self, images):
        return 2 * self.inner(images / 2 if self.half else images)


def hooked(network, half, *, keywords):
    """The same by hooks on the network as a whole, which are given keyword arguments or are not."""
    network = nn.Sequential(network)
    if keywords:
        network.register_forward_hook(lambda _module, _given, _named, found: 2 * found, with_kwargs=True)
    else:
        network.register_forward_hook(lambda _module, _given, found: 2 * found, always_call=True)
    if half and keywords:
        network.register_forward_pre_hook(lambda _, given, named: ((given[0] / 2,), named), with_kwargs=True)
    elif half:
        network.register_forward_pre_hook(lambda _, given: given[0] / 2)
    return network


@pytest.mark.parametrize("keywords", [False, True])
@pytest.mark.parametrize(("name", "half"), [("guided-backprop", True), ("deconvnet", True), ("deep-lift", False)])
def test_hooks_of_the_owner_on_the_network_count(make_model, images, name, half, keywords):
    """Not before DeepLIFT: captum hands it images and baselines apart."""
    network, card = make_model("mlp").network, replace(make_model("mlp").card, cam_layer="")
    expected = explain(Classifier(Around(network, half), card), images, name, targets="all").maps
    found = explain(Classifier(hooked(network, half, keywords=keywords), card), images, name, targets="all").maps
    assert_close(found, expected)


class Moody(Calling):
    """Answers otherwise each time."""

    turn = 0

    def forward(self, images):
        self.turn += 1
        return super().forward(images) * self.turn


@pytest.mark.filterwarnings("ignore")
def test_a_copy_that_answers_otherwise_is_refused(images):
    with pytest.raises(NetworkError, match=r"off in its logits; use integrated-gradients") as problem:
        unshared(Moody(F.relu).eval(), images)
    assert "\n" not in str(problem.value)


class Beside(nn.Module):
    """The tensor before a ReLU goes past it as well, and into a second ReLU straight after the first."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(144, 16, bias=False), nn.Linear(16, 5, bias=False)
        self.relu = nn.ReLU()

    def forward(self, images):
        values = self.first(images.flatten(1))
        return self.last(self.relu(self.relu(values)) - 2 * values)


@pytest.fixture
def beside(make_model):
    return Classifier(Beside().double(), replace(make_model("tiny").card, cam_layer=""))


@pytest.mark.parametrize("rule", ["guided-backprop", "deconvnet"])
def test_only_what_passes_the_relu_is_changed(beside, images, rule):
    found = explain(beside, images, rule, targets="all").maps
    first, last = beside.network.first.weight.detach(), beside.network.last.weight.detach()
    for image, maps in zip(images.double(), found, strict=True):
        open_ = (first @ image.flatten() > 0) | (rule == "deconvnet")
        for target in range(5):
            gradient = (last[target].relu() * open_ - 2 * last[target]) @ first
            assert_close(maps[target].flatten(), gradient.float())


def test_deep_lift_past_a_relu_adds_up(beside, images):
    maps = explain(beside, images, DeepLift(0.3), targets="all").maps
    with torch.no_grad():
        expected = beside.network(images.double()) - beside.network(torch.full_like(images, 0.3).double())
    assert_close(maps.sum(dim=(2, 3)), expected.float(), rtol=1e-4, atol=1e-6)


class Parting(Beside):
    """What goes into a ReLU is added to what comes out of it."""

    def forward(self, images):
        values = self.first(images.flatten(1))
        return self.last(self.relu(values) + values)


def test_lrp_refuses_values_that_part_between_layers_and_something_else(beside, images):
    with pytest.raises(NetworkError, match="values part between layers and something else"):
        explain(replace(beside, network=Parting()), images, "lrp")


def test_guided_grad_cam_is_the_product_of_both_without_negative_evidence(mlp_model, images):
    names = ["guided-grad-cam", "guided-backprop", "grad-cam"]
    product, guided, coarse = (each.maps for each in explain(mlp_model, images, names, targets="all").values())
    assert (coarse < 0).any()
    large = F.interpolate(coarse.relu(), size=(12, 12), mode="bilinear", align_corners=False)
    assert_close(product, guided * large, rtol=1e-4, atol=1e-5 * float((guided * large).abs().amax()))
