"""The twin: equal, faster by folding, and never out of date."""

import gc
import weakref
from collections import deque
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import activations, layer_shapes, shared_pass
from inspect_fer.predict import predict
from inspect_fer.twin import bare_copy, exact_twin, graph_of, half_twin, multiplies_half, state_of


def relative(found, expected):
    return float(((found - expected).abs().amax() / expected.abs().amax()).detach())


@pytest.mark.parametrize("kind", ["tiny", "mlp"])
def test_twin_equals_the_network_and_has_no_batch_norm(make_model, images, kind):
    network = make_model(kind).network
    twin = exact_twin(network, (), images)
    assert twin is not network
    assert relative(twin(images), network(images)) <= 1e-5
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    assert not any(weight.requires_grad for weight in twin.parameters())
    assert list(layer_shapes(twin, images)) == list(layer_shapes(network, images))


def test_the_network_itself_is_not_touched(tiny_model, images):
    network = tiny_model.network.train()
    before = deepcopy(network.state_dict())
    weights = [(id(weight), weight.data_ptr(), weight._version) for weight in network.parameters()]
    exact_twin(network, (), images)
    assert all(module.training for module in network.modules())
    assert [(id(weight), weight.data_ptr(), weight._version) for weight in network.parameters()] == weights
    for name, value in network.state_dict().items():
        assert_close(value, before[name], rtol=0, atol=0)
        assert value.is_contiguous()


def test_twin_is_kept_while_nothing_changes(tiny_model, images):
    network = tiny_model.network
    first = exact_twin(network, (), images)
    assert exact_twin(network, (), images[:1]) is first
    assert exact_twin(network, ("features",), images) is first
    network.train()
    assert exact_twin(network, (), images) is first


def step(network, images):
    network(images).sum().backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()


def replace_layer(network, images):
    network.classifier = nn.Linear(6, 5)


