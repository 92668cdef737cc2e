"""FullGrad against its authors' definition written out, its completeness, and what it needs of a network.

pytorch-grad-cam is no reference: it scales every channel by itself, the authors every layer.
"""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.errors import NetworkError
from inspect_fer.explain import FullGrad, budget, explain
from inspect_fer.explain.full_grad import bias_of, full_grad, full_gradients

EVERY = torch.arange(5).expand(4, 5)


def full_grad_by_hand(network, image, target):
    """arXiv:1905.00780 for one image and class: each bias becomes a map of its own, by which the logit is derived."""
    leaf, added = image.clone().requires_grad_(), []

    def bias(module, _inputs, output):
        if isinstance(module, nn.BatchNorm2d):
            scale = module.weight / (module.running_var + module.eps) ** 0.5
            own = module.bias - module.running_mean * scale
        elif module.bias is None:
            return output
        else:
            own = module.bias
        spread = own.detach().view(1, -1, *[1] * (output.ndim - 2)).expand_as(output).clone().requires_grad_()
        added.append(spread)
        return output - spread.detach() + spread

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    handles = [module.register_forward_hook(bias) for module in network.modules() if isinstance(module, kinds)]
    logit = network(leaf[None])[0, target]
    for handle in handles:
        handle.remove()
    terms = [each.detach() * torch.autograd.grad(logit, each, retain_graph=True)[0] for each in (leaf, *added)]
    complete = sum(term.sum() for term in terms)
    total = torch.zeros(image.shape[1:], dtype=image.dtype)
    for term in (terms[0][None], *(term for term in terms[1:] if term.ndim == 4)):
        size = term.abs()
        size = (size - size.min()) / (size.max() - size.min())
        for channel in size[0]:
            total += F.interpolate(channel[None, None], image.shape[1:], mode="bilinear", align_corners=True)[0, 0]
    return total, complete, logit.detach()


def test_matches_the_authors_definition(model, images):
    network = model.network.double()
    found = explain(model, images, "full-grad", targets="all").maps
    assert found.shape == (4, 5, 12, 12)
    for image, target in product(range(4), range(5)):
        expected, complete, logit = full_grad_by_hand(network, images[image].double(), target)
        assert_close(found[image, target], expected.float())
        assert_close(complete, logit)


def test_input_and_biases_add_up_to_the_logit(model, images):
    """Proposition 1: complete on networks that are linear piece by piece."""
    network = model.network.double()
    inward, of_biases = full_gradients(network, images.double(), EVERY)
    total = inward.flatten(2).sum(dim=2) + sum(layer.flatten(2).sum(dim=2) for layer in of_biases)
    assert_close(total, network(images.double()).detach())


def test_a_layer_is_scaled_as_a_whole():
    inward, layer = torch.zeros(1, 1, 1, 2, 2), torch.tensor([[[[[0.0, -4.0]], [[1.0, 2.0]]]]])
    expected = torch.tensor([[0.25, 1.5], [0.25, 1.5]])
    assert_close(full_grad(inward, [layer])[0, 0], expected)


def test_linear_layers_and_even_ones_add_nothing(generator):
    inward = torch.rand(1, 2, 1, 3, 3, generator=generator)
    plain = full_grad(inward, [])
    assert_close(full_grad(inward, [torch.ones(1, 2, 5), torch.ones(1, 2, 4, 2, 2)]), plain)


def test_small_gradients_count_as_large_ones(generator):
    inward, layer = (torch.randn(1, 1, 2, 4, 4, generator=generator) for _ in range(2))
    assert_close(full_grad(inward * 1e-9, [layer * 1e-9]), full_grad(inward, [layer]))


def test_chunked_equals_whole(model, images, monkeypatch):
    whole = explain(model, images, "full-grad", targets="all").maps
    monkeypatch.setattr(budget, "MOST", 10)
    assert_close(explain(model, images, "full-grad", targets="all").maps, whole)


def test_batch_norms_are_layers_of_their_own(mlp_model, images):
    """The faster twin folds them into convolutions, which would change what is scaled together."""
    assert len(full_gradients(mlp_model.network, images, EVERY)[1]) == 6
    direct = FullGrad()(mlp_model, images, EVERY)
    assert_close(explain(mlp_model, images, "full-grad", targets="all").maps, direct)


def test_what_a_batch_norm_adds(generator):
    norm = nn.BatchNorm2d(3, affine=False)
    norm.running_mean.uniform_(-1, 1, generator=generator)
    norm.running_var.uniform_(0.5, 2, generator=generator)
    assert_close(bias_of(norm), norm.eval()(torch.zeros(1, 3, 1, 1)).flatten())
    assert bias_of(nn.Conv2d(1, 1, 1, bias=False)) is None
    assert bias_of(nn.ReLU()) is None


def test_networks_it_cannot_explain(tiny_model, images):
    tiny_model.network.features.bn = nn.BatchNorm2d(6, track_running_stats=False)
    with pytest.raises(NetworkError, match="running statistics"):
        explain(tiny_model, images, "full-grad")
    tiny_model.network.features = nn.Sequential(nn.Conv2d(1, 6, 3), Cut())
    with pytest.raises(NetworkError, match="No gradient"):
        explain(tiny_model, images, "full-grad")


class Cut(nn.Module):
    def forward(self, maps):
        return maps.detach()


class Unusual(nn.Module):
    """Linear layers on places and on tokens, their channels last; a transposed convolution; a norm of vectors."""

    def __init__(self):
        super().__init__()
        self.spread, self.places = nn.ConvTranspose2d(1, 3, 2, stride=2), nn.Linear(3, 4)
        self.tokens, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 5)

    def forward(self, images):
        maps = self.places(self.spread(images).movedim(1, -1).relu()).relu()
        return self.last(self.norm(self.tokens(maps.flatten(1, 2)).relu().mean(dim=1)))


def test_channels_that_stand_last_and_other_layers_count(make_model, images):
    network = Unusual().double().eval()
    nn.init.uniform_(network.norm.running_mean, -1, 1)
    inward, of_biases = full_gradients(network, images.double(), EVERY)
    assert [layer.shape[2:] for layer in of_biases] == [(3, 24, 24), (4, 24, 24), (6, 576), (6,), (5,)]
    total = inward.flatten(2).sum(dim=2) + sum(layer.flatten(2).sum(dim=2) for layer in of_biases)
    assert_close(total, network(images.double()).detach())


class Activated(nn.BatchNorm2d):
    """As in timm: a batch norm with its activation inside, so that its output is no sum."""

    def forward(self, maps):
        return super().forward(maps).relu() + 0  # a ReLU in place follows


def test_batch_norms_that_do_more_are_refused(tiny_model, images):
    tiny_model.network.features.bn = Activated(6).eval()
    with pytest.raises(NetworkError, match="a Activated may do more; use grad-cam"):
        explain(tiny_model, images, "full-grad")
