"""Incremental occlusion equals whole maps on every network, and steps back where it cannot."""

import gc
import sys
import weakref
from copy import deepcopy
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.explain import Occlusion, explain, forecast
from inspect_fer.explain.budget import Rows, allowing
from inspect_fer.explain.incremental import logits_under
from inspect_fer.explain.incremental.gain import Measured, gain_in_words, measuring
from inspect_fer.explain.incremental.plan import reaches, traced
from inspect_fer.explain.occlusion import whole_logits
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.twin import exact_twin, graph_of

module = sys.modules["inspect_fer.explain.incremental"]
SMALL = {
    "resnet18": {"blocks": (1, 1, 1, 1)},
    "resnet34": {"blocks": (2, 1, 1, 1)},
    "resnet18_lmu": {"blocks": (1, 1, 1, 1)},
    "resnet34_lmu": {"blocks": (1, 1, 1, 1)},
    "mobilenet_v2": {"width": 0.25},
    "mobilenet_v2_transfer": {"width": 0.25},
    "vgg": {"width": 6, "dense": 8},
    "vgg_lmu": {"width": 6, "dense": 8},
    "vgg13": {"width": 6, "dense": 8},
    "majority": {},
}
"""Options that make each network quick; the others take a width."""


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    """Cut, whether it pays or not."""
    monkeypatch.setattr(module, "PAYS", 0.0)


def settle(network):
    """Batch norms as after training, and logits in which every layer shows."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval().requires_grad_(requires_grad=False)


def both(network, images, **options):
    """The logits under every window, computed incrementally (or None) and whole."""
    method = Occlusion(**{"window": 8, "stride": 6, "fill": "blur", **options})
    places = method.footprint(tuple(images.shape[1:]))
    with torch.inference_mode():
        given = network, images, method.filling(images), places
        return logits_under(*given), whole_logits(*given)


def assert_near(found, expected, tolerance=1e-5):
    assert found is not None
    for mine, whole in zip(found, expected, strict=True):
        assert mine.shape == whole.shape
        assert (mine - whole).abs().amax() <= tolerance * whole.abs().amax()


def assert_equal_logits(network, images, **options):
    found, expected = both(network, images, **options)
    assert_near(found, expected)
    assert expected[1].std(dim=1).amax() > 1e-3 * expected[1].abs().amax(), "the windows make no difference"


def patched(network, images, **options):
    """How many convolutions compute patches, of how many."""
    places = Occlusion(**{"window": 8, "stride": 6, **options}).footprint(tuple(images.shape[1:]))
    with torch.no_grad():
        net = traced(network, graph_of(network), images[:1])
    found = reaches(net, (places.rows, places.columns))
    convolutions = [node for node in net.work if len(net.shapes[node]) == 4]
    return sum(node in found for node in convolutions), len(convolutions)


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "batch norms"])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "majority"])
def test_every_network_gives_the_same_logits(name, folded, generator):
    network = settle(build(name, size=32, options=SMALL.get(name, {"width": 6})))
    images = torch.randn(2, 1, 32, 32, generator=generator)
    network = exact_twin(network, (), images) if folded else network
    assert_equal_logits(network, images)


def test_a_network_that_does_not_look(generator):
    found, expected = both(build("majority").eval(), torch.randn(2, 1, 32, 32, generator=generator))
    assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("baseline", (4, 4)),
        ("se", (1, 5)),
        ("resnet18", (10, 12)),
        ("unet", (5, 5)),
        ("vgg", (7, 8)),
        ("lenet", (2, 2)),
    ],
)
def test_how_far_patches_go(name, expected):
    network = build(name, options=SMALL.get(name, {"width": 6})).eval()
    assert patched(network, torch.zeros(1, 1, 48, 48), stride=4) == expected


class Functional(nn.Module):
    """What torch.nn.functional and operators can do, in place and not."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 5, 2, padding=(3, 1), dilation=(1, 2), bias=False)
        self.deep = nn.Conv2d(4, 8, 3, padding="same", groups=2, dilation=(2, 1))
        self.norm, self.slope = nn.BatchNorm2d(4), nn.PReLU(8)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        stem = F.max_pool2d(self.norm(self.stem(images)), 3, stride=2, padding=1, ceil_mode=True)
        early = F.relu(stem, inplace=True)  # changes `stem`, which is added below
        deep = self.slope(self.deep(early))
        joined = torch.cat((early.mul(0.5), F.avg_pool2d(stem, 3, 1, padding=1)), dim=1)
        deep += torch.add(joined, deep, alpha=-2) * torch.cat([stem] * 2, 1)
        deep = F.dropout(deep, training=self.training)
        wide = F.interpolate(torch.tanh(deep), size=(2 * deep.size(2), 2 * deep.shape[3]))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(wide.view(wide.size(0), 8, -1, wide.size(3)), 1), 1))


