"""Grad-CAM against its equations, captum, torchcam and pytorch-grad-cam."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.explain import explain
from inspect_fer.explain.grad_cam import grad_cam


def grad_cam_by_hand(features, gradients):
    """Eq. 1 and 2 of arXiv:1610.02391, term by term, for one image and one class."""
    channels, h, w = features.shape
    result = torch.zeros(h, w, dtype=features.dtype)
    for k in range(channels):
        alpha = sum(gradients[k, y, x] for y, x in product(range(h), range(w))) / (h * w)
        result += alpha * features[k]
    return result


def test_matches_the_paper_term_by_term(generator):
    features = torch.randn(1, 3, 4, 5, generator=generator, dtype=torch.float64)
    gradients = torch.randn(1, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
    for target in range(2):
        expected = grad_cam_by_hand(features[0], gradients[0, target])
        assert_close(grad_cam(features, gradients)[0, target], expected)


def test_equals_cam_behind_pooling_and_one_linear_layer(tiny_model, images):
    """There Grad-CAM is CAM / (h w): section 3 of the paper."""
    network = tiny_model.network
    cam = torch.einsum("kc,nchw->nkhw", network.classifier.weight, network.features(images)).detach()
    found = explain(tiny_model, images, ["grad-cam", "cam"], targets="all")
    assert_close(found["grad-cam"].maps, cam / cam[0, 0].numel())
    assert_close(found["cam"].maps, cam)


@pytest.fixture(params=["tiny", "mlp"])
def model(request, make_model):
    return make_model(request.param)


def test_equals_captum(model, images):
    attr = pytest.importorskip("captum.attr")
    layer = model.network.get_submodule(model.card.cam_layer)
    peer = attr.LayerGradCam(model.network, layer)
    maps = explain(model, images, "grad-cam", targets="all").maps
    for target in range(5):
        assert_close(maps[:, target], peer.attribute(images, target=target)[:, 0].detach())


@pytest.mark.filterwarnings("ignore")
def test_equals_torchcam(model, images):
    methods = pytest.importorskip("torchcam.methods")
    maps = explain(model, images, "grad-cam", targets=2).maps[:, 0]
    with methods.GradCAM(model.network, model.card.cam_layer) as extractor:
        (expected,) = extractor(2, model.network(images), normalized=False)
    assert_close(maps.relu(), expected.detach().relu())


@pytest.mark.filterwarnings("ignore")
def test_equals_pytorch_grad_cam(model, images):
    peer = pytest.importorskip("pytorch_grad_cam")
    outputs = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    layer = model.network.get_submodule(model.card.cam_layer)
    found = explain(model, images, "grad-cam", targets=2).maps[:, 0]
    with peer.GradCAM(model=model.network, target_layers=[layer]) as extractor:
        extractor(input_tensor=images, targets=[outputs.ClassifierOutputTarget(2)] * 4)
        kept = extractor.activations_and_grads
        raw = extractor.get_cam_image(images, layer, None, *(f[0].numpy() for f in (kept.activations, kept.gradients)))
    assert_close(found, torch.from_numpy(raw))
