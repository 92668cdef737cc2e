"""What channels contribute to classes: against loops, and against the logits that they add up to."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import shared_pass
from inspect_fer.errors import NetworkError, TargetError
from inspect_fer.internals import channel_contributions
from inspect_fer.internals.contributions import gradient_times_activation, weight_times_mean
from inspect_fer.schema import Samples


def features_and_gradients(generator):
    features = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    return features, torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)


def test_weight_times_mean_term_by_term(generator):
    features, _ = features_and_gradients(generator)
    weights = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    found = weight_times_mean(features, weights)
    for n, t, c in product(range(2), range(2), range(3)):
        mean = sum(features[n, c, y, x] for y, x in product(range(4), range(5))) / 20
        assert_close(found[n, t, c], weights[n, t, c] * mean)


def test_gradient_times_activation_term_by_term(generator):
    features, gradients = features_and_gradients(generator)
    found = gradient_times_activation(features, gradients)
    for n, t, c in product(range(2), range(2), range(3)):
        terms = (gradients[n, t, c, y, x] * features[n, c, y, x] for y, x in product(range(4), range(5)))
        assert_close(found[n, t, c], sum(terms))


def test_behind_pooling_and_one_linear_layer_they_add_up_to_the_logits(tiny_model, images):
    network = tiny_model.network
    found = channel_contributions(tiny_model, images, batch_size=3)
    assert (found.kind, found.layer) == ("exact", "features")
    assert_close(found.rest, network.classifier.bias.detach().expand(4, 5))
    assert_close(found.values.sum(dim=2) + found.rest, network(images).detach())


def test_both_kinds_coincide_behind_pooling_and_one_linear_layer(tiny_model, images):
    shared = shared_pass(tiny_model.network, "features", images, torch.arange(5).expand(4, 5))
    assert shared.head is not None
    exact = channel_contributions(tiny_model, images).values
    assert_close(gradient_times_activation(shared.features, replace(shared, head=None).gradients), exact)


def test_elsewhere_the_rest_is_what_they_leave_of_the_logit(mlp_model, images):
    found = channel_contributions(mlp_model, images)
    assert found.kind == "gradient"
    assert_close(found.values.sum(dim=2) + found.rest, mlp_model.network(images).detach())
    bias = mlp_model.network.classifier.bias.detach()
    assert not torch.allclose(found.rest, bias.expand(4, 5), atol=1e-3), "ReLU and bias take part"


def test_a_network_that_is_linear_behind_the_layer_leaves_its_bias(mlp_model, images):
    """There gradient x activation is exact as well, without any pooling."""
    network = mlp_model.network
    torch.nn.init.constant_(network.hidden.bias, 50.0)  # its ReLU lets everything pass
    found = channel_contributions(mlp_model, images, "blocks.1.dropout")
    assert found.kind == "gradient"
    constant = (network.classifier.weight @ network.hidden.bias + network.classifier.bias).detach()
    assert_close(found.rest, constant.expand(4, 5), rtol=1e-4, atol=1e-4)


class SometimesLinear(nn.Module):
    """Squares what pooling and one linear layer give, for bright pictures only."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        logits = self.network(images)
        return logits.where(images.mean((1, 2, 3))[:, None] < 3, logits**2)


def test_it_is_exact_only_if_it_is_so_for_every_batch(tiny_model, images):
    model = replace(tiny_model, network=SometimesLinear(tiny_model.network))
    both = torch.cat([images, images + 5])
    found = channel_contributions(model, both, "network.features", batch_size=4)
    assert found.kind == "gradient"
    assert channel_contributions(model, images, "network.features").kind == "exact"
    assert_close(found.values.sum(dim=2) + found.rest, model.network(both).detach(), rtol=1e-4, atol=1e-4)


def test_targets_choose_the_classes(mlp_model, images):
    every = channel_contributions(mlp_model, images)
    ids = torch.tensor([[4, 0], [1, 1], [2, 3], [0, 4]])
    some = channel_contributions(mlp_model, images, targets=ids)
    assert_close(some.values, every.values[torch.arange(4)[:, None], ids])
    assert_close(some.rest, every.rest.gather(1, ids))
    assert some.targets.tolist() == ids.tolist()


def test_targets_are_named_as_for_explanations(mlp_model, images):
    every = channel_contributions(mlp_model, images)
    answers = mlp_model.network(images).argmax(dim=1).tolist()
    labels = [2, 0, 4, 1]
    faces = Samples(tuple("abcd"), torch.zeros(4, 1, 12, 12).byte(), torch.tensor(labels), mlp_model.card.class_names)
    names = mlp_model.card.class_names
    asked = [("predicted", answers), (3, [3] * 4), ([1, 0, 2, 4], [1, 0, 2, 4])]
    asked += [(names[3], [3] * 4), ("Happy", [2] * 4), ([names[1], 0, "happy", names[4]], [1, 0, 2, 4])]
    for given, chosen in asked:
        found = channel_contributions(mlp_model, images, targets=given, batch_size=3)
        assert found.targets.tolist() == [[target] for target in chosen]
        assert_close(found.values[:, 0], every.values[torch.arange(4), chosen])
    assert channel_contributions(mlp_model, faces, targets="label").targets[:, 0].tolist() == labels


def test_no_trace_under_inference_mode_and_with_frozen_weights(mlp_model, images):
    network = mlp_model.network.requires_grad_(requires_grad=False).train()
    expected = channel_contributions(mlp_model, images).values
    with torch.inference_mode():
        assert_close(channel_contributions(mlp_model, images).values, expected)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ("predict", "Did you mean 'predicted'"),
        ("label", "4 of 4 images have no label"),
        (7, "no class 7: the 5 classes are 0 to 4"),
        (0.5, "broken numbers .torch.float32"),
        (True, "torch.bool"),
        (False, "torch.bool"),
        ("happines", "Did you mean 'happiness'"),
        (None, "not None"),
        ([0, None, 1, 2], "Targets are classes, .* not .0, None, 1, 2."),
        ([0, "a", 1, 2], "No class is called 'a'.*Choose from: anger"),
        (torch.tensor([0, 1, 2]), "4 targets, or as many rows of them, not 3"),
        (torch.zeros(3, 1, dtype=torch.int64), "as many rows of them, not 3 x 1"),
        (torch.zeros(4, 1), "float32"),
        (torch.full((4, 1), 5), "no class 5: the 5 classes are 0 to 4"),
        (torch.full((4, 1), -1), "no class -1: the 5 classes are 0 to 4"),
    ],
)
def test_impossible_targets_are_an_error(mlp_model, images, targets, words):
    with pytest.raises(TargetError, match=words):
        channel_contributions(mlp_model, images, targets=targets)


def test_a_network_without_a_layer_to_read_is_an_error(mlp_model, images):
    bare = replace(mlp_model, card=replace(mlp_model.card, cam_layer=""))
    with pytest.raises(NetworkError, match="give one as layer="):
        channel_contributions(bare, images)
    with pytest.raises(NetworkError, match="not maps"):
        channel_contributions(bare, images, "hidden")
