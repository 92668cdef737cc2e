"""Every method on every network of the sources: maps, or the refusal that is listed here for the two."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from inspect_fer.errors import FerError
from inspect_fer.explain import METHODS, explain, make_method
from inspect_fer.explain.method import reads_layer
from inspect_fer.models import ARCHITECTURES, build, cam_layer_of
from inspect_fer.models.wrap import wrap
from inspect_fer.schema import Classifier, Explanation, ModelCard

NAMES = ("anger", "happiness", "neutral")

CHEAP: dict[str, dict[str, Any]] = {
    "ablation-cam": {"scale": "none"},  # a logit near 0 magnifies rounding as much as the map
    "smooth-grad-cam++": {"samples": 2},
    "fem": {"deviations": 1.0},  # no place of a map of 2 x 2 lies more above the mean
    "occlusion": {"window": 8, "stride": 8},
    "region-occlusion": {"rows": 2, "columns": 2},
    "region-shapley": {"regions": "grid", "rows": 2, "columns": 1},
    "rise": {"masks": 6, "cells": 2},
    "smooth-grad": {"samples": 2},
    "integrated-gradients": {"steps": 3},
    "gradient-shap": {"samples": 2},
    "kernel-shap": {"samples": 12, "cells": 2},
    "lime": {"samples": 12, "cells": 2, "alpha": 1e-9},
    "sess": {"scales": 2},
}

SMALL: dict[str, tuple[int, dict[str, Any]]] = {
    "lenet": (16, {}),
    "resnet18": (17, {"blocks": (1, 1, 1, 1)}),
    "resnet34": (17, {"blocks": (1, 2, 1, 1)}),
    "mobilenet_v2": (33, {"width": 0.1}),
    "keras_cnn4": (24, {"width": 2, "dense": 8}),
    "mobilenet_v2_transfer": (33, {"width": 0.1}),
    "vgg": (32, {"width": 2, "dense": 8}),
    "lenet5_bn": (16, {"width": 2, "dense": 8}),
    "baseline": (32, {"width": 2}),
    "se": (32, {"width": 8}),
    "se_residual": (32, {"width": 8}),
    "gimefive": (32, {"width": 2}),
    "gimefive_se": (32, {"width": 8}),
    "gimefive6": (64, {"width": 1}),
    "gimefive_res": (32, {"width": 4}),
    "resnet18_lmu": (17, {"blocks": (1, 1, 1, 1)}),
    "resnet34_lmu": (17, {"blocks": (1, 2, 1, 1)}),
    "vgg_lmu": (32, {"width": 4, "dense": 16}),
    "small": (16, {}),
    "residual": (16, {}),
    "unet": (16, {}),
    "vgg13": (32, {"width": 2, "dense": 8}),
    "majority": (16, {}),
}
"""Side of the images and options: each network's own structure, as small as it goes."""

NO_HEAD = {"cam": "CAM needs global average pooling and one linear layer behind"}
NO_RELU = {
    "guided-backprop": "Guided backpropagation changes the gradient at each ReLU, and this network has none",
    "deconvnet": "Deconvolution changes the gradient at each ReLU, and this network has none",
}
GATED = NO_HEAD | {"lrp": r"LRP has no rule for Sigmoid \(.*\bsigmoid\); it has for .*deep-lift knows the gates"}
NO_MAPS = "reads a layer, and none of this network gives maps"
BLIND = {name: f"{re.escape(name)} {NO_MAPS}" for name, kind in METHODS.items() if reads_layer(kind)}

REFUSED: dict[str, dict[str, str]] = {
    "lenet": NO_HEAD,
    "resnet18": {},
    "resnet34": {},
    "mobilenet_v2": {},
    "keras_cnn4": NO_HEAD,
    "mobilenet_v2_transfer": {},
    "vgg": NO_HEAD,
    "lenet5_bn": NO_HEAD,
    "baseline": NO_HEAD,
    "se": GATED,
    "se_residual": GATED,
    "gimefive": NO_HEAD,
    "gimefive_se": GATED,
    "gimefive6": NO_HEAD,
    "gimefive_res": GATED,
    "resnet18_lmu": {},
    "resnet34_lmu": {},
    "vgg_lmu": NO_HEAD,
    "small": NO_HEAD,
    "residual": NO_HEAD,
    "unet": NO_HEAD | {"lrp": "LRP has no rule for the function interpolate"},
    "vgg13": NO_HEAD,
    "majority": BLIND | NO_RELU | {"lrp": "LRP has no rule for the function mul"},
}
"""The methods that a network does not allow, and what the one line of their error says."""


def settled(network: nn.Module, images: Tensor, layer: str, kept: int = 12) -> nn.Module:
    """In eval mode, lively, with batch norms that know these images; in a wide layer few channels, for Score-CAM."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    widest = max((norm.num_features for norm in network.get_submodule(layer).modules() if norm in norms), default=0)
    for norm in network.get_submodule(layer).modules():
        if norm in norms and norm.num_features == widest:
            norm.weight.data[kept:], norm.bias.data[kept:] = 0, 0
    return network.eval()


def allowed(refused: dict[str, str]) -> dict[str, Any]:
    """All other methods, by their names."""
    return {name: make_method(name, **CHEAP.get(name, {})) for name in METHODS if name not in refused}


@dataclass(frozen=True)
class Case:
    """A network in train mode but for its first part, half frozen, with a gradient of its owner's, and two images."""

    name: str
    model: Classifier
    images: Tensor
    methods: dict[str, Any]
    """Those that it allows."""


