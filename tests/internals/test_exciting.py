"""Exciting samples: against a sort of everything at once, and with ties, batches and few samples."""

import math

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, UnknownNameError
from inspect_fer.internals import activation_maps, exciting_samples
from inspect_fer.internals.exciting import strength


def by_hand(maps, channel, count, measure):
    """(value, row, (row of the cell, column of the cell)) of the best samples of one channel, by loops."""
    found = []
    for row, sample in enumerate(maps.double()):
        cells = {(y, x): float(value) for y, line in enumerate(sample[channel]) for x, value in enumerate(line)}
        place = max(cells, key=cells.get)
        value = cells[place] if measure == "max" else math.fsum(cells.values()) / len(cells)
        found.append((value, row, place))
    return sorted(found, key=lambda one: (-one[0], one[1]))[:count]


@pytest.mark.parametrize("measure", ["max", "mean"])
@pytest.mark.parametrize("batch_size", [3, 100])
def test_equals_a_sort_of_everything(mlp_model, generator, measure, batch_size):
    images = torch.randn(11, 1, 12, 12, generator=generator)
    maps = activation_maps(mlp_model, images, "blocks.0.bn")
    ticks = []
    found = exciting_samples(
        mlp_model, images, "blocks.0.bn", 4, measure=measure, batch_size=batch_size, tick=lambda *n: ticks.append(n)
    )
    assert (found.size, found.layer, ticks[-1]) == ((12, 12), "blocks.0.bn", (11, 11))
    for channel in range(4):
        expected = by_hand(maps, channel, 4, measure)
        assert_close(found.values[channel], torch.tensor([value for value, _, _ in expected]), rtol=1e-4, atol=1e-5)
        assert found.rows[channel].tolist() == [row for _, row, _ in expected]
        assert list(map(tuple, found.places[channel].tolist())) == [place for _, _, place in expected]


def test_the_one_sample_that_is_bright_is_found_where_it_is(tiny_model):
    """A first layer that hands on the image: the activation is the pixel."""
    conv = tiny_model.network.features.conv
    torch.nn.init.dirac_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    images = torch.zeros(9, 1, 12, 12)
    images[7, 0, 3, 10] = 2.0
    found = exciting_samples(tiny_model, images, "features.conv", 2, batch_size=4)
    assert (found.rows[0, 0], found.places[0, 0].tolist(), found.values[0].tolist()) == (7, [3, 10], [2.0, 0.0])


def test_equal_samples_keep_their_order(tiny_model):
    torch.nn.init.zeros_(tiny_model.network.features.conv.weight)
    found = exciting_samples(tiny_model, torch.zeros(9, 1, 12, 12), "features.conv", 5, batch_size=2)
    assert found.rows.tolist() == [[0, 1, 2, 3, 4]] * 6


def test_features_have_no_places_and_few_samples_give_few(mlp_model, images):
    found = exciting_samples(mlp_model, images, "logits", 9)
    logits = mlp_model.network(images).detach()
    assert_close(found.values, logits.sort(dim=0, descending=True).values.T, rtol=1e-4, atol=1e-5)
    assert (found.size, found.rows.shape) == ((1, 1), (5, 4))
    assert not found.places.any()


def test_what_is_not_a_number_counts_least():
    maps = torch.tensor([[[[1.0, torch.nan]]], [[[torch.nan, torch.nan]]], [[[0.5, 2.0]]]])
    assert strength(maps, "max")[0][:, 0].tolist() == [1.0, -torch.inf, 2.0]
    assert strength(maps, "max")[1][:, 0].tolist() == [0, 0, 1]
    assert strength(maps, "mean")[0][:, 0].tolist() == [-torch.inf, -torch.inf, 1.25]


def test_mistakes_are_errors(mlp_model, images):
    with pytest.raises(ConfigError, match="not 0"):
        exciting_samples(mlp_model, images, "hidden", 0)
    with pytest.raises(UnknownNameError, match="Choose from: max, mean"):
        exciting_samples(mlp_model, images, "hidden", measure="most")
    with pytest.raises(UnknownNameError, match="hidden"):
        exciting_samples(mlp_model, images, "hiden")
