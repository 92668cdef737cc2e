"""Passes from the middle of a network, and passes whose graph goes back to the input."""

import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import logits_of, shared_pass, tail, whole_pass
from inspect_fer.errors import NetworkError

EVERY = torch.arange(5).expand(4, 5)


def behind_by_hand(network, images, features):
    """Logits of TinyNetwork and MLPNetwork behind the layer that CAM methods read."""
    if hasattr(network, "features"):
        return network.classifier(network.pool(features).flatten(1)).detach()
    rest = network.blocks[1][3:](features).flatten(1)
    return network.classifier(torch.relu(network.hidden(rest))).detach()


@pytest.mark.parametrize("kind", ["tiny", "mlp"])
@pytest.mark.parametrize("copies", [False, True])
def test_tail_runs_what_lies_behind_the_layer(make_model, images, generator, kind, copies):
    model, seen = make_model(kind), []
    features = torch.randn(7, *shared_pass(model.network, model.card.cam_layer, images, EVERY).features.shape[1:])
    expected = behind_by_hand(model.network, images, features.clone())
    given = features.clone()
    model.network.register_forward_pre_hook(lambda _m, inputs: seen.append(len(inputs[0])))
    found = tail(model.network.train(), model.card.cam_layer, images[:1], given, copies=copies)
    assert_close(found, expected)
    assert not found.requires_grad
    assert seen == [7 if copies else 1]
    assert_close(given, features, rtol=0, atol=0)
    assert model.network.training
    assert len(model.network.get_submodule(model.card.cam_layer)._forward_hooks) == 0


class Joining(nn.Module):
    """Two paths that meet again behind `deep`: as a sum, side by side, or by the rows of the input."""

    def __init__(self, manner):
        super().__init__()
        self.early, self.deep, self.manner = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), manner
        self.head = nn.Linear(8 if manner == "side by side" else 4, 5)

    def forward(self, images):
        early = torch.relu(self.early(images))
        deep = self.deep(early).tanh()
        if self.manner == "rows of the input":
            return self.head(deep.reshape(len(images), 4, -1).mean(dim=2))
        if self.manner == "mixed":
            deep = deep - deep.mean(dim=0)
        joined = torch.cat([early, deep], dim=1) if self.manner == "side by side" else early + deep
        return self.head(joined.mean(dim=(2, 3)))


@pytest.mark.parametrize(("manner", "rows"), [("sum", 1), ("side by side", 3), ("rows of the input", 3)])
def test_paths_that_meet_again_are_copied_only_where_they_must(images, manner, rows):
    network, seen = Joining(manner).eval(), []
    shared = shared_pass(network, "deep", images, EVERY)
    _ = shared.behind
    network.register_forward_pre_hook(lambda _m, inputs: seen.append(len(inputs[0])))
    found = shared.behind(2, torch.stack([shared.features[2], shared.features[1], shared.features[2] * 0]))
    assert seen == [rows]
    assert_close(found[0], shared.logits[2])
    assert not torch.allclose(found[1], shared.logits[1] if manner != "rows of the input" else shared.logits[2])
    assert not torch.allclose(found[2], shared.logits[2])


def test_a_tail_that_mixes_rows_is_an_error(images):
    shared = shared_pass(Joining("mixed").eval(), "deep", images[:1], EVERY[:1])
    with pytest.raises(NetworkError, match="behind layer 'deep' cannot be run"):
        _ = shared.behind
    with pytest.raises(NetworkError, match="3 images gave 1 x 5"):
        tail(Joining("rows of the input"), "deep", images[:1], shared.features.repeat(3, 1, 1, 1)[:, :, :4])


def test_gradients_of_any_weighted_sum_of_logits(tiny_model, mlp_model, images, generator):
    scores = torch.randn(4, 3, 5, generator=generator)
    for model in (tiny_model, mlp_model):
        shared = shared_pass(model.network, model.card.cam_layer, images, EVERY)
        expected = torch.einsum("nsk,nkchw->nschw", scores, shared.gradients)
        assert_close(shared.gradients_of(scores), expected)


def test_whole_pass_derives_by_input_and_layers(mlp_model, images):
    """Also behind the in-place ReLU that follows each of them, and where the weights are frozen."""
    network = mlp_model.network.requires_grad_(requires_grad=False).train()
    whole = whole_pass(network, images, lambda module: isinstance(module, nn.BatchNorm2d | nn.Linear))
    assert [type(module).__name__ for module, _ in whole.outputs] == ["BatchNorm2d"] * 2 + ["Linear"] * 2
    assert_close(whole.logits.detach(), logits_of(network.eval(), images))
    scores = torch.eye(5).expand(4, 5, 5)
    of_input, *of_outputs = whole.gradients(scores)
    leaf = images.clone().requires_grad_()
    for target in range(5):
        (expected,) = torch.autograd.grad(network(leaf)[:, target].sum(), leaf)
        assert_close(of_input[target], expected)
    for layer, found in zip(("blocks.0.bn", "blocks.1.bn"), of_outputs, strict=False):
        assert_close(found.transpose(0, 1), shared_pass(network, layer, images, EVERY).gradients)
    assert_close(of_outputs[-1], torch.eye(5)[:, None].expand(5, 4, 5))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_without_influence_has_no_gradient(images):
    class Aside(Joining):
        def forward(self, images):
            return self.head(self.early(images).mean(dim=(2, 3))) + 0 * self.deep(self.early(images)).detach().mean()

    for classes in (1, 5):
        whole = whole_pass(Aside("sum"), images, lambda module: isinstance(module, nn.Conv2d))
        gradients = whole.gradients(torch.eye(5)[:classes].expand(4, classes, 5))
        assert gradients[2].shape == (classes, 4, 4, 12, 12)
        assert not gradients[2].any()


def test_a_compiled_network_is_watched_as_it_is_written(tiny_model, images, generator):
    network, layer = tiny_model.network, tiny_model.card.cam_layer
    compiled = torch.compile(network, backend="eager")
    with torch.no_grad():
        compiled(images)  # code that knows no hooks is there from here on
    name = f"_orig_mod.{layer}"
    found, expected = shared_pass(compiled, name, images, EVERY), shared_pass(network, layer, images, EVERY)
    assert_close(found.gradients, expected.gradients)
    features = torch.rand(3, *found.features.shape[1:], generator=generator)
    assert_close(found.behind(0, features), expected.behind(0, features))


def test_a_layer_that_is_passed_by_is_told(images):
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.conv = nn.Conv2d(1, 5, 1), nn.Conv2d(1, 5, 3)

        def forward(self, given):
            return self.conv(given).mean(dim=(2, 3))

    with pytest.raises(NetworkError, match="Layer 'unused' did not run"):
        tail(Aside(), "unused", images[:1], torch.zeros(1, 5, 3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated; people have such networks
        scripted = torch.jit.trace(Aside().eval(), images)
    with pytest.raises(NetworkError, match="Layer 'conv' is a ScriptModule, which cannot be watched"):
        shared_pass(scripted, "conv", images, EVERY)
