"""The rules of LRP that change the weights of convolutions, term by term, on images that are nowhere negative."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.testing import assert_close

from inspect_fer.explain import LRP, explain
from inspect_fer.schema import Classifier

CHANGED = {
    "epsilon": lambda weight, _gamma: weight,
    "gamma": lambda weight, gamma: weight + gamma * max(weight, 0.0),  # Montavon et al., 2019, section 10.2.3
    "alpha1-beta0": lambda weight, _gamma: max(weight, 0.0),  # eq. 60 of Bach et al. with alpha 1 and beta 0
}


@pytest.fixture
def model(make_model):
    torch.manual_seed(1)
    layers = (nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Conv2d(2, 3, 3, bias=False), nn.ReLU(), nn.Flatten())
    network = nn.Sequential(*layers, nn.Linear(12, 5, bias=False)).double().eval()
    return Classifier(network, replace(make_model("tiny").card, input_size=(1, 6, 6), cam_layer=""))


def as_matrix(layer, shape):
    """What a convolution without a bias multiplies its flattened input by, (outputs, inputs)."""
    units = torch.eye(shape.numel(), dtype=torch.float64).view(-1, *shape)
    return layer(units).flatten(1).T.tolist()


def handed_back(weights, values, relevance, change):
    """R_i = sum_j a_i w_ij / (sum_k a_k w_kj) R_j, with weights changed by the rule."""
    lower = [0.0] * len(values)
    for row, share in zip(weights, relevance, strict=True):
        changed = [change(weight) for weight in row]
        total = sum(value * weight for value, weight in zip(values, changed, strict=True))
        for i, (value, weight) in enumerate(zip(values, changed, strict=True)):
            lower[i] += value * weight / total * share if total else 0.0
    return lower


@pytest.mark.parametrize(
    ("rule", "gamma"), [("epsilon", 0.25), ("gamma", 0.25), ("gamma", 3.0), ("alpha1-beta0", 0.25)]
)
def test_match_term_by_term(model, generator, rule, gamma):
    images = torch.rand(2, 1, 6, 6, generator=generator)
    found = explain(model, images, LRP(rule=rule, epsilon=1e-12, gamma=gamma), targets=[[0, 3], [1, 4]])
    first, _, second, _, _, last = model.network
    for image, targets, maps in zip(images.double(), found.targets.tolist(), found.maps, strict=True):
        inner = first(image).relu()
        outer = second(inner).relu().flatten().tolist()
        for target, expected in zip(targets, maps, strict=True):
            row = last.weight[target].tolist()
            relevance = [value * weight for value, weight in zip(outer, row, strict=True)]
            for layer, below in ((second, inner), (first, image)):
                matrix = as_matrix(layer, below.shape)
                relevance = handed_back(matrix, below.flatten().tolist(), relevance, lambda w: CHANGED[rule](w, gamma))
            assert_close(expected.flatten(), torch.tensor(relevance), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{"epsilon": 0.1}, {"rule": "gamma", "gamma": 2.0}, {"rule": "alpha1-beta0"}])
def test_a_batch_norm_is_part_of_its_convolution(mlp_model, images, options):
    mlp_model.network.register_forward_hook(lambda *_: None)  # then there is no twin that has merged them already
    found = explain(mlp_model, images, LRP(**options), targets="all").maps
    for block in mlp_model.network.blocks:
        block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    folded = explain(mlp_model, images, LRP(**options), targets="all").maps
    assert_close(found, folded, rtol=1e-3, atol=1e-4 * float(folded.abs().amax()))
