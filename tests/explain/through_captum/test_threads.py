"""Threads take turns: what one draws, and puts back, changes no map of another."""

import threading
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.explain import explain
from inspect_fer.schema import Classifier

RANDOM = ("smooth-grad?samples=20", "gradient-shap?samples=20", "kernel-shap?samples=60&cells=3")
RANDOM += ("lime?samples=60&cells=3&alpha=0.0001",)


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


@pytest.mark.parametrize("name", ["smooth-grad?samples=3", "gradient-shap?samples=3"])
def test_an_image_that_is_not_finite_leaves_the_others_alone(card_of_none, images, make_network, name):
    images[1, 0, 3, 3] = torch.nan
    maps = explain(Classifier(make_network("plain"), card_of_none), images, name).maps
    assert maps[[0, 2, 3]].isfinite().all()


@pytest.fixture
def card_of_none(make_model):
    return replace(make_model("tiny").card, cam_layer="")