@pytest.mark.parametrize("fill", [0.0, -1.5, "mean", "blur"])
@pytest.mark.parametrize(("window", "stride"), [(4, 4), (5, 3), (2, 9), (2, 10), (2, 11), (7, 1), (22, 4)])
def test_functions_operators_and_other_shapes(window, stride, fill, generator):
    images = torch.randn(2, 2, 22, 30, generator=generator)
    assert_equal_logits(settle(Functional()), images, window=window, stride=stride, fill=fill)


def test_matches_one_window_after_the_other_in_double_precision(generator):
    network, images = settle(Functional()).double(), torch.randn(1, 2, 22, 30, generator=generator)
    found, _ = both(network, images, window=5, stride=4, fill=0.5)
    places = Occlusion(window=5, stride=4).footprint((2, 22, 30))
    for place, ((top, bottom), (left, right)) in enumerate(product(places.rows, places.columns)):
        covered = images.double()
        covered[..., top:bottom, left:right] = 0.5
        assert_close(found[1][:, place], network(covered), rtol=1e-9, atol=1e-12)
    assert_close(found[0], network(images.double()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("cache", "rows"), [(2**26, 128), (2**16, 128), (1, 128), (2**26, 1)])
def test_blocks_of_windows_and_images_equal_the_whole(monkeypatch, generator, cache, rows):
    network, images = settle(build("lenet", size=32)), torch.randn(2, 1, 32, 32, generator=generator)
    whole, _ = both(network, images, stride=3)
    monkeypatch.setattr(module, "CACHE", cache)
    monkeypatch.setattr(module, "FEW", 1)
    sizes = []
    monkeypatch.setattr(module, "run", lambda *given, run=module.run: sizes.append(run(*given).shape) or run(*given))
    with allowing(Rows(plain=rows)):
        found, _ = both(network, images, stride=3)
    assert_near(found, whole)
    assert (len(sizes) == 1) == (rows == 128 and cache == 2**26)


class Tripped(nn.Module):
    """A small network with something in it that keeps patches from being enough."""

    def __init__(self, trip):
        super().__init__()
        self.conv, self.head, self.trip = nn.Conv2d(1, 4, 3), nn.Linear(4, 3), trip

    def forward(self, images):
        return self.head(self.trip(torch.relu(self.conv(images))).mean(dim=(2, 3)))


class Branching(nn.Module):
    def forward(self, features):
        return features if features.sum() > 0 else -features


class Sly(nn.Module):
    """Answers a tracer otherwise than a tensor."""

    def forward(self, features):
        return features if isinstance(features, torch.Tensor) else 2 * features


class Gate(nn.Module):
    def forward(self, features):
        return features * torch.sigmoid(features.mean(dim=(2, 3), keepdim=True))


TRIPS = {
    "control flow": (Branching(), False),
    "tracer": (Sly(), False),
    "batch": (nn.BatchNorm2d(4, track_running_stats=False), False),
    "gate": (Gate(), True),
    "normalised over the map": (nn.GroupNorm(2, 4), True),
    "reflected border": (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), True),
    "average without border": (nn.AvgPool2d(3, 1, 1, count_include_pad=False), True),
    "average rounded up": (nn.AvgPool2d(3, 2, ceil_mode=True), True),
    "enlarged smoothly": (nn.Upsample(scale_factor=2, mode="bilinear"), True),
}


@pytest.mark.parametrize(("trip", "works"), TRIPS.values(), ids=TRIPS)
def test_steps_back_to_whole_maps(trip, works, generator):
    network, images = settle(Tripped(trip)), torch.randn(2, 1, 24, 24, generator=generator)
    found, _ = both(network, images)
    assert (found is not None) == works
    if works:
        assert_equal_logits(network, images)
        assert patched(network, images)[0] == 1


