"""XGrad-CAM against its equation, its axiom, pytorch-grad-cam and torchcam."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.explain import explain
from inspect_fer.explain.pointwise import hires_cam
from inspect_fer.explain.xgrad_cam import xgrad_cam


def xgrad_cam_by_hand(features, gradients):
    """arXiv:2008.02312: w_k = sum_ij A_k(i,j) / (sum A_k) g_k(i,j), term by term, for one image and one class."""
    channels, h, w = features.shape
    result = torch.zeros(h, w, dtype=features.dtype)
    for k in range(channels):
        places = list(product(range(h), range(w)))
        total = sum(features[k, y, x] for y, x in places)
        if total == 0:
            continue
        alpha = sum(features[k, y, x] / total * gradients[k, y, x] for y, x in places)
        result += alpha * features[k]
    return result


def test_matches_the_paper_term_by_term(features, gradients, even, each_target):
    each_target(xgrad_cam(features, gradients), xgrad_cam_by_hand, gradients)
    each_target(xgrad_cam(features, even), xgrad_cam_by_hand, even)
    each_target(xgrad_cam(features, even.contiguous()), xgrad_cam_by_hand, even)


def test_what_is_given_stays_as_it_is(leaves_alone):
    leaves_alone(xgrad_cam)


def test_conserves_gradient_times_feature(features, gradients):
    """The paper's axiom of conservation, of which the formula is the solution."""
    whole = (hires_cam(features, gradients), xgrad_cam(features, gradients))
    assert_close(*(maps.sum(dim=(2, 3)) for maps in whole))


def test_a_channel_that_sums_to_zero_gives_nothing():
    features = torch.tensor([[[[1.0, -1.0], [2.0, -2.0]], [[1.0, 2.0], [3.0, 4.0]]]])
    even = torch.ones(1, 1, 2, 1, 1).expand(1, 1, 2, 2, 2)
    for gradients in (even, even.contiguous()):
        assert_close(xgrad_cam(features, gradients), features[:, 1:])
    uneven = torch.tensor([[[[[5.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]]]])
    assert_close(xgrad_cam(features, uneven), features[:, 1:])


def test_is_grad_cam_behind_pooling_and_one_linear_layer(tiny_model, images):
    found = explain(tiny_model, images, ["xgrad-cam", "grad-cam"], targets="all")
    assert_close(found["xgrad-cam"].maps, found["grad-cam"].maps)


@pytest.mark.filterwarnings("ignore")
def test_equals_pytorch_grad_cam_and_torchcam(model, images, raw_pytorch_grad_cam, raw_torchcam):
    maps = explain(model, images, "xgrad-cam", targets="all").maps
    for target in range(5):
        assert_close(maps[:, target], raw_pytorch_grad_cam("XGradCAM", model, images, target), rtol=1e-4, atol=1e-5)
        assert_close(maps[:, target].relu(), raw_torchcam("XGradCAM", model, images, target), rtol=1e-4, atol=1e-5)
