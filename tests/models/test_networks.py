import pytest
import torch

from inspect_fer.capture import find_cam_layer, find_layer
from inspect_fer.errors import ConfigError, UnknownNameError
from inspect_fer.models import ARCHITECTURES, build


def parameters(network):
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(
    ("name", "given", "count"),
    [
        ("baseline", {"channels": 3, "classes": 6, "size": 64}, 2_606_086),  # source 003
        ("resnet18", {"channels": 1, "classes": 7, "size": 48}, 11_171_271),  # source 000
        ("resnet18", {"channels": 1, "classes": 8, "size": 48}, 11_171_784),
    ],
)
def test_parameters_equal_the_sources_to_the_digit(name, given, count):
    with torch.device("meta"):
        assert parameters(build(name, **given)) == count


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 7, 48), (3, 6, 64), (1, 8, 40)])
def test_every_network_takes_channels_classes_and_size(name, channels, classes, size):
    network = ARCHITECTURES[name](channels=channels, classes=classes, size=size).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, size, size)).shape == (2, classes)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_layer_named_for_cam_is_the_one_that_would_be_found(name):
    network = ARCHITECTURES[name](channels=1, classes=7, size=48).eval()
    layer = ARCHITECTURES[name].cam_layer
    assert find_layer(network, layer) is not None
    assert find_cam_layer(network, torch.zeros(1, 1, 48, 48)) == layer


def test_the_stem_of_resnet18_is_the_sources():
    network = build("resnet18")
    assert (network.conv1.kernel_size, network.conv1.stride, network.conv1.bias) == ((3, 3), (1, 1), None)
    assert network.layer4(network.layer3(network.layer2(network.layer1(torch.zeros(1, 64, 24, 24))))).shape[2:] == (
        3,
        3,
    )


def test_width_narrows_the_baseline():
    assert parameters(build("baseline", options={"width": 8})) < 50_000


@pytest.mark.parametrize(
    ("name", "given", "kind", "says"),
    [
        ("basline", {}, UnknownNameError, "Did you mean 'baseline'"),
        ("baseline", {"size": 8}, ConfigError, "images of 16 or more, not 8"),
        ("resnet18", {"size": 8}, ConfigError, "images of 16 or more, not 8"),
        ("baseline", {"options": {"depth": 3}}, ConfigError, "cannot be built with {'depth': 3}"),
        ("baseline", {"options": {"dropout": 7.0}}, ConfigError, "cannot be built"),
        ("baseline", {"options": {"width": "wide"}}, ConfigError, "cannot be built"),
    ],
)
def test_what_cannot_be_built_is_said(name, given, kind, says):
    with pytest.raises(kind, match=says):
        build(name, **given)