@pytest.fixture(scope="module", params=ARCHITECTURES)
def case(request) -> Iterator[Case]:
    name = request.param
    (size, options), layer = SMALL[name], ""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(name, classes=3, size=size, options=options)
        layer = cam_layer_of(name, classes=3, size=size, options=options)
        settled(network, torch.randn(16, 1, size, size), layer).train()
        images = torch.randn(2, 1, size, size)
    next(network.children(), network).eval()
    for place, weight in enumerate(network.parameters()):
        weight.requires_grad_(requires_grad=place % 2 == 0)
        weight.grad = torch.ones_like(weight) if place == 0 else None
    card = ModelCard(name, NAMES, (1, size, size), (0.5,), (0.25,), cam_layer=layer)
    return Case(name, Classifier(network, card), images, allowed(REFUSED[name]))


@pytest.fixture(scope="module")
def found(case, state_of) -> dict[str, Explanation]:
    """All methods that the network allows, for every class, from one call; it leaves no trace."""
    before, given = state_of(case.model.network), case.images.clone()
    explanations = explain(case.model, case.images, case.methods, targets="all")
    assert state_of(case.model.network) == before
    assert torch.equal(given, case.images)
    return explanations


def test_maps_are_finite_float32_of_the_right_shape(case, found):
    for name, explanation in found.items():
        assert explanation.maps.dtype == torch.float32, name
        assert explanation.maps.shape[:2] == (2, 3), name
        assert explanation.maps.isfinite().all(), name
        assert explanation.upsampled().shape == (2, 3, *case.images.shape[2:]), name
        assert explanation.maps.any() or case.name == "majority", name


def test_one_image_and_class_alone_are_as_in_the_batch_of_all(case, found):
    alone = explain(case.model, case.images[1:], case.methods, targets=2)
    for name, explanation in found.items():
        expected, size = explanation.maps[1:, 2:], float(explanation.maps.abs().amax())
        assert_close(alone[name].maps, expected, rtol=1e-3, atol=1e-4 * size, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", ["deep-lift", "region-shapley"])
def test_maps_add_up_to_the_logit_less_that_of_the_baseline(case, found, name):
    """Summation to delta and efficiency, through gates, shortcuts, shared ReLUs and overlapping pools too."""
    with torch.no_grad():
        network = deepcopy(case.model.network).eval()
        expected = network(case.images) - network(torch.zeros_like(case.images))
    assert_close(found[name].maps.sum(dim=(2, 3)), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_what_a_network_does_not_allow_is_one_line_and_leaves_no_trace(case, state_of):
    before = state_of(case.model.network)
    for name, reason in REFUSED[case.name].items():
        with pytest.raises(FerError, match=reason) as problem:
            explain(case.model, case.images, make_method(name, **CHEAP.get(name, {})), targets="all")
        assert "\n" not in str(problem.value)
    assert state_of(case.model.network) == before


def test_the_lists_are_complete():
    assert set(SMALL) == set(REFUSED) == set(ARCHITECTURES)
    assert {name for refused in REFUSED.values() for name in refused} <= set(METHODS)


def vision_transformer() -> nn.Module:
    models = pytest.importorskip("torchvision.models")
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    network: nn.Module = models.VisionTransformer(image_size=32, patch_size=8, num_classes=3, **sizes)
    nn.init.normal_(network.heads.head.weight)  # it starts at zero
    return network


def from_timm(name: str, **options: Any) -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm is an extra")
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=3, **options)
    return network


SMOOTH = NO_HEAD | NO_RELU | {"guided-grad-cam": "Guided Grad-CAM changes .* this network has none"}
SMOOTH |= dict.fromkeys(("deep-lift", "lrp"), r"no rule for (LayerNorm|GELU|SiLU) \(")
TINY = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 16, "num_heads": 2}
FOREIGN: dict[str, tuple[Callable[[], nn.Module], str, dict[str, str]]] = {
    "torchvision transformer": (vision_transformer, "conv_proj", SMOOTH),
    "timm transformer": (partial(from_timm, "vit_tiny_patch16_224", **TINY), "patch_embed.proj", SMOOTH),
    "timm efficientnet": (
        partial(from_timm, "test_efficientnet"),
        "blocks.4.0.bn1",
        SMOOTH | {"full-grad": "a BatchNormAct2d may do more"},
    ),
}


@pytest.mark.filterwarnings("ignore:The last layer of VisionTransformer with maps")
@pytest.mark.parametrize("name", FOREIGN)
def test_networks_of_other_libraries_are_explained_or_refused_in_one_line(name, state_of):
    make, layer, refused = FOREIGN[name]
    network, images = make(), torch.randn(2, 3, 32, 32)
    settled(network, torch.randn(16, 3, 32, 32), layer)
    model = wrap(network, class_names=NAMES, input_size=(3, 32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    assert model.card.cam_layer == layer
    case = Case(name, model, images, allowed(refused))
    before = state_of(network)
    for method, reason in refused.items():
        with pytest.raises(FerError, match=reason) as problem:
            explain(case.model, images, method)
        assert "\n" not in str(problem.value)
    found = explain(case.model, images, case.methods, targets="all")
    assert state_of(network) == before
    test_maps_are_finite_float32_of_the_right_shape(case, found)
    test_one_image_and_class_alone_are_as_in_the_batch_of_all(case, found)
