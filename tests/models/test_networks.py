"""What holds for every network of the registry."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from inspect_fer.capture import find_cam_layer, find_layer, shared_pass
from inspect_fer.errors import ConfigError, UnknownNameError
from inspect_fer.explain import explain
from inspect_fer.explain.grad_cam import grad_cam
from inspect_fer.models import ARCHITECTURES, build, cam_layer_of
from inspect_fer.models.blocks import SqueezeExcitation
from inspect_fer.schema import Classifier, ModelCard

SLIM = {
    "mobilenet_v2": {"width": 0.1},
    "mobilenet_v2_transfer": {"width": 0.1},
    "keras_cnn4": {"width": 4, "dense": 16},
    "vgg": {"width": 4, "dense": 16},
    "lenet5_bn": {"width": 4, "dense": 16},
    "baseline": {"width": 4},
    "se": {"width": 8},
    "se_residual": {"width": 8},
    "gimefive": {"width": 4},
    "gimefive_se": {"width": 8},
    "gimefive6": {"width": 2},
    "gimefive_res": {"width": 4},
    "vgg_lmu": {"width": 4, "dense": 32},
    "vgg13": {"width": 4, "dense": 16},
}
"""Options that keep a network's structure and let it run in milliseconds."""


def parameters(network):
    return sum(weights.numel() for weights in network.parameters())


def slim(name, size=48):
    return build(name, classes=5, size=size, options=SLIM.get(name))


def side(name):
    """What a network of the registry runs at here; the ResNets have no width to narrow."""
    return 24 if name.startswith("resnet") else 48


