"""Random numbers of one thread are its own: what others draw, and put back, changes no map."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inspect_fer.explain import explain
from inspect_fer.explain.through_captum import Seeded
from inspect_fer.schema import Classifier

RANDOM = ("smooth-grad?samples=20", "gradient-shap?samples=20", "kernel-shap?samples=60&cells=3")
RANDOM += ("lime?samples=60&cells=3&alpha=0.0001",)


@pytest.fixture
def restless():
    """Another thread, which starts and draws the random numbers of the whole process again and again."""
    stop = threading.Event()

    def draw():
        while not stop.is_set():
            torch.manual_seed(0)
            np.random.seed(0)
            torch.rand(3)
            np.random.rand(3)

    thread = threading.Thread(target=draw)
    yield thread.start
    stop.set()
    thread.join()


@pytest.mark.parametrize("name", RANDOM)
def test_another_thread_changes_no_map(tiny_model, images, restless, name):
    expected = explain(tiny_model, images, name, targets="all").maps
    restless()
    assert_close(explain(tiny_model, images, name, targets="all").maps, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", [*RANDOM, "kpca-cam"])
def test_three_threads_with_networks_of_their_own_find_the_same(make_model, images, name):
    expected = explain(make_model("mlp"), images, name, targets="all").maps
    found, ready = {}, threading.Barrier(3)

    def work(number, model):
        ready.wait()
        found[number] = explain(model, images, name, targets="all").maps

    threads = [threading.Thread(target=work, args=(number, make_model("mlp"))) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for maps in found.values():
        assert_close(maps, expected)


def test_inside_torch_draws_what_the_seed_says_and_the_process_goes_on_as_before():
    torch.manual_seed(7)
    expected = torch.randn(3), torch.bernoulli(torch.full((4,), 0.5)), torch.multinomial(torch.ones(5), 2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with Seeded(7):
        found = torch.randn(3), torch.bernoulli(torch.full((4,), 0.5)), torch.multinomial(torch.ones(5), 2)
    assert_close(found, expected, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["smooth-grad?samples=3", "gradient-shap?samples=3"])
def test_an_image_that_is_not_finite_leaves_the_others_alone(card_of_none, images, make_network, name):
    images[1, 0, 3, 3] = torch.nan
    maps = explain(Classifier(make_network("plain"), card_of_none), images, name).maps
    assert maps[[0, 2, 3]].isfinite().all()


@pytest.fixture
def card_of_none(make_model):
    return replace(make_model("tiny").card, cam_layer="")
