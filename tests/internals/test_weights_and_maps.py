"""Filter kernels, matrices and activation maps."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import NetworkError, UnknownNameError
from inspect_fer.internals import LOGITS, activation_maps, convolutions, dense_weights, filters, linears


def test_filters_are_copies_of_the_kernels(mlp_model):
    kernels = filters(mlp_model.network, "blocks.1.conv")
    assert_close(kernels, mlp_model.network.blocks[1].conv.weight.detach())
    kernels.zero_()
    assert mlp_model.network.blocks[1].conv.weight.any()
    assert filters(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), "0").shape == (6, 2, 3, 3)


def test_models_do_as_well_as_networks(mlp_model):
    network = mlp_model.network
    assert_close(filters(mlp_model, "blocks.1.conv"), filters(network, "blocks.1.conv"))
    assert_close(dense_weights(mlp_model, "hidden"), dense_weights(network, "hidden"))
    assert (convolutions(mlp_model), linears(mlp_model)) == (convolutions(network), linears(network))


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
    with pytest.raises(NetworkError, match="gives 4 x 6 x 9: neither maps"):
        activation_maps(mlp_model, images, "blocks.flat")


def test_dense_weights_are_copies_of_the_matrix(mlp_model):
    network = mlp_model.network
    assert linears(network) == ["hidden", "classifier"]
    weights = dense_weights(network, "hidden")
    assert_close(weights, network.hidden.weight.detach())
    weights.zero_()
    assert network.hidden.weight.any()


def test_a_layer_without_a_matrix_is_an_error(mlp_model):
    with pytest.raises(UnknownNameError, match=r"No linear layer is called 'hiden'\. Did you mean 'hidden'\?"):
        dense_weights(mlp_model.network, "hiden")
    with pytest.raises(NetworkError, match=r"is a Conv2d, no linear layer\. Choose from: hidden, classifier"):
        dense_weights(mlp_model.network, "blocks.0.conv")


def test_the_logits_can_be_looked_at(mlp_model, images):
    """By the name of the last layer, or as "logits" whatever the last layer is called."""
    expected = mlp_model.network(images).detach()
    assert_close(activation_maps(mlp_model, images, LOGITS, batch_size=3), expected)
    assert_close(activation_maps(mlp_model, images, "classifier"), expected)


def test_a_layer_called_logits_is_that_layer(mlp_model, images):
    network = mlp_model.network
    network.logits = network.hidden
    assert_close(activation_maps(mlp_model, images, LOGITS), activation_maps(mlp_model, images, "hidden"))
