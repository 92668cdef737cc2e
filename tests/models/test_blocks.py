import pytest
import torch
from torch import nn

from inspect_fer.models.blocks import ResidualBlock, SqueezeExcitation, dense_head, in_turn, take_channels


def excitation_by_hand(features, down, up):
    """Eq. 2 to 4 of arXiv:1709.01507 without biases, term by term, for one image."""
    channels, h, w = features.shape
    squeezed = [sum(features[c, y, x] for y in range(h) for x in range(w)) / (h * w) for c in range(channels)]
    hidden = [max(sum(row[c] * squeezed[c] for c in range(channels)), torch.zeros(())) for row in down]
    scales = [1 / (1 + torch.exp(-sum(row[k] * hidden[k] for k in range(len(hidden))))) for row in up]
    return torch.stack([scales[c] * features[c] for c in range(channels)])


def test_squeeze_and_excitation_term_by_term(generator):
    block = SqueezeExcitation(6, reduction=2)
    features = torch.randn(2, 6, 3, 4, generator=generator)
    with torch.no_grad():
        block.squeeze.weight.abs_()  # some of the bottleneck is active
        features[0] = features[0].abs()
        for image, answer in zip(features, block(features), strict=True):
            torch.testing.assert_close(answer, excitation_by_hand(image, block.squeeze.weight, block.excite.weight))


def test_the_bottleneck_has_a_sixteenth_of_the_channels_and_no_bias():
    block = SqueezeExcitation(64)
    assert [tuple(weights.shape) for weights in block.parameters()] == [(4, 64), (64, 4)]
    assert SqueezeExcitation(8)(torch.ones(1, 8, 2, 2)).shape == (1, 8, 2, 2)


@pytest.mark.parametrize(("inputs", "stride", "straight"), [(4, 1, True), (4, 2, False), (3, 1, False)])
def test_a_residual_block_adds_its_input(inputs, stride, straight, generator):
    block = ResidualBlock(inputs, 4, stride=stride).eval()
    features = torch.randn(1, inputs, 5, 5, generator=generator)
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    expected = torch.relu(features if straight else block.shortcut(features))
    torch.testing.assert_close(block(features), expected)
    assert isinstance(block.shortcut, nn.Identity) == straight
    if not straight:
        assert (block.shortcut.conv.kernel_size, block.shortcut.conv.stride) == ((1, 1), (stride, stride))
    assert None not in (block.conv1.bias, block.conv2.bias)


def test_a_residual_block_without_batch_norm():
    kinds = {type(module) for module in ResidualBlock(2, 3, norm=False).modules()}
    assert nn.BatchNorm2d not in kinds


def test_a_dense_head_drops_behind_the_first_layers():
    kinds = [type(layer).__name__ for layer in dense_head(8, 6, 4, 2, dropout=[0.5])]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in dense_head(8, 2)] == ["Linear"]


def test_layers_in_turn_keep_their_names():
    assert [name for name, _ in in_turn(a=nn.ReLU(), b=None, c=nn.ReLU()).named_children()] == ["a", "c"]


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_first_convolution_alone_takes_other_channels(channels):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1))
    drawn, second = network[0].weight.detach().clone(), network[1].weight
    take_channels(network, channels)
    assert network(torch.zeros(1, channels, 8, 8)).shape == (1, 2, 6, 6)
    assert torch.equal(network[0].weight[:, :1], drawn[:, :1])
    assert network[1].weight is second
    assert isinstance(network[0].weight, nn.Parameter)
