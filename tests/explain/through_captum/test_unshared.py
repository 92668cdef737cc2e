"""Methods that need modules of their own: guided backpropagation, deconvolution, guided Grad-CAM, DeepLIFT, LRP."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.explain import LRP, DeepLift, explain
from inspect_fer.explain.fills import filled
from inspect_fer.explain.through_captum import own_copy
from inspect_fer.explain.unshared import modules_of, unshared
from inspect_fer.models import ARCHITECTURES
from inspect_fer.schema import Classifier

attr = pytest.importorskip("captum.attr")
METHODS = ["guided-backprop", "deconvnet", "guided-grad-cam", "deep-lift", "lrp"]


@pytest.fixture
def card(make_model):
    return replace(make_model("tiny").card, cam_layer="conv2")


@pytest.fixture
def plain(card, make_network):
    return Classifier(make_network("plain"), card)


@pytest.fixture
def rough(card, plain, make_network):
    network = make_network("rough")
    network.load_state_dict(plain.network.state_dict())
    return Classifier(network, card)


def resnet18(channels=1):
    torch.manual_seed(2)
    network = ARCHITECTURES["resnet18"](channels=channels, classes=5, size=32).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return network


def test_every_call_has_a_module_of_its_own(rough, images):
    traced = unshared(own_copy(rough.network), images)
    targets = [node.target for node, _ in modules_of(traced)]
    assert len(targets) == len(set(targets))
    assert sum(isinstance(module, nn.ReLU) for _, module in modules_of(traced)) == 3
    assert not any(getattr(module, "inplace", False) for module in traced.modules())
    assert_close(traced(images), rough.network(images))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", [0, 3])
@pytest.mark.parametrize("kind", ["plain", "rough"])
def test_equal_captum_on_a_plain_network(plain, rough, images, target, kind):
    network, base = plain.network, torch.full_like(images, 0.2)
    peers = {
        "guided-backprop": attr.GuidedBackprop(network).attribute(images, target=target),
        "deconvnet": attr.Deconvolution(network).attribute(images, target=target),
        "guided-grad-cam": attr.GuidedGradCam(network, network.conv2).attribute(
            images, target=target, interpolate_mode="bilinear"
        ),
        DeepLift(baseline=0.2): attr.DeepLift(network).attribute(images, base, target=target),
        LRP(epsilon=1e-9): attr.LRP(deepcopy(network)).attribute(images, target=target),
    }
    model = plain if kind == "plain" else rough
    for method, expected in peers.items():
        found = explain(model, images, method, targets=target).maps[:, 0]
        assert_close(found, expected[:, 0].detach(), rtol=1e-3, atol=1e-5 * float(expected.abs().amax()))


@pytest.fixture
def any_network(make_model, make_network):
    return lambda kind: (make_model(kind).network if kind in ("tiny", "mlp") else make_network(kind)).double()


@pytest.mark.parametrize("baseline", [0.0, 0.3, "blur"])
@pytest.mark.parametrize("kind", ["plain", "rough", "gated", "tiny", "mlp"])
def test_deep_lift_adds_up(any_network, card, images, kind, baseline):
    """Summation to delta, eq. 1 of arXiv:1704.02685; captum by itself misses it where max pooling follows a ReLU."""
    network = any_network(kind)
    maps = explain(Classifier(network, replace(card, cam_layer="")), images, DeepLift(baseline), targets="all").maps
    with torch.no_grad():
        expected = network(images.double()) - network(filled(images, baseline).double())
    assert_close(maps.sum(dim=(2, 3)), expected.float(), rtol=1e-4, atol=1e-6)


class Written(nn.Module):
    """A gate whose product is written with or without the names of its factors, and a plain factor."""

    def __init__(self, product):
        super().__init__()
        self.conv, self.other, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3), nn.Linear(4, 5)
        self.product = product

    def forward(self, images):
        maps = self.product(torch.relu(self.conv(images)), torch.sigmoid(self.other(images)))
        return self.last(torch.mul(input=maps, other=2.0).mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "product",
    [
        lambda left, right: torch.mul(input=left, other=right),
        lambda left, right: torch.mul(left, other=right),
        lambda left, right: left.mul(other=right),
        lambda left, right: left * right,
        lambda left, _: left * left,
    ],
)
def test_deep_lift_knows_products_however_they_are_written(card, images, product):
    network = Written(product).double().eval()
    maps = explain(Classifier(network, replace(card, cam_layer="")), images, DeepLift(0.3), targets="all").maps
    with torch.no_grad():
        expected = network(images.double()) - network(torch.full_like(images, 0.3).double())
    assert_close(maps.sum(dim=(2, 3)), expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "rough", "tiny", "mlp"])
def test_relevance_is_kept_where_there_are_no_biases(any_network, card, images, kind):
    """Eq. 2 of Bach et al.: relevance adds up to the logit, through shortcuts and folded batch norms too."""
    network = any_network(kind)
    for name, weight in (*network.named_parameters(), *network.named_buffers()):
        if name.endswith(("bias", "running_mean")):
            weight.data.zero_()
    maps = explain(Classifier(network, replace(card, cam_layer="")), images, LRP(epsilon=1e-12), targets="all").maps
    assert_close(maps.sum(dim=(2, 3)), network(images.double()).detach().float(), rtol=1e-4, atol=1e-6)


def test_logits_near_zero_are_no_reason_to_refuse(tiny_model, images):
    """Rounding of the folded copy is large beside them."""
    last = tiny_model.network.classifier
    last.bias.data -= tiny_model.network(images[:1])[0].detach() - 1e-7
    assert explain(tiny_model, images[:1], "lrp").maps.any()


def lrp_by_hand(weights, image, target, epsilon):
    """The epsilon rule (eq. 58 of Bach et al.) through dense layers with ReLU between, in loops."""
    values = [image]
    for weight in weights:
        values.append((weight @ values[-1]).relu() if weight is not weights[-1] else weight @ values[-1])
    relevance = torch.zeros_like(values[-1])
    relevance[target] = values[-1][target]
    for weight, below in zip(reversed(weights), reversed(values[:-1]), strict=True):
        lower = torch.zeros_like(below)
        for j in range(len(weight)):
            z = weight[j] @ below
            for i in range(len(below)):
                lower[i] += below[i] * weight[j, i] / (z + (epsilon if z >= 0 else -epsilon)) * relevance[j]
        relevance = lower
    return relevance


def test_lrp_matches_its_rule_term_by_term(card, images):
    layers = [nn.Linear(144, 6, bias=False), nn.Linear(6, 4, bias=False), nn.Linear(4, 5, bias=False)]
    network = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).double()
    model = Classifier(network, replace(card, cam_layer=""))
    found = explain(model, images, LRP(epsilon=0.01), targets="all").maps
    for image, maps in zip(images.double(), found, strict=True):
        for target in range(5):
            expected = lrp_by_hand([layer.weight.detach() for layer in layers], image.flatten(), target, 0.01)
            assert_close(maps[target].flatten(), expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["gamma", "alpha1-beta0"])
def test_other_rules_give_other_maps(plain, images, rule):
    found = explain(plain, images, LRP(rule=rule), targets="all").maps
    assert found.isfinite().all()
    assert not torch.allclose(found, explain(plain, images, LRP(), targets="all").maps)


def guided_by_hand(network, image, target, rule):
    """Each ReLU's own backward step, layer by layer: fig. 1 of arXiv:1412.6806."""
    first, second, third = network[1].weight, network[3].weight, network[5].weight
    one, two = first @ image, None
    two = second @ one.relu()
    gradient = third[target]
    for weight, before in ((second, two), (first, one)):
        gradient = gradient.relu() if rule == "deconvnet" else gradient.relu() * (before > 0)
        gradient = gradient @ weight
    return gradient.detach()


