"""Memory: what is held at a time, how a budget is spelt, and that every method keeps to it."""

import gc

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.capture import Meter
from inspect_fer.errors import ConfigError
from inspect_fer.explain import METHODS, explain, forecast
from inspect_fer.explain.budget import at_once, in_bytes, in_words, portion, rows_within
from inspect_fer.explain.cost import in_time

BUDGET = 300_000


def test_the_meter_counts_what_is_alive():
    with Meter() as meter:
        first = torch.zeros(1000)
        view = first.view(10, 100)
        assert meter.alive == 4000
        second = view + 1
        assert meter.alive == 8000
        del first
        assert meter.alive == 8000
        del view, second
        assert (meter.alive, meter.peak) == (0, 8000)


def test_the_meter_sees_what_a_graph_keeps_and_leaves_out_weights():
    layer, images = nn.Conv2d(1, 8, 3), torch.zeros(2, 1, 10, 10)
    with Meter() as meter, torch.inference_mode():
        layer(images)
    assert meter.peak == 2 * 8 * 8 * 8 * 4
    with Meter() as meter:
        kept = layer(images).exp().sum()
        gc.collect()
        assert meter.alive == 2 * 8 * 8 * 8 * 4 + 4
        del kept
        assert meter.alive == 0


@pytest.mark.parametrize(
    ("words", "size"), [("1GB", 10**9), ("512 mb", 512 * 10**6), ("1.5GiB", 3 * 2**29), ("64k", 64_000), (4096, 4096)]
)
def test_budgets_are_read(words, size):
    assert in_bytes(words) == size


@pytest.mark.parametrize("words", ["", "lots", "-1GB", "0", "1 TB", True, None, "GB"])
def test_other_budgets_are_refused(words):
    with pytest.raises(ConfigError, match="such as '1GB'"):
        in_bytes(words)


def test_bytes_in_words_never_promise_less():
    assert [in_words(size) for size in (12, 1_000, 3_210_001, 2e9)] == ["12 bytes", "1 kB", "3.3 MB", "2 GB"]


def test_rows_at_a_time():
    assert rows_within(1000, 300) == 3
    assert rows_within(1000, 1001) == 1
    assert rows_within(1000, 0) == rows_within(10**12, 1) == 128
    assert portion(1000, 128, 10**6) == 77  # of at most 80
    assert portion(1000, 128, 10**7 + 1) == portion(1000, 128, 10**9) == 8
    assert portion(1000, 128, 0) == 125
    assert portion(1000, 5, 10**9) == 5
    assert [portion(images, 3, 0) for images in (1, 3, 4, 7)] == [1, 3, 2, 3]
    assert at_once() == 128
    assert at_once(share=1000) == 1


def test_too_small_a_budget_says_how_much_it_takes(tiny_model, images):
    with pytest.raises(ConfigError, match=r"a budget of 5 kB is too small. Give at least [0-9.]+kB") as told:
        explain(tiny_model, images, "grad-cam", memory=5000)
    enough = str(told.value).split()[-1].rstrip(".")
    assert len(explain(tiny_model, images, "grad-cam", memory=enough)) == 4


QUICK = {
    "smooth-grad-cam++": {"samples": 2},
    "occlusion": {"window": 4, "stride": 4},
    "region-shapley": {"regions": "grid", "rows": 2, "columns": 2},
    "rise": {"masks": 70, "cells": 3},
    "smooth-grad": {"samples": 4},
    "integrated-gradients": {"steps": 6},
    "gradient-shap": {"samples": 4},
    "kernel-shap": {"samples": 70, "cells": 3},
    "lime": {"samples": 70, "cells": 3},
    "sess": {"scales": 2},
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_to_the_budget_and_finds_the_same(tiny_model, generator, name):
    faces, method = torch.randn(12, 1, 12, 12, generator=generator), METHODS[name](**QUICK.get(name, {}))
    whole = explain(tiny_model, faces, method, targets="all").maps
    with Meter() as meter:
        found = explain(tiny_model, faces, method, targets="all", memory=BUDGET).maps
    copies = 4 * sum(weight.nbytes for weight in tiny_model.network.parameters())
    assert meter.peak <= 1.2 * BUDGET + 2 * found.nbytes + copies
    assert_close(found, whole, rtol=1e-5, atol=1e-6)


class Counting(nn.Module):
    """A network that writes down how many images went through it."""

    rows: int = 0

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        Counting.rows += len(images)
        return self.inner(images)


TRACED = ("deep-lift", "lrp", "guided-backprop", "deconvnet", "guided-grad-cam")
FORECAST = [name for name in METHODS if name not in TRACED]  # which run a traced copy, where nothing is counted


@pytest.mark.parametrize("name", FORECAST)
def test_forecast_passes_are_those_that_are_made(make_model, images, name):
    model = make_model("tiny")
    expected = forecast(model, images, METHODS[name](**QUICK.get(name, {})), targets=[[0, 1]] * 4)
    network = Counting(model.network)
    network.register_forward_hook(lambda *_: None)  # then there is no twin, and no pass of its own
    counted = type(model)(network, model.card)
    options = {"targets": [[0, 1]] * 4, "layer": "inner.features"}
    explain(counted, images, METHODS[name](**QUICK.get(name, {})), **options)  # its memory is known now
    Counting.rows = 0
    explain(counted, images, METHODS[name](**QUICK.get(name, {})), **options)
    told = expected.methods[name].passes
    made = Counting.rows / 4 - expected.shared.passes.forward
    assert made <= told.forward + 1.5
    assert told.at_most or made >= told.forward - 0.5


def test_times_in_words():
    said = ["less than a second", "1.5 s", "42 s", "1.5 min", "12 min", "2 h", "100 h"]
    assert [in_time(seconds) for seconds in (0.3, 1.5, 42, 90, 720, 7200, 360_000)] == said


def test_a_forecast_names_seconds_and_bytes(tiny_model, mlp_model, images):
    one = forecast(tiny_model, images, ["grad-cam", "rise"], targets="all")
    assert (one.images, one.targets) == (4, 5)
    assert one.methods["rise"].passes.forward == 2000
    assert one.methods["rise"].seconds > 10 * one.methods["grad-cam"].seconds > 0
    assert one.seconds == pytest.approx(one.shared.seconds + sum(cost.seconds for cost in one.methods.values()))
    assert one.bytes == max(one.shared.bytes, *(cost.bytes for cost in one.methods.values())) > 0
    assert one.shared.passes.backward == 0
    assert forecast(mlp_model, images, "grad-cam").shared.passes.backward == 1
    more = forecast(tiny_model, images.repeat(8, 1, 1, 1), "rise", targets="all")
    assert more.methods["rise"].seconds > one.methods["rise"].seconds
    small = forecast(tiny_model, images, "rise", targets="all", memory=BUDGET)
    assert small.bytes <= BUDGET < one.bytes
