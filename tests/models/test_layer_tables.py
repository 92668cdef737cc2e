"""Each network against its table in the source: layers, their order, maps and rates."""

from itertools import chain

import pytest
import torch
from torch import nn

from inspect_fer.capture import layer_shapes
from inspect_fer.models import build


def table(name, **given):
    """The network without memory, its basic layers in the order in which they run, and every output's shape."""
    with torch.device("meta"):
        network = build(name, **given)
        size, channels = given.get("size", 48), given.get("channels", 1)
        shapes = layer_shapes(network, torch.zeros(1, channels, size, size))
    layers = dict(network.named_modules())
    basic = [key for key in shapes if not any(layers[key].children())]
    return network, [(type(layers[key]).__name__, *shapes[key][1:]) for key in basic], shapes


def head(network):
    """Outputs of the linear layers, and the rates of dropout, in order."""
    return [
        module.out_features if isinstance(module, nn.Linear) else module.p
        for module in network.modules()
        if isinstance(module, nn.Linear | nn.Dropout)
    ]


def test_lenet():
    network, rows, _ = table("lenet")
    assert rows == [
        ("Conv2d", 6, 44, 44),
        ("ReLU", 6, 44, 44),
        ("MaxPool2d", 6, 22, 22),
        ("Conv2d", 16, 18, 18),
        ("ReLU", 16, 18, 18),
        ("MaxPool2d", 16, 9, 9),
        ("Linear", 120),
        ("ReLU", 120),
        ("Linear", 84),
        ("ReLU", 84),
        ("Linear", 7),
    ]
    assert network.classifier[0].in_features == 1296


def test_keras_cnn4():
    network, rows, _ = table("keras_cnn4")
    assert rows == [
        ("Conv2d", 32, 46, 46),
        ("ReLU", 32, 46, 46),
        ("Conv2d", 64, 44, 44),
        ("ReLU", 64, 44, 44),
        ("MaxPool2d", 64, 22, 22),
        ("Dropout", 64, 22, 22),
        ("Conv2d", 128, 20, 20),
        ("ReLU", 128, 20, 20),
        ("MaxPool2d", 128, 10, 10),
        ("Conv2d", 128, 8, 8),
        ("ReLU", 128, 8, 8),
        ("MaxPool2d", 128, 4, 4),
        ("Dropout", 128, 4, 4),
        ("Linear", 1024),
        ("ReLU", 1024),
        ("Dropout", 1024),
        ("Linear", 7),
    ]
    assert head(network) == [0.25, 0.25, 1024, 0.5, 7]
    assert network.classifier[0].in_features == 2048


def test_the_stems_of_the_resnets():
    network, _, shapes = table("resnet18")
    assert (network.conv1.kernel_size, network.conv1.stride, network.conv1.bias) == ((3, 3), (1, 1), None)
    assert (shapes["conv1"], shapes["maxpool"]) == ((1, 64, 48, 48), (1, 64, 24, 24))
    assert [shapes[f"layer{stage}"][1:] for stage in (1, 2, 3, 4)] == [
        (64, 24, 24),
        (128, 12, 12),
        (256, 6, 6),
        (512, 3, 3),
    ]
    network, rows, shapes = table("resnet34_lmu", channels=3, classes=6, size=64)
    assert (network.conv1.kernel_size, network.conv1.stride, network.conv1.bias) == ((7, 7), (2, 2), None)
    assert [shapes[f"layer{stage}"][2] for stage in (1, 2, 3, 4)] == [32, 16, 8, 4]
    assert "MaxPool2d" not in {kind for kind, *_ in rows}
    assert [len(network.get_submodule(f"layer{stage}")) for stage in (1, 2, 3, 4)] == [3, 4, 6, 3]


def test_mobilenet():
    network, _, shapes = table("mobilenet_v2")
    assert (network.features[0][0].in_channels, network.features[0][0].stride) == (1, (2, 2))
    assert shapes["features"] == (1, 1280, 2, 2)
    assert head(network) == [0.2, 7]