@pytest.mark.parametrize("rule", ["guided-backprop", "deconvnet"])
def test_guided_rules_term_by_term(card, images, rule):
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(144, 6, bias=False),
        nn.ReLU(inplace=True),
        nn.Linear(6, 4, bias=False),
        nn.ReLU(),
        nn.Linear(4, 5, bias=False),
    )
    found = explain(Classifier(network, replace(card, cam_layer="")), images, rule, targets="all").maps
    for image, maps in zip(images, found, strict=True):
        for target in range(5):
            assert_close(maps[target].flatten(), guided_by_hand(network, image.flatten(), target, rule))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_residual_networks_of_torchvision(card, generator, name, channels):
    network = resnet18(channels)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    card = replace(card, input_size=(channels, 32, 32), mean=(0.5,) * channels, std=(0.5,) * channels, cam_layer="")
    layer = next(name for name, _ in network.named_modules() if name.endswith("layer3"))
    images = torch.randn(1, channels, 32, 32, generator=generator)
    found = explain(Classifier(network, card), images, name, targets=[[0, 3]], layer=layer)
    assert found.maps.shape == (1, 2, 32, 32)
    assert found.maps.isfinite().all()
    assert found.maps.abs().amax() > 0
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    if name == "deep-lift":
        with torch.no_grad():
            expected = network(images) - network(torch.zeros_like(images))
        assert_close(found.maps.sum(dim=(2, 3)), expected[:, [0, 3]], rtol=0.02, atol=1e-3)