def test_hooks_of_the_owner_see_whole_maps(generator):
    network, images = settle(build("lenet", size=32)), torch.randn(2, 1, 32, 32, generator=generator)
    network.features.conv2.register_forward_hook(lambda _layer, _given, maps: maps * (maps.shape[2] > 5))
    assert both(network, images)[0] is None


def test_where_it_does_not_pay_maps_are_whole(monkeypatch, generator):
    network, images = settle(build("lenet", size=32)), torch.randn(2, 1, 32, 32, generator=generator)
    monkeypatch.setattr(module, "PAYS", 1.2)
    assert both(network, images, window=32)[0] is None
    assert both(network, images, window=4)[0] is not None


def test_explain_goes_this_way(make_model, generator, monkeypatch):
    model = make_model("tiny", input_size=(1, 24, 24))
    images = torch.randn(3, 1, 24, 24, generator=generator)
    calls = []
    monkeypatch.setattr(module, "run", lambda *given, run=module.run: calls.append(1) or run(*given))
    found = explain(model, images, Occlusion(window=6), targets="all")
    assert calls
    clean, covered = whole_logits(model.network, images, torch.zeros_like(images), found.footprint)
    assert_close(found.maps.flatten(2), (clean[:, None] - covered).mT.detach(), rtol=1e-4, atol=1e-5)


def test_half_precision_goes_this_way_too(generator):
    network, images = settle(build("lenet", size=32)), torch.randn(2, 1, 32, 32, generator=generator)
    assert_near(*both(network.bfloat16(), images), tolerance=0.01)


def test_leaves_no_trace_and_keeps_nothing(generator):
    network, images = settle(Functional()), torch.randn(2, 2, 22, 30, generator=generator)
    before, given = deepcopy(network.state_dict()), images.clone()
    attributes = [sorted(vars(layer)) for layer in network.modules()]
    both(network, images)
    assert [sorted(vars(layer)) for layer in network.modules()] == attributes
    assert_close(dict(network.state_dict()), dict(before), rtol=0, atol=0)
    assert_close(images, given, rtol=0, atol=0)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_a_change_of_the_network_is_seen(generator):
    network, images = settle(build("lenet", size=32)), torch.randn(2, 1, 32, 32, generator=generator)
    both(network, images)
    network.features.relu1 = nn.Tanh()
    network.features.conv2.weight.data.mul_(2)
    assert_equal_logits(network, images)


def test_the_forecast_says_the_gain_and_counts_it(make_model, generator, monkeypatch):
    model = make_model("tiny", input_size=(1, 48, 48))
    images = torch.randn(3, 1, 48, 48, generator=generator)
    places = Occlusion().footprint((1, 48, 48))
    gain = module.forecast(exact_twin(model.network, (), images), images[:1], places).gain
    assert gain > 1.5
    told = forecast(model, images, "occlusion").methods["occlusion"]
    assert told.note == f"only what a window reaches is computed: {gain:.1f}x less work"
    monkeypatch.setattr(module, "PAYS", 1e9)
    whole = forecast(model, images, "occlusion").methods["occlusion"]
    assert whole.note.startswith("the image is computed whole for every window: windows reach so much")
    assert whole.seconds > 1.2 * told.seconds
    model.network.register_forward_hook(lambda *_: None)
    assert "cannot be traced, or hooks" in forecast(model, images, "occlusion").methods["occlusion"].note
    assert forecast(model, images, "rise?masks=5").methods["rise"].note == ""


def test_the_gain_is_measured_against_whole_images(make_model, generator, monkeypatch):
    model = make_model("tiny", input_size=(1, 24, 24))
    images, seconds = torch.randn(3, 1, 24, 24, generator=generator), iter(range(1000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(seconds))
    with measuring() as found:
        why = explain(model, images, "occlusion", targets="all")
    (measured,) = found
    assert measured.taken >= 1  # a second for each block of windows
    assert measured.whole == 3 * (1 + why.maps[0, 0].numel()) / 4  # four images took a second
    explain(model, images, "occlusion")
    assert len(found) == 1


def test_what_was_gained_in_words():
    words = gain_in_words([Measured(2.0, 9.0, 3.0), Measured(4.0, 3.0, 1.0)])
    assert words == (
        "only what a window reaches was computed: 2.5x less work by forecast, 3.0x less time measured, "
        "against four whole images at a time"
    )
    assert gain_in_words([]) == ""
