"""KPCA-CAM, Seg-Eigen-CAM and feature factorisation against their equations; the rest is the library's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import NMF
from torch.testing import assert_close

from inspect_fer.capture import shared_pass
from inspect_fer.errors import ConfigError
from inspect_fer.explain import KPCACAM, DeepFeatureFactorization, explain
from inspect_fer.explain.grad_cam import grad_cam

pytest.importorskip("pytorch_grad_cam")


def first_component(points, kernel, gamma):
    """The leading eigenvector of the centred kernel matrix, times the root of its eigenvalue, in float64."""
    points = points - points.mean(dim=0)
    gram = points @ points.T
    gamma = gamma or 1 / points.shape[1]
    if kernel == "sigmoid":
        gram = torch.tanh(gamma * gram + 1)
    if kernel == "rbf":
        gram = torch.exp(-gamma * torch.cdist(points, points) ** 2)
    ones = torch.full_like(gram, 1 / len(gram))
    centred = gram - ones @ gram - gram @ ones + ones @ gram @ ones
    values, vectors = torch.linalg.eigh(centred)
    return vectors[:, -1] * values[-1].sqrt()


def up_to_the_sign(found, expected, **close):
    sign = 1 if (found * expected).sum() > 0 else -1
    assert_close(found, sign * expected, **close)


@pytest.mark.parametrize(("kernel", "gamma"), [("linear", 0), ("sigmoid", 0), ("sigmoid", 0.05), ("rbf", 0.3)])
def test_kpca_is_the_first_component_of_the_kernel_matrix(tiny_model, images, kernel, gamma):
    maps = explain(tiny_model, images, KPCACAM(kernel=kernel, gamma=gamma), targets="all")
    features = tiny_model.network.features(images).detach().double()
    for values, found in zip(features, maps.maps, strict=True):
        points = values.flatten(1).T
        expected = first_component(points, kernel, gamma).view_as(found[0]).float()
        up_to_the_sign(found[0], expected, rtol=1e-3, atol=1e-4)
        assert_close(found, found[:1].expand_as(found))
    assert maps.class_free


def test_kpca_takes_negative_features_as_they_are(tiny_model, images):
    maps = explain(tiny_model, images, KPCACAM(kernel="linear"), layer="features.conv").maps[:, 0]
    features = tiny_model.network.features.conv(images).detach().double()
    assert (features < 0).any()
    for values, found in zip(features, maps, strict=True):
        expected = first_component(values.flatten(1).T, "linear", 0).view_as(found).float()
        up_to_the_sign(found, expected, rtol=1e-3, atol=1e-4)


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


def factorised(features, gradient, concepts):
    """sum_k (mean(g) v_k) H_k of one image in float64, place by place: features (C, h, w), gradient (C, h, w)."""
    channels, height, width = features.shape
    flat = features.double().flatten(1).numpy()
    least = flat.min(axis=1)
    model = NMF(n_components=concepts, init="random", random_state=0)
    vectors = model.fit_transform(flat - least[:, None])
    weights = [float(gradient[c].double().mean()) for c in range(channels)]
    found = torch.zeros(height, width, dtype=torch.float64)
    for place in range(height * width):
        at = [sum(vectors[c, k] * model.components_[k, place] for k in range(concepts)) for c in range(channels)]
        found[place // width, place % width] = sum(weights[c] * (at[c] + least[c]) for c in range(channels))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layer", ["blocks.1.relu", "blocks.0.conv"])
@pytest.mark.parametrize("concepts", [1, 3])
def test_concepts_count_by_what_they_say_for_the_class(mlp_model, images, layer, concepts):
    method = DeepFeatureFactorization(concepts=concepts)
    maps = explain(mlp_model, images, method, targets="all", layer=layer).maps
    shared = shared_pass(mlp_model.network, layer, images, torch.arange(5).expand(4, 5))
    assert layer == "blocks.1.relu" or (shared.features < 0).any()
    for row, found in enumerate(maps):
        for target in range(5):
            expected = factorised(shared.features[row], shared.gradients[row, target], concepts).float()
            assert_close(found[target], expected, rtol=1e-3, atol=1e-3 * float(expected.abs().amax()))


def test_features_of_two_concepts_lose_nothing_by_them(generator):
    vectors, places = torch.rand(2, 6, generator=generator), torch.rand(2, 5, 5, generator=generator)
    places[0, 0], places[1, 1] = 0, 0  # each is alone somewhere, which settles the factors
    vectors[0, :3], vectors[1, 3:] = 0, 0
    features = torch.einsum("kc,khw->chw", vectors, places)[None] - 1
    gradients = torch.randn(1, 3, 6, 5, 5, generator=generator)
    found = DeepFeatureFactorization(concepts=2)(SimpleNamespace(features=features, gradients=gradients))
    expected = grad_cam(features, gradients)
    assert_close(found, expected, rtol=0, atol=0.01 * float(expected.abs().amax()))


def test_as_many_concepts_as_places_lose_nothing(mlp_model, images):
    methods = {"few": DeepFeatureFactorization(), "nine": DeepFeatureFactorization(concepts=9), "all": "grad-cam"}
    found = explain(mlp_model, images, methods, targets="all", layer="blocks.1.pool")  # of 3 x 3 places
    assert found["all"].same_as == ("nine",)


def test_options_that_make_no_sense_are_errors():
    with pytest.raises(ConfigError, match="linear, poly, rbf, sigmoid, cosine"):
        KPCACAM(kernel="tanh")
    with pytest.raises(ConfigError, match="gamma from 0"):
        KPCACAM(gamma=-1)
    with pytest.raises(ConfigError, match="concepts of at least 1"):
        DeepFeatureFactorization(concepts=0)


def test_kpca_is_repeatable_and_leaves_numpys_random_numbers_alone(generator):
    shared = SimpleNamespace(
        features=torch.randn(2, 4, 15, 15, generator=generator), targets=torch.zeros(2, 1, dtype=torch.int64)
    )  # from 200 places on, scikit-learn starts at random
    np.random.seed(3)
    before = np.random.get_state()[1].tolist()
    found = KPCACAM()(shared)
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(4)
    assert torch.equal(KPCACAM()(shared), found)
    alone = SimpleNamespace(features=shared.features[1:], targets=shared.targets[1:])
    assert torch.equal(KPCACAM()(alone), found[1:])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["kpca-cam", "seg-eigen-cam", "deep-feature-factorization"])
def test_of_what_is_not_finite_nothing_is_known(mlp_model, images, name, value):
    images[2, 0, 1, 1] = value
    maps = explain(mlp_model, images, name, targets="all").maps
    assert maps[2].isnan().all()
    assert maps[[0, 1, 3]].isfinite().all()
