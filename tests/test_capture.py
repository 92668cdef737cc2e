"""Capture: what layers gave, the shared pass, and that no trace is left."""

import gc
import random
import weakref
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import (
    activations,
    find_cam_layer,
    layer_shapes,
    leave_no_trace,
    logits_of,
    shared_pass,
    shared_passes,
)
from inspect_fer.errors import NetworkError, UnknownNameError

EVERY = torch.arange(5).expand(4, 5)


def gradients_by_hand(network, layer, images, targets):
    """Gradient of each target's logit by the layer's output, one image and one class at a time, in double precision."""
    network, found = network.double(), []
    module = network.get_submodule(layer)
    for image, row in zip(images.double(), targets, strict=True):
        kept = []
        handle = module.register_forward_hook(lambda _m, _i, output, kept=kept: kept.append(output) or output.clone())
        logits = network(image[None])
        found.append(torch.stack([torch.autograd.grad(logits[0, t], kept[0], retain_graph=True)[0][0] for t in row]))
        handle.remove()
    return torch.stack(found)


@pytest.mark.parametrize("kind", ["tiny", "mlp"])
@pytest.mark.parametrize("targets", [EVERY, EVERY[:, :1], EVERY.flip(1)[:, :2]])
def test_gradients_match_the_slow_ones(make_model, images, kind, targets):
    model = make_model(kind)
    shared = shared_pass(model.network, model.card.cam_layer, images, targets)
    assert shared.gradients.shape == (4, targets.shape[1], *shared.features.shape[1:])
    expected = gradients_by_hand(model.network, model.card.cam_layer, images, targets)
    assert_close(shared.gradients, expected.float())


@pytest.mark.parametrize("layer", ["features", "features.conv", "features.bn", "features.relu", "features.block.conv2"])
def test_any_layer_can_be_cut(tiny_model, images, layer):
    shared = shared_pass(tiny_model.network, layer, images, EVERY)
    assert_close(shared.gradients, gradients_by_hand(tiny_model.network, layer, images, EVERY).float())


def test_closed_form_equals_the_product(tiny_model, images):
    shared = shared_pass(tiny_model.network, "features", images, EVERY)
    leaf, logits = shared.graph.maps["features"], shared.graph.logits
    for target in range(5):
        (expected,) = torch.autograd.grad(logits[:, target].sum(), leaf, retain_graph=True)
        assert_close(shared.gradients[:, target], expected)


def test_head_is_found_only_where_there_is_one(tiny_model, mlp_model, images):
    weight, bias = shared_pass(tiny_model.network, "features", images, EVERY).head
    assert_close(weight, tiny_model.network.classifier.weight.detach())
    assert_close(bias, tiny_model.network.classifier.bias.detach())
    assert shared_pass(tiny_model.network, "features.relu", images, EVERY).head is None
    assert shared_pass(mlp_model.network, "blocks.1.relu", images, EVERY).head is None


def test_a_1x1_convolution_before_pooling_is_a_linear_head(images):
    network = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    shared = shared_pass(network, "0", images, EVERY)
    assert_close(shared.gradients, gradients_by_hand(network, "0", images, EVERY).float())
    assert shared.head is not None


def test_one_class_and_one_channel_have_a_head_too(images):
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
    shared = shared_pass(network, "0", images, EVERY[:, :1])
    assert shared.head is not None
    assert_close(shared.gradients, gradients_by_hand(network, "0", images, EVERY[:, :1]).float())


@pytest.mark.parametrize(("pool", "found"), [(nn.AdaptiveAvgPool2d(1), True), (nn.AdaptiveMaxPool2d(1), False)])
def test_an_image_without_a_picture_does_not_tell_a_maximum_from_a_mean(images, pool, found):
    network = nn.Sequential(nn.Conv2d(1, 8, 1), pool, nn.Flatten(), nn.Linear(8, 7)).eval()
    images[0] = 0.5
    both, alone = (shared_pass(network, "0", some, EVERY[: len(some), :5]) for some in (images, images[:1]))
    assert [shared.head is not None for shared in (both, alone)] == [found, found]
    assert_close(alone.gradients.sum(dim=(3, 4)), both.gradients[:1].sum(dim=(3, 4)))


@pytest.mark.parametrize("further", [nn.ReLU(), nn.Hardtanh(0, 1e6)])
def test_a_further_relu_that_changes_no_value_is_no_mean(images, further):
    """Where it is given 0 its gradient is 0."""
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), further, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.append(nn.Linear(8, 5)).eval()
    shared = shared_pass(network, "1", images, EVERY)
    assert shared.head is None
    assert_close(shared.gradients, gradients_by_hand(network, "1", images, EVERY).float())


