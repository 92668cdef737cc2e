import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18, vgg11

from inspect_fer.errors import ConfigError, NetworkError, UnknownNameError
from inspect_fer.models.wrap import wrap

THREE = {"class_names": ("a", "b", "c"), "input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.2,) * 3}


@pytest.mark.parametrize(("make", "layer"), [(resnet18, "layer4"), (mobilenet_v2, "features"), (vgg11, "features.19")])
def test_the_layer_before_pooling_is_found_in_torchvisions_networks(make, layer):
    model = wrap(make(num_classes=3), **THREE)
    assert model.card.cam_layer == layer
    assert model.card.architecture == make(num_classes=3).__class__.__name__


def test_a_given_layer_is_kept_and_nothing_is_changed():
    network = resnet18(num_classes=3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert wrap(network, **THREE, cam_layer="layer2").card.cam_layer == "layer2"
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_list_serves_as_size_and_a_layer_must_be_there():
    model = wrap(resnet18(num_classes=3), **(THREE | {"input_size": [3, 64, 64]}))
    assert model.normalise(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 3, 64, 64)
    with pytest.raises(UnknownNameError, match="layer5"):
        wrap(resnet18(num_classes=3), **THREE, cam_layer="layer5")


def test_a_network_without_maps_has_no_layer():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 3))
    assert wrap(network, **THREE).card.cam_layer == ""


class Broken(nn.Module):
    def forward(self, images):
        raise ValueError("no idea")


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (resnet18(num_classes=5), r"returns \(2, 5\) for 2 images; 3 class names"),
        (Broken(), "Broken fails on images of .*: no idea"),
        (nn.Conv2d(1, 3, 3), "Conv2d fails on images"),
        (nn.LSTM(64, 3), "LSTM fails|LSTM returns"),
    ],
)
def test_networks_that_do_not_classify_are_refused(network, says):
    with pytest.raises(NetworkError, match=says):
        wrap(network, **THREE)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("inside", [False, True], ids=["whole", "a part of it"])
def test_a_network_whose_layers_cannot_be_watched_has_none(inside):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    scripted = torch.jit.script(network.eval())
    model = wrap(nn.Sequential(scripted) if inside else scripted, **THREE)
    assert model.card.cam_layer == ""
    images = torch.ones(2, 3, 64, 64)
    torch.testing.assert_close(model.network(images), network(images))


@pytest.mark.parametrize("network", [lambda images: images, nn.Linear, None], ids=["function", "class", "nothing"])
def test_what_is_no_module_is_refused(network):
    with pytest.raises(NetworkError, match=r"A network is a torch.nn.Module, not a (function|Linear|NoneType); "):
        wrap(network, **THREE)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"input_size": (32, 32)}, r"\(channels, height, width\), such as \(3, 224, 224\), not \(32, 32\)"),
        ({"input_size": 32}, r"such as \(3, 224, 224\), not 32"),
        ({"class_names": None}, "class_names is a list of words, one a class, not None"),
        ({"class_names": "abc"}, "class_names is a list of words, one a class, not 'abc'"),
        ({"mean": 0.5}, "mean is a list of numbers, one a channel, not 0.5"),
        ({"std": None}, "std is a list of numbers, one a channel, not None"),
    ],
)
def test_what_does_not_describe_the_network_is_told(wrong, says):
    with pytest.raises(ConfigError, match=says):
        wrap(resnet18(num_classes=3), **(THREE | wrong))
    with pytest.raises(UnknownNameError, match="No layer is called 3"):
        wrap(resnet18(num_classes=3), **THREE, cam_layer=3)


class Patches(nn.Module):
    """What a vision transformer begins with."""

    def __init__(self):
        super().__init__()
        self.conv_proj, self.head = nn.Conv2d(3, 8, 8, stride=8), nn.Linear(8, 3)

    def forward(self, images):
        return self.head(self.conv_proj(images).flatten(2).mT.mean(dim=1))


def test_a_layer_that_knows_patches_alone_is_told():
    with pytest.warns(UserWarning, match="'conv_proj', which cuts the image into patches .* use occlusion"):
        assert wrap(Patches(), **THREE).card.cam_layer == "conv_proj"
    assert wrap(Patches(), **THREE, cam_layer="conv_proj").card.cam_layer == "conv_proj"
