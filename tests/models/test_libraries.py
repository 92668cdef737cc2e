import sys

import pytest
import torch
import torchvision

from inspect_fer.errors import CheckpointError, ConfigError, UnknownNameError
from inspect_fer.explain import METHODS, explain
from inspect_fer.models import build, cam_layer_of
from inspect_fer.models.checkpoint import load, network_around, save
from inspect_fer.schema import Classifier, ModelCard


def card(name, *, channels=1, size=48, classes=5, **entries):
    return ModelCard(
        name, tuple("abcdefgh"[:classes]), (channels, size, size), (0.5,) * channels, (0.2,) * channels, **entries
    )


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("torchvision:resnet18", 48, "layer4"),
        ("torchvision:googlenet", 48, "inception5b"),
        ("torchvision:inception_v3", 128, "Mixed_7c"),
        ("torchvision:squeezenet1_1", 48, "classifier.2"),
        ("torchvision:vgg11_bn", 48, "features.27"),
        ("torchvision:shufflenet_v2_x0_5", 48, "conv5"),
        ("torchvision:densenet121", 64, "features"),
        ("torchvision:regnet_y_400mf", 48, "trunk_output"),  # cannot be built without memory
        ("torchvision:swin_t", 64, "permute"),
        ("torchvision:vit_b_16", 64, ""),
        ("torchvision:vit_b_32", 64, ""),
        ("timm:test_resnet", 48, "layer4"),
        ("timm:test_vit", 48, ""),
        ("timm:swin_tiny_patch4_window7_224", 64, ""),  # channels stand last
    ],
)
def test_any_classifier_of_either_library_is_outlined(name, size, layer):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    with torch.device("meta"):
        network = build(name, channels=1, classes=8, size=size).eval()
    device = next(network.parameters()).device
    assert network(torch.zeros(2, 1, size, size, device=device)).shape == (2, 8)
    state = torch.random.get_rng_state()
    assert cam_layer_of(name, channels=3, classes=6, size=size) == layer
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["torchvision:shufflenet_v2_x0_5", "timm:test_resnet", "timm:test_vit"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_either_library_learns(name, channels):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    network = build(name, channels=channels, classes=4, size=32).train()
    images, labels = torch.randn(4, channels, 32, 32), torch.arange(4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        losses.append(torch.nn.functional.cross_entropy(network(images), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all(weights.grad is not None for weights in network.parameters())


def test_the_first_convolution_keeps_the_librarys_draw():
    """A grey network starts as wide as a coloured one, which a convolution of torch's own would not."""
    torch.manual_seed(3)
    grey = build("torchvision:resnet18", channels=1, size=48)
    torch.manual_seed(3)
    coloured = torchvision.models.resnet18(num_classes=7)
    assert torch.equal(grey.conv1.weight, coloured.conv1.weight[:, :1])
    assert torch.equal(grey.layer4[1].conv2.weight, coloured.layer4[1].conv2.weight)


def test_options_reach_the_librarys_function():
    with torch.device("meta"):
        assert build("torchvision:mobilenet_v2", options={"width_mult": 0.5}).features[0][0].out_channels == 16
        pytest.importorskip("timm")
        assert build("timm:test_vit", size=64, options={"depth": 3}).blocks[2] is not None


@pytest.mark.parametrize(
    ("name", "given", "kind", "says"),
    [
        ("torchvision:resnet81", {}, UnknownNameError, "Did you mean 'resnet18'"),
        ("timm:test_vitt", {}, UnknownNameError, "Did you mean 'test_vit'"),
        ("timm:hf-hub:somebody/network", {}, UnknownNameError, "No timm network is called"),
        ("torchvision:alexnet", {"size": 48}, ConfigError, "images of 48; images of 64 are possible"),
        ("torchvision:vit_b_32", {"size": 40}, ConfigError, "images of 64 are possible: .*indivisible"),
        ("torchvision:resnet18", {"options": {"depth": 3}}, ConfigError, "unexpected keyword argument 'depth'"),
        ("torchvision:resnet18", {"options": {"weights": "DEFAULT"}}, ConfigError, "fresh weights; 'weights'"),
        ("timm:test_vit", {"options": {"pretrained": True}}, ConfigError, "fresh weights; 'pretrained'"),
        ("timm:test_vit", {"options": {"checkpoint_path": "a.pth"}}, ConfigError, "fresh weights; 'checkpoint_path'"),
        ("timm:test_vit", {"options": {"num_classes": 2}}, ConfigError, "multiple values .* 'num_classes'"),
        ("torchvision:resnet18", {"options": {"num_classes": 2}}, ConfigError, "multiple values .* 'num_classes'"),
        ("timm:test_vit", {"options": {"breadth": 2}}, ConfigError, "unexpected keyword argument 'breadth'"),
    ],
)
def test_what_cannot_be_built_is_said(name, given, kind, says):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    with pytest.raises(kind, match=says) as caught:
        build(name, **given)
    assert "\n" not in str(caught.value)


def test_a_name_nobody_knows_lists_a_few():
    with pytest.raises(UnknownNameError) as caught:
        build("torchvision:zzz")
    assert len(str(caught.value)) < 400


def test_without_timm_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'inspect-fer\[timm\]'"):
        build("timm:test_vit")


@pytest.mark.parametrize("name", ["torchvision:shufflenet_v2_x0_5", "timm:swin_tiny_patch4_window7_224"])
def test_a_network_of_either_library_is_saved_and_loaded(name, tmp_path):
    """timm's Swin holds indices that no state dict has: they come back as well."""
    options = {}
    if name.startswith("timm:"):
        pytest.importorskip("timm")
        options = {"embed_dim": 12, "depths": [2, 1], "num_heads": [1, 2]}
    torch.manual_seed(5)
    network = build(name, classes=5, size=56, options=options).eval()
    save(Classifier(network, card(name, size=56, options=options)), tmp_path / "net.safetensors")
    state = torch.random.get_rng_state()
    again = load(tmp_path / "net.safetensors")
    assert torch.equal(torch.random.get_rng_state(), state)
    images = torch.randn(2, 1, 56, 56)
    with torch.no_grad():
        assert torch.equal(again.network(images), network(images))


def test_weights_that_do_not_fit_are_refused_before_the_network_takes_memory():
    name, weights = "torchvision:resnet18", {"conv1.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="The state dict does not fit .* it lacks"):
        network_around(card(name), weights)
    with pytest.raises(CheckpointError, match="lacks"):
        network_around(card("torchvision:vgg11", options={"init_weights": True}), weights)


def test_a_vision_transformer_is_explained_by_occlusion():
    name = "torchvision:swin_t"  # the smallest
    network = build(name, classes=5, size=32).eval()
    torch.nn.init.normal_(network.head.weight)
    model = Classifier(network, card(name, size=32, cam_layer=cam_layer_of(name, classes=5, size=32)))
    image = torch.randn(1, 1, 32, 32)
    found = explain(model, image, METHODS["occlusion"](window=16, stride=16), targets=2).maps
    with torch.no_grad():
        whole = network(image)[0, 2]
        for row, column in ((0, 0), (1, 0), (1, 1)):
            hidden = image.clone()
            hidden[..., 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 0
            torch.testing.assert_close(found[0, 0, row, column], whole - network(hidden)[0, 2], rtol=1e-3, atol=1e-4)