def settled(network, images):
    """In eval mode, with batch norms that know these images."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def without_dropout(network):
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


@pytest.mark.parametrize(
    ("name", "given", "count"),
    [
        ("lenet", {}, 168_971),
        ("lenet", {"classes": 8}, 169_056),
        ("resnet18", {}, 11_171_271),
        ("resnet18", {"classes": 8}, 11_171_784),
        ("resnet34", {}, 21_279_431),
        ("resnet34", {"classes": 8}, 21_279_944),
        ("mobilenet_v2", {}, 2_232_263),
        ("mobilenet_v2", {"classes": 8}, 2_233_544),
        ("keras_cnn4", {}, 2_345_607),
        ("mobilenet_v2_transfer", {"channels": 3}, 2_232_839),
        ("vgg", {"size": 40}, 29_890_759),
        ("lenet5_bn", {}, 1_306_823),  # ours
        ("baseline", {"channels": 3, "classes": 6, "size": 64}, 2_606_086),
        ("se", {"channels": 3, "classes": 6, "size": 64}, 10_478_470),
        ("se_residual", {"channels": 3, "classes": 6, "size": 64}, 23_720_198),
        ("gimefive", {"channels": 3, "classes": 6, "size": 64}, 10_478_086),
        ("gimefive", {"channels": 3, "classes": 6, "size": 64, "options": {"block_dropout": 0.0}}, 10_478_086),
        ("gimefive_se", {"channels": 3, "classes": 6, "size": 64}, 10_478_598),
        ("gimefive6", {"channels": 3, "classes": 6, "size": 64}, 41_950_726),
        ("gimefive_res", {"channels": 3, "classes": 6, "size": 64}, 95_051_014),
        ("resnet18_lmu", {"channels": 3, "classes": 6, "size": 64}, 11_179_590),
        ("resnet34_lmu", {"channels": 3, "classes": 6, "size": 64}, 21_287_750),
        ("vgg_lmu", {"channels": 3, "classes": 6, "size": 64}, 72_460_742),
        ("small", {}, 149_223),  # ours, as are the next two
        ("residual", {}, 76_047),
        ("unet", {}, 305_359),
        ("vgg13", {"classes": 8, "size": 64}, 8_757_704),
        ("majority", {}, 7),
    ],
)
def test_parameters_equal_the_sources_to_the_digit(name, given, count):
    with torch.device("meta"):
        assert parameters(build(name, **given)) == count


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 7, 48), (3, 6, 64), (1, 8, 41)])
def test_every_network_takes_channels_classes_and_size(name, channels, classes, size):
    with torch.device("meta"), torch.inference_mode():
        network = ARCHITECTURES[name](channels=channels, classes=classes, size=size).eval()
        assert network(torch.zeros(2, channels, size, size)).shape == (2, classes)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_step_downhill_reaches_every_weight(name):
    """A short step against the gradient lowers the loss, whatever the network."""
    size = 16 if name.startswith("resnet") else 32
    network = without_dropout(slim(name, size)).double().train()
    for module in network.modules():
        if isinstance(module, SqueezeExcitation):
            module.squeeze.weight.data.abs_()  # its only unit may be dead by chance
    images, labels = torch.randn(4, 1, size, size, dtype=torch.float64), torch.arange(4)
    before = cross_entropy(network(images), labels)
    before.backward()
    slopes = {key: weights.grad.abs().max() for key, weights in network.named_parameters() if weights.ndim > 1}
    assert [key for key, slope in slopes.items() if not 0 < slope < torch.inf] == []
    with torch.no_grad():
        steepness = sum(weights.grad.square().sum() for weights in network.parameters())
        for weights in network.parameters():
            weights.sub_(1e-6 / steepness * weights.grad)
    assert -1.1e-6 < cross_entropy(network(images), labels) - before < -0.9e-6


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_image_is_answered_as_in_a_batch(name):
    images = torch.randn(3, 1, side(name), side(name))
    network = settled(slim(name, side(name)), images)
    with torch.no_grad():
        together = network(images)
        assert together.isfinite().all()
        torch.testing.assert_close(network(images[1:2]), together[1:2], rtol=1e-4, atol=1e-5)
        assert torch.equal(together[1], together[2]) == (name == "majority")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_layer_named_for_cam_is_the_one_that_would_be_found(name):
    network, layer = slim(name).eval(), ARCHITECTURES[name].cam_layer
    assert find_cam_layer(network, torch.zeros(1, 1, 48, 48)) == layer
    assert layer == "" or find_layer(network, layer) is not None
    state = torch.random.get_rng_state()
    assert cam_layer_of(name) == cam_layer_of(name, channels=3, classes=6, size=64) == layer
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_cam_layer_follows_options_and_size():
    assert cam_layer_of("gimefive", options={"blocks": 3}) == "blocks.2.relu"
    assert cam_layer_of("se_residual", size=16) == "blocks.2"  # the last block's map is 1x1
    with pytest.raises(UnknownNameError, match="Did you mean 'gimefive'"):
        cam_layer_of("gimefiv")


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if ARCHITECTURES[name].cam_layer])
def test_every_network_is_explained(name):
    """Grad-CAM through `explain` and its faster twin is Grad-CAM of the network as it stands."""
    layer, size = ARCHITECTURES[name].cam_layer, side(name)
    images = torch.randn(3, 1, size, size)
    network = settled(slim(name, size), images)
    names = ("anger", "fear", "happiness", "surprise", "neutral")
    model = Classifier(network, ModelCard(name, names, (1, size, size), (0.5,), (0.25,), cam_layer=layer))
    found = explain(model, images, "grad-cam", targets="all").maps
    plain = shared_pass(network, layer, images, torch.arange(5).expand(3, 5))
    expected = grad_cam(plain.features, plain.gradients)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert expected.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("lenet", 16),
        ("resnet18", 16),
        ("resnet34_lmu", 16),
        ("mobilenet_v2", 32),
        ("keras_cnn4", 24),
        ("vgg", 16),
        ("lenet5_bn", 8),
        ("baseline", 16),
        ("se", 32),
        ("se_residual", 16),
        ("gimefive6", 32),
        ("gimefive_res", 32),
        ("vgg_lmu", 8),
        ("small", 4),
        ("residual", 4),
        ("unet", 4),
        ("vgg13", 16),
        ("majority", 1),
    ],
)
def test_the_least_size_works_and_what_is_smaller_is_refused(name, least):
    with torch.device("meta"):
        assert build(name, size=least).eval()(torch.zeros(2, 1, least, least)).shape == (2, 7)
    with pytest.raises(ConfigError, match=f"images of {least} or more, not {least - 1}"):
        build(name, size=least - 1)


@pytest.mark.parametrize(
    ("name", "given", "kind", "says"),
    [
        ("basline", {}, UnknownNameError, "Did you mean 'baseline'"),
        ("nothing", {}, UnknownNameError, "torchvision:NAME, timm:NAME"),
        ("baseline", {"options": {"depth": 3}}, ConfigError, "cannot be built with {'depth': 3}"),
        ("baseline", {"options": {"dropout": 7.0}}, ConfigError, "cannot be built"),
        ("baseline", {"options": {"width": "wide"}}, ConfigError, "cannot be built"),
        ("se", {"options": {"first": "bn"}}, ConfigError, "one of norm, se, norm\\+se"),
        ("gimefive6", {"options": {"blocks": 0}}, ConfigError, "1 to 8 blocks"),
        ("se_residual", {"options": {"blocks": 9}}, ConfigError, "1 to 8 residual blocks"),
        ("resnet18", {"options": {"stem": "large"}}, ConfigError, "stems small and lmu"),
        ("resnet18", {"options": {"blocks": [1, 1]}}, ConfigError, "4 stages of 1 to 99 blocks"),
        ("resnet18", {"options": {"blocks": [1, 1, 1, 10**9]}}, ConfigError, "4 stages of 1 to 99 blocks"),
        ("majority", {"size": 0}, ConfigError, "images of 1 or more"),
    ],
)
def test_what_cannot_be_built_is_said(name, given, kind, says):
    with pytest.raises(kind, match=says):
        build(name, **given)
