"""No method hides what is not finite, where its library would take it for 0 or fail."""

import pytest
import torch

from inspect_fer.explain import explain

every = pytest.mark.parametrize(
    "name",
    [
        *("cam", "ablation-cam", "fem", "kpca-cam", "seg-eigen-cam", "deep-feature-factorization", "sess?scales=3"),
        *("kernel-shap?cells=3&samples=60", "lime?cells=3&samples=60", "saliency", "smooth-grad?samples=3"),
    ],
)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@every
def test_an_image_that_is_not_finite_is_told_alone(tiny_model, images, name, value):
    images[1, 0, 3, 3] = value
    found = explain(tiny_model, images, name, targets="all")
    assert [found.remark(1, target) for target in range(5)] == ["not finite from input on"] * 5
    assert found.maps[[0, 2, 3]].isfinite().all()


@every
def test_a_broken_network_is_told(tiny_model, images, name):
    with torch.no_grad():
        tiny_model.network.features.conv.weight.view(-1)[0] = torch.nan
    assert explain(tiny_model, images, name).remark(0, 0) == "not finite from features.conv on"


@pytest.mark.parametrize("name", ["cam", "ablation-cam"])
@pytest.mark.parametrize(("layer", "module"), [("features.conv", "features"), ("classifier", "")])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_method_that_tries_the_network_out_does_not_call_it_unfit(tiny_model, images, name, layer, module, value):
    with torch.no_grad():
        tiny_model.network.get_submodule(layer).weight.view(-1)[0] = value
    found = explain(tiny_model, images, name, targets="all")
    assert found.broken_layer.startswith(module or layer)
    assert {found.remark(row, 0) for row in range(4)} == {f"not finite from {found.broken_layer} on"}


def test_what_is_not_finite_leaves_the_maps_of_other_images_as_they_are(tiny_model, mlp_model, images):
    names = [(tiny_model, "cam"), (tiny_model, "ablation-cam"), (mlp_model, "ablation-cam")]
    expected = [explain(model, images, name, targets="all").maps for model, name in names]
    images[1] = torch.nan
    for (model, name), maps in zip(names, expected, strict=True):
        found = explain(model, images, name, targets="all").maps
        torch.testing.assert_close(found[[0, 2, 3]], maps[[0, 2, 3]], rtol=1e-4, atol=1e-5)
        assert found[1].isnan().all()


OF_A_COPY = pytest.mark.parametrize("name", ["deep-lift", "lrp", "guided-backprop", "deconvnet", "guided-grad-cam"])


@OF_A_COPY
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("layer", ["features.conv", "features.block.conv2", "classifier"])
def test_a_broken_network_is_told_by_methods_that_work_on_a_copy(tiny_model, images, name, value, layer):
    with torch.no_grad():
        tiny_model.network.get_submodule(layer).weight.view(-1)[0] = value
    found = explain(tiny_model, images, name, targets="all")
    assert found.maps.isnan().all()
    assert found.remark(0, 0) == f"not finite from {layer} on"


@OF_A_COPY
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_methods_that_work_on_a_copy_tell_a_broken_image_alone(tiny_model, images, name, value):
    sound = explain(tiny_model, images, name, targets="all").maps
    images[1, 0, 3, 3] = value
    found = explain(tiny_model, images, name, targets="all")
    assert [found.remark(1, target) for target in range(5)] == ["not finite from input on"] * 5
    torch.testing.assert_close(found.maps[[0, 2, 3]], sound[[0, 2, 3]], rtol=1e-4, atol=1e-6)
