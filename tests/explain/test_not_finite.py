"""No method hides what is not finite, where its library would take it for 0 or fail."""

import pytest
import torch

from inspect_fer.explain import explain

every = pytest.mark.parametrize(
    "name",
    [
        *("fem", "kpca-cam", "seg-eigen-cam", "sess?scales=3"),
        *("kernel-shap?cells=3&samples=60", "lime?cells=3&samples=60"),
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
