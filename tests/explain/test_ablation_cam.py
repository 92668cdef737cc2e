"""Ablation-CAM: one channel at a time by hand, closed form against passes, pytorch-grad-cam, and what it costs."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import shared_pass
from inspect_fer.errors import ConfigError
from inspect_fer.explain import AblationCAM, budget, explain
from inspect_fer.explain.ablation_cam import ablation_cam, falls_by_passes, falls_of_a_linear_head

EVERY = torch.arange(5).expand(4, 5)


def weights_by_hand(model, image, target):
    """doi:10.1109/WACV45572.2020.9093360: (y - y_k) / y, the network run once for each channel k that is set to 0."""
    network, layer = model.network, model.network.get_submodule(model.card.cam_layer)
    score, weights = network(image[None])[0, target], []
    with torch.no_grad():
        channels = len(shared_pass(network, model.card.cam_layer, image[None], EVERY[:1]).features[0])
        for k in range(channels):

            def silence(_module, _inputs, output, k=k):
                output = output.clone()
                output[:, k] = 0
                return output

            handle = layer.register_forward_hook(silence)
            weights.append((score - network(image[None])[0, target]) / score)
            handle.remove()
    return torch.stack(weights).detach()


def test_matches_the_paper_channel_by_channel(model, images):
    model = replace(model, network=model.network.double())
    found = explain(model, images, "ablation-cam", targets="all").maps
    for image, target in product(range(4), range(5)):
        weights = weights_by_hand(model, images[image].double(), target)
        features = shared_pass(model.network, model.card.cam_layer, images[image : image + 1], EVERY[:1]).features[0]
        expected = sum(weights[k] * features[k] for k in range(6))
        assert_close(found[image, target], expected.float(), rtol=1e-5, atol=1e-5)


class Around(nn.Module):
    """What lies behind `conv` sees the image as well."""

    def __init__(self):
        super().__init__()
        self.conv, self.classifier = nn.Conv2d(1, 6, 4, stride=4), nn.Linear(6 * 9 + 144, 5)

    def forward(self, images):
        return self.classifier(torch.cat([self.conv(images).relu().flatten(1), images.flatten(1)], dim=1))


def test_passes_start_from_each_images_own_features(tiny_model, images):
    model = replace(tiny_model, network=Around().double(), card=replace(tiny_model.card, cam_layer="conv"))
    found = explain(model, images, "ablation-cam", targets=2).maps
    for image, maps in zip(images.double(), found, strict=True):
        features = model.network.conv(image[None])[0].detach()
        expected = sum(w * a for w, a in zip(weights_by_hand(model, image, 2), features, strict=True))
        assert_close(maps[0], expected.float(), rtol=1e-5, atol=1e-5)


def test_the_closed_form_equals_passes(tiny_model, images):
    shared = shared_pass(tiny_model.network.double(), "features", images.double(), EVERY)
    assert shared.head is not None
    closed = falls_of_a_linear_head(shared.features, shared.head[0])
    assert_close(closed, falls_by_passes(shared))
    assert_close(closed.sum(dim=2), shared.logits - shared.head[1])  # all channels together leave the bias


def test_the_closed_form_costs_no_pass(tiny_model, images):
    calls = []
    tiny_model.network.features.register_forward_hook(lambda *_: calls.append(1))
    tiny_model.network.register_forward_hook(lambda *_: calls.append(2))
    explain(tiny_model, images, ["ablation-cam", "grad-cam"], targets="all")
    assert calls == [1, 2]


def test_passes_start_at_the_layer(mlp_model, images):
    """What lies before it sees single images: the trial's and one for each explained image."""
    seen, mlp_model.network.blocks[1].bn.bias.data = [], torch.full((6,), 3.0)  # no dead channel
    mlp_model.network.blocks[0].conv.register_forward_pre_hook(lambda _m, given: seen.append(len(given[0])))
    mlp_model.network.hidden.register_forward_pre_hook(lambda _m, given: seen.append(-len(given[0])))
    explain(mlp_model, images, "ablation-cam", targets="all")
    assert seen == [4, -4, 1, -3, *[1, -6] * 4]


def test_chunked_equals_whole(mlp_model, images, monkeypatch):
    whole = explain(mlp_model, images, "ablation-cam", targets="all").maps
    monkeypatch.setattr(budget, "MOST", 4)
    assert_close(explain(mlp_model, images, "ablation-cam", targets="all").maps, whole, rtol=1e-5, atol=1e-5)


def test_a_dead_channel_costs_no_pass_and_has_no_weight(mlp_model, images):
    norm, seen = mlp_model.network.blocks[1].bn, []
    norm.weight.data[2], norm.bias.data = 0, torch.tensor([3.0, 3, -1, 3, 3, 3])
    mlp_model.network.hidden.register_forward_pre_hook(lambda _m, given: seen.append(len(given[0])))
    shared = shared_pass(mlp_model.network, "blocks.1.relu", images, EVERY)
    falls = falls_by_passes(shared)
    assert seen == [4, 3, 5, 5, 5, 5]
    assert not falls[..., 2].any()
    assert falls[..., 3].any()


def test_weights_go_with_their_channels():
    features, falls = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]]), torch.tensor([[[0.5, 2.0]]])
    assert ablation_cam(features, falls).tolist() == [[[[6.5, -1.0]]]]


def test_scales(model, images):
    scales = {scale: AblationCAM(scale) for scale in ("score", "magnitude", "none")}
    found = {scale: each.maps for scale, each in explain(model, images, scales, targets="all").items()}
    logits = model.network(images).detach()[..., None, None]
    assert (logits < 0).any()
    assert_close(found["score"] * logits, found["none"], rtol=1e-4, atol=1e-5)
    assert_close(found["magnitude"], found["score"] * logits.sign())
    with pytest.raises(ConfigError, match="not by 'sum'"):
        AblationCAM("sum")


def test_a_logit_of_zero_gives_nothing(tiny_model, images):
    tiny_model.network.classifier.weight.data[1] = 0
    tiny_model.network.classifier.bias.data[1] = 0
    assert not explain(tiny_model, images, "ablation-cam", targets=1).maps.any()


@pytest.mark.filterwarnings("ignore")
def test_equals_pytorch_grad_cam_behind_a_relu(mlp_model, images, raw_pytorch_grad_cam):
    """Elsewhere it ablates with the smallest value less 1e7, not with 0."""
    maps = explain(mlp_model, images, "ablation-cam", targets="all").maps
    for target in range(5):
        expected = raw_pytorch_grad_cam("AblationCAM", mlp_model, images, target)
        assert_close(maps[:, target], expected, rtol=1e-3, atol=1e-4)
