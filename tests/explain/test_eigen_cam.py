"""Eigen-CAM and Eigen-Grad-CAM against numpy's singular vectors, and pytorch-grad-cam up to the sign it leaves open."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inspect_fer.explain import EigenCAM, EigenGradCAM, explain
from inspect_fer.explain.eigen_cam import first_eigenvector, principal_map, principal_maps


def eigen_cam_by_hand(values, *, centred=False):
    """O V_1 of arXiv:2008.00299 by numpy's full decomposition, one row of O a place, for one image."""
    channels, h, w = values.shape
    rows = np.array([[float(values[k, y, x]) for k in range(channels)] for y, x in product(range(h), range(w))])
    matrix = rows - rows.mean(axis=0) if centred else rows
    _, _, vectors = np.linalg.svd(matrix)
    found = matrix @ vectors[0]
    if (found * rows.sum(axis=1)).sum() < 0:  # the sign's own rule
        found = -found
    return torch.from_numpy(found).view(h, w)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5), (30, 4, 5), (20, 4, 5), (1, 2, 3), (4, 1, 1)])
def test_matches_the_singular_vector(generator, shape, centred):
    values = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    maps = principal_map(values, centred=centred)
    for image in range(2):
        assert_close(maps[image], eigen_cam_by_hand(values[image], centred=centred), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5), (30, 4, 5)])
def test_several_are_each_decomposed_by_itself(generator, shape, centred):
    several = torch.randn(3, 2, *shape, generator=generator, dtype=torch.float64)
    maps = principal_maps(iter(several), centred=centred)
    assert maps.shape == (2, 3, 4, 5)
    for image, which in product(range(2), range(3)):
        expected = eigen_cam_by_hand(several[which, image], centred=centred)
        assert_close(maps[image, which], expected, rtol=1e-6, atol=1e-8)


def test_maps_hold_the_largest_singular_value(features):
    """The length of O V_1 is the first singular value, which no other direction exceeds."""
    values = torch.linalg.svdvals(features.flatten(2))
    assert_close(principal_map(features).flatten(1).norm(dim=1), values[:, 0])


def test_sign_follows_the_sum_over_channels(features):
    for centred in (False, True):
        maps = principal_map(features, centred=centred)
        assert ((maps * features.sum(dim=1)).sum(dim=(1, 2)) > 0).all()
        assert_close(principal_map(-features, centred=centred), -maps)


def test_features_behind_a_relu_give_a_map_without_negatives(features):
    """Perron and Frobenius: the first singular vectors of a matrix without negative entries have none either."""
    assert principal_map(features.relu()).min() >= 0


def test_close_eigenvalues_are_told_apart():
    matrix = torch.diag(torch.tensor([1.0, 0.5, 1 - 1e-6], dtype=torch.float64))[None]
    assert_close(first_eigenvector(matrix).abs(), torch.tensor([[1.0, 0, 0]], dtype=torch.float64))


@pytest.mark.parametrize("second", [0.5, 1e-2, 4e-5, 1e-7, 0])
def test_eigenvectors_are_right_to_the_last_digits(generator, second):
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    matrix = turn @ torch.diag(torch.tensor([second / 2, 1.0, second], dtype=torch.float64)) @ turn.mT
    found = first_eigenvector(matrix[None])[0]
    assert_close(found.abs(), turn[:, 1].abs(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(40, 3, 3), (9, 12, 12), (300, 16, 16)])
@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
def test_float32_is_enough_whatever_the_size(generator, shape, scale, centred):
    values = torch.randn(2, *shape, generator=generator) + torch.randn(2, shape[0], 1, 1, generator=generator)
    expected = principal_map(values.double(), centred=centred)
    found = principal_map(values * scale, centred=centred) / scale
    assert found.dtype == torch.float32
    assert_close(found.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_nothing_gives_nothing_and_one_value_its_size():
    assert not principal_map(torch.zeros(2, 3, 4, 5)).any()
    assert not principal_map(torch.ones(2, 3, 4, 5), centred=True).any()
    assert not first_eigenvector(torch.zeros(1, 3, 3, dtype=torch.float64)).any()
    assert_close(principal_map(torch.full((1, 4, 1, 1), -1.5)), torch.full((1, 1, 1), -3.0))


def test_a_tie_and_tiny_or_huge_values_stay_finite():
    square = torch.eye(4).view(1, 4, 2, 2)
    for values in (square, square * 1e-20, square * 1e20):
        assert principal_map(values).isfinite().all()


def test_eigen_cam_is_the_same_for_every_class(model, images):
    found = explain(model, images, "eigen-cam", targets="all")
    assert found.class_free
    assert_close(found.maps, found.maps[:, :1].expand_as(found.maps))


def test_eigen_grad_cam_decomposes_gradient_times_feature(tiny_model, images):
    found = explain(tiny_model, images, "eigen-grad-cam", targets="all").maps
    features, weight = tiny_model.network.features(images).detach(), tiny_model.network.classifier.weight.detach()
    for image, target in product(range(4), range(5)):
        evidence = features[image] * weight[target, :, None, None] / 36
        assert_close(found[image, target], eigen_cam_by_hand(evidence).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "kind"), [(EigenCAM, "EigenCAM"), (EigenGradCAM, "EigenGradCAM")])
def test_centred_equals_pytorch_grad_cam_up_to_the_sign(model, images, raw_pytorch_grad_cam, method, kind):
    maps = explain(model, images, method(centred=True), targets="all").maps
    for target in range(5):
        expected = raw_pytorch_grad_cam(kind, model, images, target)
        turned = (maps[:, target] * expected).sum(dim=(1, 2)).sign()
        assert_close(maps[:, target], expected * turned[:, None, None], rtol=1e-4, atol=1e-5)
