"""Contrast maps and Finer-CAM against their formulas, Grad-CAM and torchcam."""

from dataclasses import replace
from itertools import product
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import shared_pass
from inspect_fer.emotions import CANONICAL
from inspect_fer.errors import ConfigError, TargetError
from inspect_fer.explain import METHODS, Contrast, FinerCAM, explain, forecast
from inspect_fer.explain.contrast import Emotion, against, nearest_rivals, strongest_rivals
from inspect_fer.explain.grad_cam import grad_cam
from inspect_fer.explain.spelling import kinds_of, spelt

LOGITS = torch.tensor([[1.0, 5.0, 4.5, -2.0], [0.0, -1.0, 3.0, 2.0]])
EVERY = torch.arange(4).expand(2, 4)


def test_the_strongest_rival_is_the_best_other_class():
    assert strongest_rivals(LOGITS, EVERY).tolist() == [[1, 2, 1, 1], [2, 2, 3, 2]]


def test_the_nearest_rivals_have_the_nearest_logits():
    for row, target in product(range(2), range(4)):
        others = sorted((abs(float(LOGITS[row, k] - LOGITS[row, target])), k) for k in range(4) if k != target)
        assert nearest_rivals(LOGITS, EVERY, 2)[row, target].tolist() == [k for _, k in others[:2]]


def test_scores_take_off_the_mean_of_the_rivals():
    scores = against(torch.tensor([[2]]), torch.tensor([[[0, 3]]]), 5, 0.6)
    assert_close(scores, torch.tensor([[[-0.3, 0, 1, -0.3, 0]]], dtype=torch.float64))


def test_scores_are_as_precise_as_a_network_of_double_precision(mlp_model, images):
    """A third and 0.6 are broken numbers that single precision rounds."""
    scores = against(torch.tensor([[2]]), torch.tensor([[[0, 3, 4]]]), 5, 0.6)
    assert_close(scores[0, 0].tolist(), [-0.6 / 3, 0.0, 1.0, -0.6 / 3, -0.6 / 3], rtol=1e-15, atol=0)
    network = mlp_model.network.double()
    shared = shared_pass(network, "blocks.1.relu", images.double(), torch.tensor([[2]] * 4))
    every = grad_cam(shared.features, shared.gradients_of(torch.eye(5, dtype=torch.float64).expand(4, 5, 5)))
    found = FinerCAM()(shared)
    rivals = nearest_rivals(shared.logits, shared.targets, 3)[:, 0]
    for image in range(4):
        expected = every[image, 2] - 0.6 * sum(every[image, k] for k in rivals[image].tolist()) / 3
        assert_close(found[image, 0], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rival", [None, 3])
def test_contrast_is_the_difference_of_two_grad_cams(model, images, rival):
    every = explain(model, images, "grad-cam", targets="all").maps
    found = explain(model, images, Contrast(rival), targets="all").maps
    logits = model.network(images).detach()
    for image, target in product(range(4), range(5)):
        other = rival
        if rival is None:
            _, other = max((float(logits[image, k]), k) for k in range(5) if k != target)
        assert_close(found[image, target], every[image, target] - every[image, other])


@pytest.mark.parametrize("rival", ["happiness", "Happy", 2])
def test_a_rival_may_be_named(tiny_model, images, rival):
    expected = explain(tiny_model, images, Contrast(2), targets="all").maps
    named = {"python": METHODS["contrast"](rival=rival), "shell": f"contrast?rival={rival}"}
    for found in explain(tiny_model, images, named, targets="all").values():
        assert_close(found.maps, expected, rtol=0, atol=0)
        assert found.method == {"name": "contrast", "rival": rival}
    assert spelt("contrast?rival=none", METHODS) == Contrast()
    assert forecast(tiny_model, images, Contrast(rival)).methods["contrast"].passes.forward == 0


def test_the_dashboard_offers_the_emotions():
    assert get_args(Emotion) == CANONICAL
    parts = kinds_of(get_type_hints(Contrast)["rival"])
    assert [part for part in parts if isinstance(part, str) or part is None] == [*CANONICAL, None]
    assert int in parts


def test_contrast_with_itself_is_nothing_and_turns_round_with_the_rival(model, images):
    maps = [explain(model, images, Contrast(rival), targets="all").maps for rival in (1, 2)]
    assert maps[0][:, 1].abs().amax() < 1e-6
    assert_close(maps[0][:, 2], -maps[1][:, 1])


@pytest.mark.parametrize(("similar", "strength"), [(3, 0.6), (1, 1.0), (9, 0.5)])
def test_finer_cam_matches_the_paper(model, images, similar, strength):
    """arXiv:2501.11309: Grad-CAM of y_c - gamma / T sum_t y_dt, which is linear in the logits."""
    every = explain(model, images, "grad-cam", targets="all").maps
    found = explain(model, images, FinerCAM(similar, strength), targets="all").maps
    logits = model.network(images).detach()
    for image, target in product(range(4), range(5)):
        own = logits[image, target]
        others = sorted((abs(float(logits[image, k] - own)), k) for k in range(5) if k != target)[:similar]
        rest = sum(every[image, k] for _, k in others) / len(others)
        assert_close(found[image, target], every[image, target] - strength * rest)


@pytest.mark.filterwarnings("ignore")
def test_finer_cam_equals_torchcam(model, images, raw_torchcam):
    """pytorch-grad-cam weighs the rivals by their probability, and differentiates the weights: another method."""
    maps = explain(model, images, "finer-cam", targets=2).maps[:, 0]
    methods = pytest.importorskip("torchcam.methods")
    with methods.FinerCAM(model.network, model.card.cam_layer) as extractor:
        (expected,) = extractor(2, model.network(images), normalized=False)
    assert_close(maps.relu(), expected.detach().relu())


def test_one_class_has_no_rival(tiny_model, images):
    tiny_model.network.classifier = nn.Linear(6, 1)
    model = replace(tiny_model, card=replace(tiny_model.card, class_names=("face",)))
    for method in ("contrast", "finer-cam"):
        with pytest.raises(ConfigError, match="no other class"):
            explain(model, images, method)


def test_rivals_that_are_not_there(tiny_model, images):
    for rival in (5, -1):
        with pytest.raises(TargetError, match=f"no class {rival} to contrast"):
            explain(tiny_model, images, Contrast(rival))
    with pytest.raises(TargetError, match="No class is called 'hapiness'. Did you mean 'happiness'"):
        explain(tiny_model, images, "contrast?rival=hapiness")
    refused = {}
    assert not explain(tiny_model, images, Contrast("sorrow"), refuse=refused.__setitem__)
    assert "No class is called 'sorrow'" in str(refused["contrast"])
    with pytest.raises(ConfigError, match="similar"):
        FinerCAM(similar=0)
