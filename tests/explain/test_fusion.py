"""Several layers in one map: against both publications by hand, and against pytorch-grad-cam."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.capture import shared_pass
from inspect_fer.errors import ConfigError, UnknownNameError
from inspect_fer.explain import explain
from inspect_fer.explain.fusion import fused

BOTH = ["blocks.0.relu", "blocks.1.relu"]


def stretched(values):
    low, high = min(map(min, values)), max(map(max, values))
    return [[(value - low) / (high - low) for value in row] for row in values]


@pytest.mark.parametrize("fusion", ["mean", "max", "product"])
def test_maps_of_one_size_by_hand(generator, fusion):
    maps = [torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2)]
    found = fused(maps, (4, 5), fusion)
    for image in range(2):
        for target in range(3):
            each = []
            for values in maps:
                positive = [[max(value, 0) for value in row] for row in values[image, target].tolist()]
                largest = max(map(max, positive))
                if fusion == "max":
                    each.append([[math.tanh(2 * value / largest) for value in row] for row in positive])
                else:
                    each.append(stretched(positive))
            join = {"mean": lambda a, b: (a + b) / 2, "max": max, "product": lambda a, b: a * b}[fusion]
            expected = [[join(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(*each, strict=True)]
            assert_close(found[image, target], torch.tensor(expected, dtype=torch.float64))


def test_one_layer_twice_is_that_layer(generator):
    """Identity: the mean of equal maps is the map, scaled and enlarged."""
    maps = torch.rand(1, 1, 3, 3, generator=generator)
    low, high = maps.aminmax()
    expected = F.interpolate((maps - low) / (high - low), (6, 6), mode="bilinear")
    assert_close(fused([maps, maps], (6, 6), "mean"), expected)


def test_a_layer_without_positive_evidence_adds_nothing():
    none, some = torch.full((1, 1, 2, 2), -1.0), torch.tensor([[[[0.0, 2.0], [1.0, 0.0]]]])
    assert_close(fused([none, some], (2, 2), "mean"), some / 4)
    assert_close(fused([none, some], (2, 2), "max"), (some).tanh())
    assert not fused([none, some], (2, 2), "product").any()


@pytest.mark.parametrize(("name", "peer"), [("grad-cam", "GradCAM"), ("layer-cam", "LayerCAM")])
def test_mean_equals_pytorch_grad_cam(mlp_model, images, name, peer):
    library = pytest.importorskip("pytorch_grad_cam")
    outputs = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    layers = [mlp_model.network.get_submodule(layer) for layer in BOTH]
    with getattr(library, peer)(model=mlp_model.network, target_layers=layers) as extractor:
        expected = torch.from_numpy(extractor(images, [outputs.ClassifierOutputTarget(2)] * 4))
    found = explain(mlp_model, images, name, targets=2, layer=BOTH).maps[:, 0]
    low, high = found.amin((1, 2), keepdim=True), found.amax((1, 2), keepdim=True)
    assert_close((found - low) / (high - low), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "peer"), [("grad-cam", "GradCAM"), ("layer-cam", "LayerCAM")])
def test_product_equals_refine_cam_of_pytorch_grad_cam(mlp_model, images, name, peer):
    library = pytest.importorskip("pytorch_grad_cam")
    refine = pytest.importorskip("pytorch_grad_cam.refine_cam").RefineCAM
    outputs = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    layers = [mlp_model.network.get_submodule(layer) for layer in BOTH]
    extractor = refine(mlp_model.network, layers, base_method=getattr(library, peer))
    expected = torch.from_numpy(extractor(images, [outputs.ClassifierOutputTarget(2)] * 4))
    for each in extractor.base_cam_per_layer:
        each.activations_and_grads.release()
    found = explain(mlp_model, images, name, targets=2, layer=BOTH, fusion="product").maps[:, 0]
    low, high = found.amin((1, 2), keepdim=True), found.amax((1, 2), keepdim=True)
    assert_close((found - low) / (high - low), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["grad-cam", "smooth-grad-cam++", "guided-grad-cam", "score-cam"])
@pytest.mark.parametrize("fusion", ["mean", "max", "product"])
def test_explain_fuses_what_each_layer_gives(mlp_model, images, name, fusion):
    each = [explain(mlp_model, images, name, targets="all", layer=layer).maps for layer in BOTH]
    found = explain(mlp_model, images, name, targets="all", layer=BOTH, fusion=fusion)
    assert found.maps.shape == (4, 5, 12, 12)
    assert (found.layer, found.fusion) == ("blocks.0.relu + blocks.1.relu", fusion)
    assert_close(found.maps, fused(each, (12, 12), fusion), rtol=1e-4, atol=1e-5)


def test_all_layers_and_methods_take_one_pass(mlp_model, images):
    passes = []
    mlp_model.network.register_forward_hook(lambda _m, inputs, _o: passes.append(len(inputs[0])))
    explain(mlp_model, images, ["grad-cam", "layer-cam", "eigen-cam"], targets="all", layer=BOTH)
    assert passes == [4]


def test_what_reads_no_layer_is_not_fused(mlp_model, images):
    found = explain(mlp_model, images, ["grad-cam", "saliency"], layer=BOTH)
    assert [(why.layer != "", why.fusion) for why in found.values()] == [(True, "mean"), (False, "")]
    assert_close(found["saliency"].maps, explain(mlp_model, images, "saliency").maps)


def test_layers_and_fusions_that_make_no_sense(mlp_model, images):
    with pytest.raises(ConfigError, match="several that differ"):
        explain(mlp_model, images, "grad-cam", layer=["blocks.0.relu", "blocks.0.relu"])
    with pytest.raises(ConfigError, match="several that differ"):
        explain(mlp_model, images, "grad-cam", layer=[])
    with pytest.raises(UnknownNameError, match=r"blocks\.0\.relu"):
        explain(mlp_model, images, "grad-cam", layer=["blocks.0.rely", "blocks.1.relu"])
    with pytest.raises(UnknownNameError, match="mean"):
        explain(mlp_model, images, "grad-cam", layer=BOTH, fusion="meen")


def test_one_named_layer_is_not_fused(mlp_model, images):
    found = explain(mlp_model, images, "grad-cam", layer=["blocks.0.relu"])
    shared = shared_pass(mlp_model.network, "blocks.0.relu", images, found.targets)
    assert found.maps.shape[2:] == shared.features.shape[2:]
    assert found.fusion == ""