def stage(norm, convs, channels, side, *, dropout):
    rows = [
        (kind, channels, side, side)
        for _ in range(convs)
        for kind in ("Conv2d", "BatchNorm2d", "ReLU")
        if norm or kind != "BatchNorm2d"
    ]
    pooled = (channels, side // 2, side // 2)
    return [*rows, ("MaxPool2d", *pooled), *([("Dropout", *pooled)] if dropout else [])]


def test_vgg_of_khaireddin_and_chen():
    network, rows, _ = table("vgg", size=40)
    expected = [stage(True, 2, 64 * 2**place, 40 // 2**place, dropout=False) for place in range(4)]
    assert rows[:28] == list(chain(*expected))
    assert head(network) == [4096, 0.2, 4096, 0.2, 7]
    assert network.classifier[0].in_features == 2048


def test_vgg13_of_ferplus():
    network, rows, _ = table("vgg13", classes=8, size=64)
    plan = [(2, 64, 64), (2, 128, 32), (3, 256, 16), (3, 256, 8)]
    expected = [stage(False, convs, channels, side, dropout=True) for convs, channels, side in plan]
    assert rows[:28] == list(chain(*expected))
    assert head(network) == [0.25] * 4 + [1024, 0.5, 1024, 0.5, 8]


def test_vgg_of_the_lmu():
    network, rows, _ = table("vgg_lmu", channels=3, classes=6, size=64)
    assert [row[0] for row in rows[:7]] == ["Conv2d", "ReLU", "Dropout", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 3
    assert [row[1:] for row in rows if row[0] == "MaxPool2d"] == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]
    assert head(network) == [0.2, 0.2, 0.2, 4096, 0.5, 1024, 0.5, 6]
    assert network.classifier[0].in_features == 16_384


def test_the_shared_batch_norm_runs_behind_both_convolutions():
    stage = build("vgg_lmu", options={"width": 2, "dense": 8}).stages[0].eval()
    nn.init.constant_(stage.norm.weight, 3.0)
    nn.init.constant_(stage.norm.running_mean, 0.1)
    image = torch.randn(1, 1, 8, 8)
    scale = 3.0 / (1 + stage.norm.eps) ** 0.5
    first = torch.relu((stage.conv1(image) - 0.1) * scale)
    second = torch.relu((stage.conv2(first) - 0.1) * scale)
    torch.testing.assert_close(stage(image), torch.max_pool2d(second, 2))


@pytest.mark.parametrize(
    ("name", "first", "rates"),
    [
        ("gimefive", ["conv", "norm", "relu", "pool", "dropout"], [0.2] * 4 + [0.5]),
        ("gimefive_se", ["conv", "norm", "se", "relu", "pool"], [0.5]),
        ("se", ["conv", "se", "relu", "pool"], [0.5]),
        ("gimefive6", ["conv", "norm", "relu", "pool"], [0.5]),
        ("baseline", ["conv", "norm", "relu", "pool", "dropout"], [0.2] * 4 + [0.5]),
    ],
)
def test_the_blocks_of_gimefive(name, first, rates):
    network, _, shapes = table(name, channels=3, classes=6, size=64)
    assert [key for key, _ in network.blocks[0].named_children()] == first
    for place, block in enumerate(network.blocks):
        assert shapes[f"blocks.{place}.relu"] == (1, 64 * 2**place, 64 // 2**place, 64 // 2**place)
        assert place == 0 or [key for key, _ in block.named_children()][:4] == ["conv", "norm", "relu", "pool"]
    last = 64 * 2 ** (len(network.blocks) - 1)
    assert [entry for entry in head(network) if entry in {0.2, 0.5}] == rates
    dense = [module.out_features for module in network.classifier if isinstance(module, nn.Linear)]
    assert dense == [2 * last, last, 6]


def test_six_blocks_leave_a_map_at_48_pixels():
    _, _, shapes = table("gimefive6")
    assert [shapes[f"blocks.{place}.relu"][2] for place in range(6)] == [48, 24, 12, 6, 3, 2]


@pytest.mark.parametrize(("name", "blocks"), [("se_residual", 4), ("gimefive_res", 5)])
def test_the_residual_blocks_of_source_003(name, blocks):
    network, _, shapes = table(name, channels=3, classes=6, size=64)
    assert [type(layer).__name__ for layer in network.stem] == ["Conv2d", "BatchNorm2d", "ReLU", "SqueezeExcitation"]
    assert shapes["stem"] == (1, 64, 64, 64)
    for place in range(blocks):
        assert shapes[f"blocks.{place}"] == (1, 128 * 2**place, 32 // 2**place, 32 // 2**place)
        assert shapes[f"blocks.{place}.shortcut"] == shapes[f"blocks.{place}"]
    assert head(network.classifier) == [128 * 2**blocks, 0.5, 64 * 2**blocks, 6]


def test_lenet5_bn():
    network, rows, _ = table("lenet5_bn")
    assert [row[0] for row in rows[:12]] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 3
    assert (network.classifier[0].in_features, head(network)) == (4608, [256, 0.5, 128, 0.5, 7])


def test_the_networks_of_source_004():
    _, rows, _ = table("small")
    assert rows[5:] == [("MaxPool2d", 16, 12, 12), ("Linear", 64), ("ReLU", 64), ("Linear", 7)]
    _, rows, shapes = table("residual")
    assert [shapes[key] for key in ("first", "block1", "between", "block2")] == [
        (1, 4, 48, 48),
        (1, 4, 48, 48),
        (1, 8, 48, 48),
        (1, 8, 24, 24),
    ]
    assert "BatchNorm2d" not in {kind for kind, *_ in rows}
    network, _, shapes = table("unet")
    assert shapes["innermost"] == (1, 16, 12, 12)  # as many numbers as the image
    assert (shapes["inner_up.conv"], network.inner_up.conv.in_channels) == ((1, 16, 24, 24), 32)
    assert (shapes["outer_up.conv"], network.outer_up.conv.in_channels) == ((1, 8, 48, 48), 24)


def test_the_unet_puts_early_maps_beside_deep_ones():
    """With the deep half of its weights at zero, the last convolution sees the outer level as it is."""
    network = build("unet")
    with torch.no_grad():
        network.outer_up.conv.weight[:, 8:] = 0
    image = torch.randn(1, 1, 48, 48)
    expected = network.outer_up.relu(
        torch.conv2d(
            network.outer_down(image), network.outer_up.conv.weight[:, :8], network.outer_up.conv.bias, padding=1
        )
    )
    pooled = torch.max_pool2d(expected, 2).flatten(1)
    torch.testing.assert_close(network(image), network.classifier(pooled))