def test_gates_are_refused_by_lrp_only(card, images, make_network):
    model = Classifier(make_network("gated"), replace(card, cam_layer=""))
    with pytest.raises(NetworkError, match=r"LRP has no rule for (Sigmoid|the function mul).*deep-lift"):
        explain(model, images, "lrp")
    for name in ("guided-backprop", "deconvnet", "deep-lift"):
        assert explain(model, images, name).maps.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_what_cannot_be_traced_is_named(card, images, name, make_network):
    model = Classifier(make_network("untraceable"), card)
    with pytest.raises(NetworkError, match=r"cannot be traced to see to that \(.*control flow.*integrated-gradients"):
        explain(model, images, name)


def sequence(*modules):
    return nn.Sequential(nn.Conv2d(1, 3, 3), *modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)).eval()


class Root(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = sequence(nn.ReLU())

    def forward(self, images):
        return self.inner(images.abs().sqrt())


@pytest.mark.parametrize(
    ("name", "network", "reason"),
    [
        ("guided-backprop", sequence(nn.SiLU()), "this network has none.*SiLU.*saliency"),
        ("deconvnet", sequence(nn.GELU()), "Deconvolution.*this network has none"),
        ("deep-lift", sequence(nn.SiLU()), "DeepLIFT has no rule for SiLU"),
        ("deep-lift", Root(), "DeepLIFT has no rule for the function (abs|sqrt)"),
        (
            "deep-lift",
            sequence(nn.BatchNorm2d(3, track_running_stats=False), nn.ReLU()),
            "DeepLIFT needs batch norms that have running statistics.*Use grad-cam of one image",
        ),
        (
            "deep-lift",
            nn.Sequential(
                nn.Flatten(2), nn.BatchNorm1d(1, track_running_stats=False), nn.Flatten(), nn.Linear(144, 5)
            ).eval(),
            "DeepLIFT needs batch norms that have running statistics.*Use grad-cam of one image",
        ),
        ("lrp", sequence(nn.ELU()), "LRP has no rule for ELU"),
        ("lrp", Root(), "LRP has no rule for the function (abs|sqrt)"),
    ],
)
def test_what_a_method_does_not_allow_is_named(card, images, name, network, reason):
    with pytest.raises(NetworkError, match=reason) as problem:
        explain(Classifier(network, replace(card, cam_layer="")), images, name)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("method", "options", "reason"),
    [
        (DeepLift, {"baseline": "black"}, "fills with"),
        (LRP, {"rule": "zplus"}, "'epsilon', 'gamma' and 'alpha1-beta0'"),
        (LRP, {"epsilon": 0}, "epsilon from 1e-12"),
        (LRP, {"gamma": -1}, "gamma from 0"),
    ],
)
def test_options_that_make_no_sense_are_errors(method, options, reason):
    with pytest.raises(ConfigError, match=reason):
        method(**options)
