"""Filter kernels and activation maps."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import NetworkError, UnknownNameError
from inspect_fer.internals import activation_maps, convolutions, filters


def test_filters_are_copies_of_the_kernels(mlp_model):
    kernels = filters(mlp_model.network, "blocks.1.conv")
    assert_close(kernels, mlp_model.network.blocks[1].conv.weight.detach())
    kernels.zero_()
    assert mlp_model.network.blocks[1].conv.weight.any()
    assert filters(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), "0").shape == (6, 2, 3, 3)


def test_convolutions_are_listed(mlp_model, tiny_model):
    assert convolutions(mlp_model.network) == ["blocks.0.conv", "blocks.1.conv"]
    assert convolutions(tiny_model.network) == ["features.conv", "features.block.conv1", "features.block.conv2"]


def test_a_layer_without_kernels_is_an_error(mlp_model):
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'blocks\.0\.conv'\? Choose from: blocks\.0\.conv, blocks"
    ):
        filters(mlp_model.network, "blocks.0.con")
    with pytest.raises(NetworkError, match=r"'hidden' is a Linear, no convolution\. Choose from: blocks\.0\.conv"):
        filters(mlp_model.network, "hidden")


def test_activation_maps_are_the_layers_output(mlp_model, images):
    mlp_model.network.train()
    maps = activation_maps(mlp_model, images, "blocks.0.bn", batch_size=3)
    assert mlp_model.network.blocks[0].bn.training
    first = mlp_model.network.eval().blocks[0]
    assert_close(maps, first.bn(first.conv(images)).detach())
    assert activation_maps(mlp_model, images, "hidden").shape == (4, 8)


def test_activation_maps_of_pixels_are_normalised(mlp_model):
    pixels = torch.full((1, 1, 12, 12), 255, dtype=torch.uint8)
    maps = activation_maps(mlp_model, pixels, "blocks.0.conv")
    assert_close(maps, mlp_model.network.blocks[0].conv(torch.full((1, 1, 12, 12), 2.0)).detach())


def test_other_shapes_are_an_error(mlp_model, images):
    mlp_model.network.hidden.add_module("inner", nn.Identity())
    with pytest.raises(UnknownNameError, match="hidden"):
        activation_maps(mlp_model, images, "hiden")
    with pytest.raises(NetworkError, match="did not run"):
        activation_maps(mlp_model, images, "hidden.inner")
    mlp_model.network.blocks.add_module("flat", nn.Flatten(2))
    with pytest.raises(NetworkError, match="gives 4 x 6 x 9, neither maps"):
        activation_maps(mlp_model, images, "blocks.flat")
