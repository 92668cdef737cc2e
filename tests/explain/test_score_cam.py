"""Score-CAM: one masked image at a time by hand, what pruning leaves as it is, and how often the network runs."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.capture import shared_pass
from inspect_fer.errors import ConfigError
from inspect_fer.explain import ScoreCAM, budget, explain
from inspect_fer.explain.score_cam import masks_of, score_cam
from inspect_fer.explain.weighing import scaled

EVERY = torch.arange(5).expand(4, 5)


def score_cam_by_hand(model, image, target, *, probability=False):
    """arXiv:1910.01279, algorithm 1, for one image and class: one pass for each channel, dead ones too."""
    features = shared_pass(model.network, model.card.cam_layer, image[None], EVERY[:1]).features[0]
    scores = []
    for channel in features:
        mask = F.interpolate(channel[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0]
        spread = mask.max() - mask.min()
        mask = (mask - mask.min()) / spread if spread > 0 else torch.zeros_like(mask)
        logits = model.network((image * mask)[None])[0].detach()
        baseline = model.network(torch.zeros_like(image)[None])[0].detach()
        score = torch.exp(logits[target]) / torch.exp(logits).sum() if probability else (logits - baseline)[target]
        scores.append(score)
    total = sum(torch.exp(score) for score in scores)
    weights = scores if probability else [torch.exp(score) / total for score in scores]
    return sum(weight * channel for weight, channel in zip(weights, features, strict=True))


@pytest.mark.parametrize("weights", ["softmax", "probability"])
def test_matches_the_paper_mask_by_mask(model, images, weights):
    model = replace(model, network=model.network.double())
    found = explain(model, images, ScoreCAM(weights), targets="all").maps
    for image, target in product(range(4), range(5)):
        expected = score_cam_by_hand(model, images[image].double(), target, probability=weights == "probability")
        assert_close(found[image, target], expected.float(), rtol=1e-5, atol=1e-5)


def with_dead_and_doubled_channels(model):
    """The same network with a dead channel, and two that differ by a factor."""
    bn, conv = model.network.blocks[1].bn, model.network.blocks[1].conv
    bn.weight.data[2], bn.bias.data[2] = 0, -1
    for values in (conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.weight, bn.bias):
        values.data[4] = values.data[3]
    bn.weight.data[4] *= 2
    bn.bias.data[4] *= 2
    return model


def test_equal_masks_pass_once_and_change_nothing(mlp_model, images):
    model = with_dead_and_doubled_channels(mlp_model)
    model, seen = replace(model, network=model.network.double()), []
    expected = torch.stack(
        [torch.stack([score_cam_by_hand(model, image.double(), t) for t in range(5)]) for image in images]
    )
    model.network.hidden.register_forward_pre_hook(lambda _m, given: seen.append(len(given[0])))
    found = explain(model, images, "score-cam", targets="all").maps
    assert seen == [4, *[5] * 4]
    assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)


def test_all_classes_share_the_masks(model, images):
    seen = []
    model.network.register_forward_hook(lambda _m, _i, output: seen.append(len(output)))
    explain(model, images, "score-cam", targets="all")
    every = sum(seen)
    explain(model, images, "score-cam", targets=0)
    assert sum(seen) == 2 * every


def test_chunked_equals_whole(model, images, monkeypatch):
    whole = explain(model, images, "score-cam", targets="all").maps
    monkeypatch.setattr(budget, "MOST", 2)
    assert_close(explain(model, images, "score-cam", targets="all").maps, whole)


def test_masks_reach_from_zero_to_one(features):
    masks = masks_of(features[0], (9, 7))
    assert masks.shape == (3, 9, 7)
    assert_close(masks.amin(dim=(1, 2)), torch.zeros(3, dtype=torch.float64))
    assert_close(masks.amax(dim=(1, 2)), torch.ones(3, dtype=torch.float64))
    assert not masks_of(features[1], (9, 7))[2].any()
    assert_close(scaled(features * 3 - 1), scaled(features))


def test_softmax_weights_are_those_of_a_mean(features):
    maps = score_cam(features, torch.zeros(2, 1, 3, dtype=torch.float64), "softmax")
    assert_close(maps[:, 0], features.mean(dim=1))


@pytest.mark.filterwarnings("ignore")
def test_equals_pytorch_grad_cam_where_nothing_is_resized(tiny_model, images, raw_pytorch_grad_cam):
    """It resizes with corners aligned, and torchcam scales before it resizes; the paper's program does neither."""
    model = replace(tiny_model, card=replace(tiny_model.card, cam_layer="features.relu"))
    maps = explain(model, images, "score-cam", targets="all").maps
    for target in range(5):
        assert_close(maps[:, target], raw_pytorch_grad_cam("ScoreCAM", model, images, target), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_equals_torchcam_where_nothing_is_resized(tiny_model, images, raw_torchcam):
    model = replace(tiny_model, card=replace(tiny_model.card, cam_layer="features.relu"))
    maps = explain(model, images, "score-cam", targets=2).maps[:, 0]
    assert_close(maps.relu(), raw_torchcam("ScoreCAM", model, images, 2).relu(), rtol=1e-4, atol=1e-5)


def test_options_that_make_no_sense():
    with pytest.raises(ConfigError, match="not by 'max'"):
        ScoreCAM("max")


def test_probabilities_are_those_of_a_softmax_only(tiny_model, images):
    model = replace(tiny_model, card=replace(tiny_model.card, output="sigmoid"))
    with pytest.raises(ConfigError, match="output is sigmoid; use weights=softmax"):
        explain(model, images, ScoreCAM("probability"))
    assert explain(model, images, "score-cam").maps.isfinite().all()
