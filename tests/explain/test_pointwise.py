"""HiResCAM, element-wise Grad-CAM and LayerCAM against their formulas, pytorch-grad-cam and torchcam."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.explain import explain
from inspect_fer.explain.pointwise import grad_cam_elementwise, hires_cam, layer_cam


def summed(term):
    """A map by hand: sum_k term(g_k(i,j), A_k(i,j)), for one image and one class."""

    def by_hand(features, gradients):
        channels, h, w = features.shape
        result = torch.zeros(h, w, dtype=features.dtype)
        for k, y, x in product(range(channels), range(h), range(w)):
            result[y, x] += term(float(gradients[k, y, x]), float(features[k, y, x]))
        return result

    return by_hand


FORMULAS = [
    (hires_cam, lambda g, a: g * a),  # arXiv:2011.08891
    (grad_cam_elementwise, lambda g, a: max(g * a, 0)),  # pytorch-grad-cam
    (layer_cam, lambda g, a: max(g, 0) * a),  # doi:10.1109/TIP.2021.3089943
]


@pytest.mark.parametrize(("formula", "term"), FORMULAS, ids=lambda given: getattr(given, "__name__", ""))
def test_matches_the_formula_term_by_term(formula, term, features, gradients, even, each_target):
    each_target(formula(features, gradients), summed(term), gradients)
    each_target(formula(features, even), summed(term), even)
    each_target(formula(features, even.contiguous()), summed(term), even)


@pytest.mark.parametrize(("formula", "term"), FORMULAS, ids=lambda given: getattr(given, "__name__", ""))
def test_gradients_that_repeat_along_one_axis_alone(formula, term, features, gradients, each_target):
    for some in (gradients[..., :1, :].expand_as(gradients), gradients[..., :1].expand_as(gradients)):
        each_target(formula(features, some), summed(term), some)


@pytest.mark.parametrize("formula", [formula for formula, _ in FORMULAS])
def test_what_is_given_stays_as_it_is(formula, leaves_alone):
    leaves_alone(formula)


def test_layer_cam_is_hires_cam_where_no_gradient_is_negative(features, gradients):
    assert_close(layer_cam(features, gradients.abs()), hires_cam(features, gradients.abs()))


def test_the_three_split_the_evidence(features, gradients):
    """Element-wise keeps what HiResCAM adds up for the target; the rest is what speaks against it."""
    against = grad_cam_elementwise(features, -gradients)
    assert_close(grad_cam_elementwise(features, gradients) - against, hires_cam(features, gradients))


def test_hires_cam_is_grad_cam_behind_pooling_and_one_linear_layer(tiny_model, images):
    found = explain(tiny_model, images, ["hires-cam", "grad-cam", "cam"], targets="all")
    assert_close(found["hires-cam"].maps, found["grad-cam"].maps)
    assert_close(found["hires-cam"].maps * 36, found["cam"].maps)


def test_hires_cam_adds_up_to_the_logit_of_one_linear_layer(mlp_model, images):
    """Section 4 of arXiv:2011.08891: the map is faithful for a network that ends in one fully connected layer."""
    mlp_model.network.hidden = torch.nn.Identity()
    mlp_model.network.classifier = torch.nn.Linear(54, 5)
    maps = explain(mlp_model, images, "hires-cam", targets="all").maps
    logits = mlp_model.network(images).detach()
    assert_close(maps.sum(dim=(2, 3)), logits - mlp_model.network.classifier.bias.detach())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "kind"),
    [("hires-cam", "HiResCAM"), ("grad-cam-elementwise", "GradCAMElementWise"), ("layer-cam", "LayerCAM")],
)
def test_equals_pytorch_grad_cam(model, images, raw_pytorch_grad_cam, name, kind):
    maps = explain(model, images, name, targets="all").maps
    for target in range(5):
        assert_close(maps[:, target], raw_pytorch_grad_cam(kind, model, images, target))


@pytest.mark.filterwarnings("ignore")
def test_layer_cam_equals_torchcam(model, images, raw_torchcam):
    maps = explain(model, images, "layer-cam", targets=2).maps[:, 0]
    assert_close(maps.relu(), raw_torchcam("LayerCAM", model, images, 2).relu())
