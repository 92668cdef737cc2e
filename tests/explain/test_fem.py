"""FEM against its definition. pytorch-grad-cam's weighs the features by the share of strong places: another method."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import FEM, explain
from inspect_fer.explain.fem import fem


def fem_by_hand(features, deviations):
    """doi:10.1109/IPTA50016.2020.9286629: B_k = [A_k >= mean_k + K std_k], sum_k mean_k B_k, for one image."""
    channels, h, w = features.shape
    result = torch.zeros(h, w, dtype=features.dtype)
    for k in range(channels):
        values = [float(features[k, y, x]) for y, x in product(range(h), range(w))]
        mean = sum(values) / len(values)
        spread = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
        for y, x in product(range(h), range(w)):
            if max(values) > min(values) and features[k, y, x] >= mean + deviations * spread:
                result[y, x] += mean
    return result


@pytest.mark.parametrize("deviations", [0, 0.5, 1, 2])
def test_matches_the_paper_term_by_term(features, deviations):
    maps = fem(features + 0.3, deviations)
    for image in range(2):
        assert_close(maps[image], fem_by_hand(features[image] + 0.3, deviations))


def test_the_threshold_itself_is_strong():
    features = torch.tensor([[[[1.0, 3.0]]]])  # mean 2, deviation 1
    assert fem(features, 1).tolist() == [[[0, 2]]]
    assert fem(features, 1.001).tolist() == [[[0, 0]]]


def test_a_constant_channel_adds_nothing():
    assert not fem(torch.full((1, 1, 2, 2), 5.0), 0).any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_of_what_is_not_finite_nothing_is_known(features, value):
    features[1, 0, 2, 2] = value
    maps = fem(features, 1)
    assert maps[1].isnan().all()
    assert maps[0].isfinite().all()


def test_a_map_of_two_by_two_is_too_small_for_two_deviations(generator):
    """Of n values none lies more than sqrt(n - 1) deviations above the mean (Samuelson's inequality)."""
    assert not fem(torch.rand(8, 16, 2, 2, generator=generator), 2).any()
    assert fem(torch.eye(6).view(1, 1, 6, 6), 2).any()


def test_is_the_same_for_every_class(model, images):
    found = explain(model, images, "fem", targets="all")
    assert found.class_free
    assert_close(found.maps, found.maps[:, :1].expand_as(found.maps))


@pytest.mark.parametrize("deviations", [-1.0, float("nan"), "a", True])
def test_options_that_make_no_sense(deviations):
    with pytest.raises(ConfigError, match="deviations from 0"):
        FEM(deviations)