CHANGES = {
    "optimizer step": step,
    "in place": lambda network, _: nn.init.ones_(network.classifier.bias),
    "data": lambda network, _: network.classifier.weight.data.mul_(2),
    "one datum": lambda network, _: network.features.conv.weight.data[0, 0, 0].fill_(1),
    "order of data": lambda network, _: network.classifier.weight.data.copy_(network.classifier.weight.data.flip(1)),
    "new data": lambda network, _: setattr(network.classifier.weight, "data", torch.randn(5, 6)),
    "load_state_dict": lambda network, _: network.load_state_dict({k: v * 2 for k, v in network.state_dict().items()}),
    "running mean": lambda network, _: network.features.bn.running_mean.add_(1),
    "running mean data": lambda network, _: network.features.bn.running_mean.data.add_(1),
    "module": replace_layer,
    "setting": lambda network, _: setattr(network.features.bn, "eps", 0.5),
    "activation": lambda network, _: setattr(network.features, "relu", nn.Tanh()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen(tiny_model, images, change):
    network = tiny_model.network
    before = predict(tiny_model, images).logits
    change(network, images)
    after = predict(tiny_model, images).logits
    assert relative(after, network(images).detach()) <= 1e-5
    assert relative(after, before) > 1e-4


def swap_rows(linear):
    linear.weight.data[:] = linear.weight.data[[2, 3, 0, 1]].clone()


def swap_halves(linear):
    linear.weight.data[:, 2048:], linear.weight.data[:, :2048] = (
        linear.weight.data[:, :2048].clone(),
        linear.weight.data[:, 2048:].clone(),
    )


def change_a_bit(linear):
    linear.weight.data.view(torch.int32)[3, 4000] ^= 1


@pytest.mark.parametrize("change", [swap_rows, swap_halves, change_a_bit])
@pytest.mark.parametrize("even", [False, True], ids=["random", "all alike but one"])
def test_no_change_of_data_is_too_small_or_too_regular(generator, change, even):
    """Written through `.data`, which counts no version; sums of rounded numbers would not show it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4096, 4)).eval()
    if even:
        network[1].weight.data.fill_(1)
        network[1].weight.data[0, 5] = 2
    images = torch.randn(2, 1, 64, 64, generator=generator)
    first = exact_twin(network, (), images)
    assert exact_twin(network, (), images) is first
    change(network[1])
    second = exact_twin(network, (), images)
    assert second is not first
    assert torch.equal(second[1].weight, network[1].weight)


class Settings:
    def __init__(self):
        self.slope = 0.1


@dataclass(slots=True)
class Slotted:
    slope: float = 0.1


class Leak:
    """A setting that can be called."""

    def __init__(self):
        self.slope = 0.1

    def __call__(self, maps):
        return nn.functional.leaky_relu(maps, self.slope)

    def again(self, maps):
        return self(maps - 0.1)


class Listed(list):
    slope = 0.1


class Configured(nn.Module):
    """What it does is said in containers and objects that are changed where they are."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.words, self.off, self.object, self.array = {"slope": [0.1]}, [0], Settings(), np.ones(4, np.float32)
        self.slotted, self.queue, self.leak = Slotted(), deque([0.1]), Leak()
        self.bound, self.hidden, self.listed = Leak().again, [nn.Conv2d(4, 4, 1)], Listed()
        self.circle = [self.off]
        self.circle.append(self.circle)

    def forward(self, images):
        maps = nn.functional.leaky_relu(self.norm(self.conv(images)), self.words["slope"][0])
        maps = nn.functional.leaky_relu(maps - 0.1, self.object.slope) * torch.from_numpy(self.array).view(4, 1, 1)
        maps = self.leak(nn.functional.leaky_relu(maps - 0.1, self.slotted.slope))
        maps = nn.functional.leaky_relu(maps - 0.1, self.queue[0])
        maps = self.hidden[0](self.bound(nn.functional.leaky_relu(maps - 0.1, self.listed.slope)))
        return torch.stack([maps[:, k].mean(dim=(1, 2)) * (k not in self.off) for k in range(4)], dim=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.words["slope"].__setitem__(0, 1.0),
        lambda network: network.off.append(3),
        lambda network: setattr(network.object, "slope", 2.0),
        lambda network: network.array.fill(3),
        lambda network: setattr(network.slotted, "slope", 2.0),
        lambda network: network.queue.appendleft(2.0),
        lambda network: setattr(network.leak, "slope", 2.0),
        lambda network: setattr(network.bound.__self__, "slope", 2.0),
        lambda network: network.hidden[0].weight.data.neg_(),
        lambda network: setattr(network.listed, "slope", 2.0),
    ],
    ids=["mapping", "list", "object", "array", "slots", "queue", "callable", "method", "module in a list", "subclass"],
)
def test_settings_that_are_changed_in_their_place_are_seen(images, change):
    network = Configured().eval()
    network.norm.running_var.fill_(2)
    first = exact_twin(network, (), images)
    assert first is not network
    assert exact_twin(network, (), images) is first
    change(network)
    assert_close(exact_twin(network, (), images)(images), network(images))


class Linked:
    def __init__(self, rest):
        self.rest = rest


def chained(length):
    found = None
    for _ in range(length):
        found = Linked(found)
    return found


@pytest.mark.parametrize(
    "setting",
    [
        torch.Generator,
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
        lambda: [torch.ones(2).to_sparse(), torch.ones(2, device="meta"), torch.ones(2, dtype=torch.cfloat).conj()],
        lambda: partial(torch.add, alpha=2),
        lambda: chained(150),
        lambda: np.array([{"a": 1}, None], dtype=object),
    ],
    ids=["generator", "quantised", "unusual", "partial", "chain", "objects"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_setting_that_stays_keeps_the_twin(images, setting):
    network = Configured().eval()
    network.norm.running_var.fill_(2)
    network.setting = setting()
    assert state_of(network) == state_of(network)


def test_too_much_to_look_through_leaves_the_network_itself(images):
    network = Configured().eval()
    network.many = list(range(300_000))
    assert exact_twin(network, (), images) is network
    assert graph_of(network) is None


def test_few_twins_are_kept(images):
    """One a layer would hold as many copies of all weights."""
    blocks = [nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)) for _ in range(8)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    made = [weakref.ref(exact_twin(network, (f"{place}.0",), images)) for place in range(8)]
    gc.collect()
    assert [place for place, twin in enumerate(made) if twin()] == [5, 6, 7]
    assert exact_twin(network, ("5.0",), images) is made[5]()
    exact_twin(network, ("0.0",), images)
    gc.collect()
    assert [place for place, twin in enumerate(made) if twin()] == [5, 7]


@pytest.mark.parametrize("layer", ["features.conv", "features.block.conv2"])
def test_a_kept_convolution_gives_what_it_gave(tiny_model, images, layer):
    network = tiny_model.network
    twin = exact_twin(network, (layer,), images)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in twin.modules()) == 1
    assert_close(activations(twin, [layer], images), activations(network, [layer], images))


def test_every_kept_layer_gives_what_it_gave(tiny_model, mlp_model, images):
    for network in (tiny_model.network, mlp_model.network):
        for layer in layer_shapes(network, images):
            twin = exact_twin(network, (layer,), images)
            assert twin is not network
            assert_close(activations(twin, [layer], images), activations(network, [layer], images))


def test_a_layer_of_two_names_is_kept_by_either(tiny_model, images):
    network = tiny_model.network
    network.marked = network.features.conv
    twin = exact_twin(network, ("marked",), images)
    assert twin is not network
    assert_close(activations(twin, ["marked"], images), activations(network, ["marked"], images))


def test_an_image_that_is_not_finite_does_not_cost_the_twin(tiny_model, images):
    images[0] = torch.nan
    assert exact_twin(tiny_model.network, (), images) is not tiny_model.network


def test_a_kept_block_around_a_convolution_keeps_it(images):
    inner = nn.Sequential(nn.Conv2d(1, 5, 3))
    network = nn.Sequential(inner, nn.BatchNorm2d(5, eps=3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    kept = exact_twin(network, ("0",), images)
    assert_close(activations(kept, ["0"], images), activations(network, ["0"], images))
    assert isinstance(exact_twin(network, (), images)[1], nn.Identity)


class Shared(nn.Module):
    """One convolution read twice, one with a second reader, and one batch norm for two convolutions."""

    def __init__(self):
        super().__init__()
        self.conv, self.twice, self.last = nn.Conv2d(1, 5, 3), nn.Conv2d(5, 5, 3, padding=1), nn.Conv2d(5, 5, 3)
        self.norm, self.norms = nn.BatchNorm2d(5, eps=1), nn.BatchNorm2d(5, eps=2)

    def forward(self, images):
        maps = self.conv(images)
        maps = self.norm(maps) + maps
        maps = self.norms(self.twice(self.norms(self.twice(maps))))
        return self.norms(self.last(maps)).mean(dim=(2, 3))


class Branching(nn.Module):
    """Cannot be traced: the path depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5)

    def forward(self, images):
        maps = self.norm(self.conv(images))
        return (maps if maps.sum() > 0 else maps * 2).mean(dim=(2, 3))


@pytest.mark.parametrize("kind", [Shared, Branching])
def test_what_cannot_be_folded_is_not(kind, images):
    network = kind().eval()
    twin = exact_twin(network, (), images)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in each.modules()) for each in (network, twin)]
    assert twin is not network
    assert norms[0] == norms[1]
    assert relative(twin(images), network(images)) <= 1e-5


class Rectified(nn.Module):
    """ReLUs that may write over what they read, `ours` and `dense`, and such that may not."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.skip = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5, eps=1), nn.Conv2d(5, 5, 3, padding=1)
        self.squash, self.linear = nn.Sigmoid(), nn.Linear(5, 6)
        self.ours, self.beside, self.twice, self.squashed, self.dense = (nn.ReLU() for _ in range(5))

    def forward(self, images):
        maps = self.ours(self.norm(self.conv(images)))
        side = self.skip(maps)
        maps = side + self.beside(side)
        maps = self.twice(self.skip(self.twice(maps)))
        maps = self.squashed(self.squash(maps)) * maps
        return self.dense(self.linear(maps.mean(dim=(2, 3))))


def test_a_relu_writes_over_what_nobody_else_reads(images):
    network = Rectified().eval()
    twin = exact_twin(network, (), images)
    in_place = {name for name, module in twin.named_modules() if getattr(module, "inplace", False)}
    assert in_place == {"ours", "dense"}
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert relative(twin(images), network(images)) <= 1e-5


@pytest.mark.parametrize("layer", ["conv", "norm", "ours"])
def test_layers_and_gradients_are_read_before_a_relu_writes_over_them(images, layer):
    network = Rectified().eval()
    twin = exact_twin(network, (layer,), images)
    assert twin.ours.inplace
    assert_close(activations(twin, [layer], images), activations(network, [layer], images))
    targets = torch.tensor([[0, 3]]).expand(len(images), 2)
    found, expected = (shared_pass(each, layer, images, targets) for each in (twin, network))
    assert_close(found.features, expected.features)
    assert_close(found.gradients, expected.gradients)


class StraightThrough(nn.Module):
    """Reads a convolution a second time, but only for gradients."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.linear = nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Linear(5, 4)

    def forward(self, images):
        maps = self.conv(images)
        active = self.relu(maps)
        if torch.is_grad_enabled():
            active = active + (maps - maps.detach()) ** 2 + maps - maps.detach()
        return self.linear(active.mean(dim=(2, 3)))


class CalledTwice(nn.Module):
    """Calls a ReLU as a module, and past it, on what a square has kept for gradients."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.next, self.linear = (
            nn.Conv2d(1, 5, 3),
            nn.ReLU(),
            nn.Conv2d(5, 5, 1),
            nn.Linear(5, 4),
        )

    def forward(self, images):
        maps = self.next(self.relu(self.conv(images)))
        squares = maps * maps
        return self.linear((self.relu.forward(maps) + squares).mean(dim=(2, 3)))


@pytest.mark.parametrize("kind", [StraightThrough, CalledTwice])
@pytest.mark.parametrize("layer", ["conv", "relu"])
def test_gradients_are_the_networks_own(images, kind, layer):
    network = kind().eval()
    targets = torch.tensor([[0, 3]]).expand(len(images), 2)
    twin = exact_twin(network, (layer,), images)
    found, expected = (shared_pass(each, layer, images, targets) for each in (twin, network))
    assert_close(found.gradients, expected.gradients)


def test_users_hooks_still_act(tiny_model, images):
    network, calls = tiny_model.network, []
    plain = predict(tiny_model, images).logits
    handle = network.features.register_forward_hook(lambda _m, _i, output: calls.append(1) or output * 2)
    doubled = predict(tiny_model, images).logits
    assert calls == [1]
    assert_close(doubled, network(images).detach())
    handle.remove()
    assert_close(predict(tiny_model, images).logits, plain, rtol=0, atol=0)


def test_a_forward_on_the_instance_is_used(tiny_model, images):
    tiny_model.network.pool.forward = lambda maps: maps.amax(dim=(2, 3), keepdim=True)
    assert exact_twin(tiny_model.network, (), images) is tiny_model.network
    assert_close(predict(tiny_model, images).logits, tiny_model.network(images).detach())


class Uncopied(nn.Sequential):
    def __deepcopy__(self, memo):
        raise TypeError("no")


def test_plain_network_where_no_twin_can_be_made(images):
    layers = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    uncopied = Uncopied(*layers).eval()
    half = nn.Sequential(*layers).eval().bfloat16()  # folding rounds differently there
    for values in (half[1].weight, half[1].bias, half[1].running_mean):
        nn.init.uniform_(values)
    lazy = nn.Sequential(nn.LazyConv2d(5, 3), *layers[2:])
    for network in (uncopied, half, lazy):
        assert exact_twin(network, (), images) is network


def test_twins_do_not_keep_a_network_alive(make_model, images):
    model = make_model()
    twin = weakref.ref(exact_twin(model.network, (), images))
    network = weakref.ref(model.network)
    del model
    gc.collect()
    assert network() is None
    assert twin() is None


class Busy(nn.Sequential):
    """While it runs, and is traced, another thread calls another network."""

    def __init__(self, *layers, other):
        super().__init__(*layers)
        self.other = other

    def forward(self, images):
        thread = Thread(target=self.other)
        thread.start()
        thread.join()
        return super().forward(images)


def test_other_threads_run_undisturbed_while_one_traces(make_model, images):
    foreign, answers = make_model("mlp").network, []
    expected = foreign(images)
    layers = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    twin = exact_twin(Busy(*layers, other=lambda: answers.append(foreign(images))).eval(), (), images)
    assert isinstance(twin[1], nn.Identity)
    assert len(answers) == 3  # traced, run plain, run folded
    for answer in answers:
        assert_close(answer, expected)


def test_works_on_weights_made_in_inference_mode(make_model, images):
    with torch.inference_mode():
        network = make_model().network
        twin = exact_twin(network, (), images)
    assert not any(weight.is_inference() for weight in twin.parameters())
    with torch.no_grad():
        assert relative(twin(images), network(images)) <= 1e-5


half = pytest.mark.skipif(not multiplies_half("cpu"), reason="this processor multiplies bfloat16 no faster")


@half
def test_the_half_twin_is_kept_with_the_twin_and_follows_the_network(tiny_model, images):
    twin = exact_twin(tiny_model.network, (), images)
    assert half_twin(twin) is half_twin(twin)
    assert half_twin(tiny_model.network) is not half_twin(tiny_model.network)  # whose weights may change
    with torch.no_grad():
        tiny_model.network.classifier.bias += 3
    later = half_twin(exact_twin(tiny_model.network, (), images))
    assert_close(later.classifier.bias.float(), tiny_model.network.classifier.bias.detach(), rtol=1e-2, atol=1e-2)


@half
def test_half_twins_are_forgotten(tiny_model, images):
    watched = weakref.ref(half_twin(exact_twin(tiny_model.network, (), images)))
    with torch.no_grad():
        tiny_model.network.classifier.bias += 1
    exact_twin(tiny_model.network, (), images)
    gc.collect()
    assert watched() is None


def test_a_bare_copy_has_no_hooks(tiny_model, images):
    calls = []
    tiny_model.network.features.register_forward_hook(lambda *_: calls.append(1))
    tiny_model.network.register_forward_pre_hook(lambda *_: calls.append(2))
    copied = bare_copy(tiny_model.network)
    copied(images)
    assert calls == []
    tiny_model.network(images)
    assert calls == [2, 1]