def test_a_large_bias_does_not_make_a_maximum_a_mean(images):
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    with torch.no_grad():
        network[3].bias += 1e6
    assert shared_pass(network, "0", images, EVERY).head is None


@pytest.mark.parametrize(("pool", "found"), [(nn.AdaptiveAvgPool2d(1), True), (nn.AdaptiveMaxPool2d(1), False)])
def test_a_head_that_runs_without_gradients_is_found_by_other_features(images, pool, found):
    class Detached(nn.Module):
        def forward(self, maps):
            return maps.detach()

    network = nn.Sequential(nn.Conv2d(1, 8, 3), Detached(), pool, nn.Flatten(), nn.Linear(8, 5)).eval()
    shared = shared_pass(network, "0", images, EVERY)
    assert (shared.head is not None) == found


def test_what_a_gradient_needs_may_be_gone(images):
    class Overwriting(nn.Module):
        def forward(self, maps):
            return maps.sigmoid().mul_(2)

    network = nn.Sequential(nn.Conv2d(1, 5, 3), Overwriting(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    shared = shared_pass(network, "0", images, EVERY)
    with pytest.raises(NetworkError, match="modified by an inplace operation.*without, such as occlusion") as told:
        _ = shared.gradients
    assert "\n" not in str(told.value)


def test_targets_may_follow_from_the_logits(mlp_model, images):
    shared = shared_pass(mlp_model.network, "blocks.1.relu", images, lambda logits: logits.argmax(1, keepdim=True))
    assert_close(shared.targets, mlp_model.network(images).argmax(1, keepdim=True))
    assert_close(shared.logits, mlp_model.network(images).detach())


def leaves(node):
    """The tensors from which a graph starts."""
    found = [node.variable] if hasattr(node, "variable") else []
    return found + [leaf for before, _ in node.next_functions if before for leaf in leaves(before)]


@pytest.mark.parametrize("layer", ["blocks.0.relu", "blocks.1.relu"])
def test_the_graph_starts_at_the_cut(mlp_model, images, layer):
    graph = shared_pass(mlp_model.network, layer, images, EVERY).graph
    assert {id(start) for start in leaves(graph.logits.grad_fn)} == {id(graph.maps[layer])}


BOTH = ["blocks.1.relu", "blocks.0.relu"]


def test_several_layers_come_from_one_pass_cut_at_the_first_that_runs(mlp_model, images):
    runs = []
    mlp_model.network.hidden.register_forward_hook(lambda *_: runs.append(1))
    passes = shared_passes(mlp_model.network, BOTH, images, EVERY)
    assert runs == [1]
    graph = passes["blocks.0.relu"].graph
    assert {id(start) for start in leaves(graph.logits.grad_fn)} == {id(graph.maps["blocks.0.relu"])}
    for layer, found in passes.items():
        alone = shared_pass(mlp_model.network, layer, images, EVERY)
        assert found.layer == layer
        assert_close(found.features, alone.features)
        assert_close(found.gradients, alone.gradients)
        assert_close(found.gradients_of(torch.ones(4, 2, 5)), alone.gradients_of(torch.ones(4, 2, 5)))


def test_several_layers_take_one_product(mlp_model, images, monkeypatch):
    passes, calls, grad = shared_passes(mlp_model.network, BOTH, images, EVERY), [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *given, **how: calls.append(1) or grad(*given, **how))
    assert [found.gradients.shape[:2] for found in passes.values()] == [(4, 5), (4, 5)]
    assert calls == [1]


class Branches(nn.Module):
    """Two branches that do not follow from one another."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.head = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3), nn.Linear(6, 5)

    def forward(self, images):
        both = torch.cat([self.left(images).relu_(), self.right(images).tanh_()], 1)
        return self.head(both.square().mean(dim=(2, 3)))


def test_layers_side_by_side_are_both_read(images):
    network = Branches().eval()
    passes = shared_passes(network, ["left", "right"], images, EVERY)
    for layer, found in passes.items():
        assert_close(found.gradients, shared_pass(network, layer, images, EVERY).gradients)
        assert_close(found.features, network.get_submodule(layer)(images).detach())


def test_all_classes_come_from_one_product(mlp_model, images, monkeypatch):
    shared, calls, grad = shared_pass(mlp_model.network, "blocks.1.relu", images, EVERY), [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *given, **how: calls.append(1) or grad(*given, **how))
    assert shared.gradients is shared.gradients
    assert calls == [1]


def test_cam_costs_no_gradient(mlp_model, images):
    assert "gradients" not in vars(shared_pass(mlp_model.network, "blocks.1.relu", images, EVERY))


class WithoutBatchingRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.exp()

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        if torch._C._functorch.is_legacy_batchedtensor(gradient):
            raise RuntimeError("Batching rule not implemented")
        return gradient * values.exp()


class Odd(nn.Module):
    """Pooled maps through an operation without a batching rule."""

    def forward(self, maps):
        return WithoutBatchingRule.apply(maps.amax(dim=(2, 3)))


def test_an_operation_without_batching_rule_goes_one_by_one(images):
    network = nn.Sequential(nn.Conv2d(1, 5, 3), Odd())
    shared = shared_pass(network, "0", images, EVERY)
    assert_close(shared.gradients, gradients_by_hand(network, "0", images, EVERY).float())


class FrozenBackbone(nn.Module):
    """Runs its features without gradients, as people do who train the head only."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        with torch.no_grad():
            pooled = self.inner.pool(self.inner.features(images))
        return self.inner.classifier(pooled.flatten(1)).sigmoid()


def test_a_backbone_that_runs_without_gradients_is_explained(tiny_model, images):
    shared = shared_pass(FrozenBackbone(tiny_model.network), "inner.features", images, EVERY)
    plain = shared_pass(tiny_model.network, "features", images, EVERY)
    slope = (plain.logits.sigmoid() * (1 - plain.logits.sigmoid()))[..., None, None, None]
    assert_close(shared.gradients, plain.gradients * slope)


def test_logits_without_a_way_back_are_an_error(images):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 5, 3)

        def forward(self, images):
            return self.conv(images).detach().mean(dim=(2, 3)) ** 2

    shared = shared_pass(Broken(), "conv", images, EVERY)
    with pytest.raises(NetworkError, match="No gradient leads"):
        _ = shared.gradients


class Unusual(nn.Module):
    """Layers that cannot be read: one not run, one run twice, one that gives a pair, one that gives no map."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.unused, self.flat = nn.Conv2d(1, 5, 3), nn.ReLU(), nn.ReLU(), nn.Flatten()
        self.pair = nn.LSTM(10, 5, batch_first=True)

    def forward(self, images):
        maps = self.relu(self.relu(self.conv(images)))
        self.flat(maps)
        return self.pair(maps.mean(dim=1))[0].mean(dim=1)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [("unused", "did not run"), ("relu", "runs 2 times"), ("pair", "gave a tuple"), ("flat", "not maps")],
)
def test_layers_that_cannot_be_read_are_named(images, layer, reason):
    with pytest.raises(NetworkError, match=reason) as problem:
        shared_pass(Unusual(), layer, images, EVERY)
    assert layer in str(problem.value)
    assert "\n" not in str(problem.value)


def test_an_unknown_layer_names_the_nearest(tiny_model, images):
    with pytest.raises(UnknownNameError, match=r"Did you mean 'features\.conv'"):
        shared_pass(tiny_model.network, "features.cov", images, EVERY)
    with pytest.raises(UnknownNameError):
        shared_pass(tiny_model.network, "", images, EVERY)


def test_logits_must_be_rows(images):
    with pytest.raises(NetworkError, match="gave 4 x 5 x 10 x 10"):
        logits_of(nn.Conv2d(1, 5, 3), images)
    with pytest.raises(NetworkError, match="gave tuple"):
        logits_of(nn.LSTM(12, 5), images[:, 0])


def test_data_parallel_is_told_what_to_give_instead(tiny_model, images):
    parallel = nn.DataParallel(tiny_model.network)
    with pytest.raises(NetworkError, match="inside a DataParallel; give the network inside it"):
        shared_pass(parallel, "module.features", images, EVERY)
    with torch.no_grad():
        assert logits_of(parallel, images).shape == (4, 5)


def test_network_may_write_into_its_input(images):
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = images.clone()
    shared_pass(network, "1", images, EVERY)
    assert_close(images, before, rtol=0, atol=0)


def test_leave_no_trace_restores_mixed_modes_and_random_state(tiny_model):
    network = tiny_model.network
    network.train()
    network.features.bn.eval()
    flags = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    random.seed(1)
    np.random.seed(1)
    expected = random.Random(1).random(), np.random.RandomState(1).rand()

    def fail_inside():
        with torch.inference_mode(), leave_no_trace(network):
            assert not any(module.training for module in network.modules())
            assert not torch.is_inference_mode_enabled()
            torch.rand(3), np.random.rand(), random.random()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert [module.training for module in network.modules()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    assert (random.random(), np.random.rand()) == expected


def test_autocast_around_a_pass_rounds_nothing(tiny_model, images):
    expected = shared_pass(tiny_model.network, "features", images, EVERY)
    with torch.autocast("cpu", torch.bfloat16):
        found = shared_pass(tiny_model.network, "features", images, EVERY)
    assert torch.equal(found.logits, expected.logits)


def test_threads_take_turns(tiny_model, mlp_model, images):
    """One would see the other's hooks on a network that they share, and its random state on any."""
    found = {}

    def work(name, model):
        layer = model.card.cam_layer
        for _ in range(20):
            found.setdefault(name, []).append(shared_pass(model.network, layer, images, EVERY).gradients)
        with leave_no_trace(model.network):
            torch.manual_seed(0)
            found[name].append(torch.stack([torch.randn(()) for _ in range(200)]))

    models = {"one": mlp_model, "other": mlp_model, "third": tiny_model}
    threads = [Thread(target=work, args=item) for item in models.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.manual_seed(0)
    drawn = torch.stack([torch.randn(()) for _ in range(200)])
    for name, model in models.items():
        expected = shared_pass(model.network, model.card.cam_layer, images, EVERY).gradients
        assert len(found[name]) == 21
        for gradients in found[name][:-1]:
            assert_close(gradients, expected)
        assert torch.equal(found[name][-1], drawn)


def test_a_pass_frees_its_graph(mlp_model, images):
    shared = shared_pass(mlp_model.network, "blocks.1.relu", images, EVERY)
    watched = weakref.ref(shared.gradients), weakref.ref(shared.graph.maps["blocks.1.relu"])
    del shared
    gc.collect()
    assert [reference() for reference in watched] == [None, None]


def test_layer_shapes_in_order_of_completion(tiny_model, mlp_model, images):
    shapes = layer_shapes(tiny_model.network, images)
    assert list(shapes)[:4] == ["features.conv", "features.bn", "features.relu", "features.pool"]
    assert list(shapes)[-4:] == ["features.block", "features", "pool", "classifier"]
    assert shapes["features"] == (4, 6, 6, 6)
    assert shapes["classifier"] == (4, 5)
    assert list(layer_shapes(Unusual(), images)) == ["conv", "relu", "flat"]


def test_cam_layer_of_small_networks(tiny_model, mlp_model, images):
    assert find_cam_layer(tiny_model.network, images) == "features"
    assert find_cam_layer(mlp_model.network, images) == "blocks.1.relu"
    assert find_cam_layer(Unusual(), images) == "conv"
    assert find_cam_layer(nn.Sequential(nn.Flatten(), nn.Linear(144, 5)), images) == ""


def sequence(*modules):
    return nn.Sequential(nn.Conv2d(1, 5, 3), *modules, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (sequence(), "0"),
        (sequence(nn.Identity(), nn.Dropout2d()), "0"),
        (sequence(nn.ReLU()), "1"),
        (sequence(nn.Sequential(nn.ReLU())), "1"),
        (sequence(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Dropout())), "1.0"),
        (sequence(nn.MaxPool2d(2), nn.ReLU(inplace=True)), "2"),
        (sequence(nn.AdaptiveAvgPool2d(1), nn.Conv2d(5, 5, 1), nn.ReLU()), "0"),
    ],
)
def test_cam_layer_is_the_last_map_before_pooling(network, layer, images):
    assert find_cam_layer(network, images) == layer


def test_cam_layer_of_torchvision_networks():
    torchvision = pytest.importorskip("torchvision")
    picture = torch.zeros(1, 3, 64, 64)
    found = {
        name: find_cam_layer(getattr(torchvision.models, name)(num_classes=5), picture)
        for name in ("resnet18", "mobilenet_v3_small", "squeezenet1_1")
    }
    assert found == {
        "resnet18": "layer4",
        "mobilenet_v3_small": "features",
        "squeezenet1_1": "classifier.2",
    }


def test_activations_are_copies(mlp_model, images):
    found = activations(mlp_model.network, ["blocks.0.conv", "hidden"], images)
    assert_close(found["blocks.0.conv"], mlp_model.network.blocks[0].conv(images).detach())
    assert found["hidden"].shape == (4, 8)
    assert not any(output.requires_grad for output in found.values())
    with pytest.raises(NetworkError, match="did not run"):
        activations(Unusual(), ["unused"], images)
    with pytest.raises(NetworkError, match="gave a tuple"):
        activations(Unusual(), ["pair"], images)
