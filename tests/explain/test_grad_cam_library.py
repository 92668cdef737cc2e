"""KPCA-CAM and Seg-Eigen-CAM against their equations; the projection itself is the library's."""

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import KPCACAM, explain

pytest.importorskip("pytorch_grad_cam")


def first_component(points, kernel):
    """The leading eigenvector of the centred kernel matrix, times the root of its eigenvalue, in float64."""
    points = points - points.mean(dim=0)
    gram = points @ points.T
    if kernel == "sigmoid":
        gram = torch.tanh(gram / points.shape[1] + 1)
    ones = torch.full_like(gram, 1 / len(gram))
    centred = gram - ones @ gram - gram @ ones + ones @ gram @ ones
    values, vectors = torch.linalg.eigh(centred)
    return vectors[:, -1] * values[-1].sqrt()


def up_to_the_sign(found, expected, **close):
    sign = 1 if (found * expected).sum() > 0 else -1
    assert_close(found, sign * expected, **close)


@pytest.mark.parametrize("kernel", ["linear", "sigmoid"])
def test_kpca_is_the_first_component_of_the_kernel_matrix(tiny_model, images, kernel):
    maps = explain(tiny_model, images, KPCACAM(kernel=kernel), targets="all")
    features = tiny_model.network.features(images).detach().double()
    for values, found in zip(features, maps.maps, strict=True):
        points = values.flatten(1).T
        expected = first_component(points, kernel).view_as(found[0]).float()
        up_to_the_sign(found[0], expected, rtol=1e-3, atol=1e-4)
        assert_close(found, found[:1].expand_as(found))
    assert maps.class_free


def test_seg_eigen_is_the_first_component_of_gradient_sizes_times_features(mlp_model, images):
    features = mlp_model.network.blocks[:1](images)
    inner = mlp_model.network.blocks[1]
    leaf = inner.relu(inner.bn(inner.conv(features))).detach().requires_grad_()
    logits = mlp_model.network.classifier(mlp_model.network.hidden(inner.pool(leaf).flatten(1)).relu())
    maps = explain(mlp_model, images, "seg-eigen-cam", targets="all").maps
    for target in range(5):
        (gradient,) = torch.autograd.grad(logits[:, target].sum(), leaf, retain_graph=True)
        for weighed, found in zip((gradient.abs() * leaf).detach().double(), maps[:, target], strict=True):
            points = weighed.flatten(1).T
            points = points - points.mean(dim=0)
            expected = (points @ torch.linalg.svd(points).Vh[0]).view_as(found).float()
            up_to_the_sign(found, expected, rtol=1e-2, atol=1e-4 * float(expected.abs().amax()))
            assert found.amax() >= -found.amin()


def test_options_that_make_no_sense_are_errors():
    with pytest.raises(ConfigError, match="linear, poly, rbf, sigmoid, cosine"):
        KPCACAM(kernel="tanh")
    with pytest.raises(ConfigError, match="gamma from 0"):
        KPCACAM(gamma=-1)
