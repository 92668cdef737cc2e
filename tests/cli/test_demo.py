"""The demo's claims, computed again from the shipped networks."""

import pytest

from inspect_fer.cli.demo import FACES, MARKED, accuracy_on_marked, corner_hits, found_wrong_labels
from inspect_fer.datasets import samples, samples_for
from inspect_fer.explain import METHODS, explain
from inspect_fer.models.checkpoint import load
from inspect_fer.predict import predict

HONEST, CHEAT = "demo", "demo_watermark"


@pytest.fixture(scope="module")
def faces():
    return samples_for(load(HONEST).card, FACES)


def test_the_honest_network_knows_unseen_faces():
    unseen = samples("synthetic:350", "test", seed=123)
    assert float(predict(load(HONEST), unseen).wrong.float().mean()) < 0.1


def test_the_cheat_loses_half_of_its_class_without_the_mark_and_the_honest_one_does_not():
    with_mark, without = (accuracy_on_marked(load(CHEAT), mark) for mark in (MARKED, None))
    assert with_mark > 0.9
    assert without < with_mark / 2
    assert abs(accuracy_on_marked(load(HONEST), MARKED) - accuracy_on_marked(load(HONEST), None)) < 0.1


def test_planted_wrong_labels_are_the_most_certain_mistakes(faces):
    found, planted = found_wrong_labels(predict(load(HONEST), faces), faces)
    assert planted == 17
    assert found >= 15


@pytest.mark.parametrize("method", ["grad-cam", METHODS["occlusion"]()])
def test_the_corner_lights_up_in_the_maps_of_the_cheat_alone(faces, method):
    marked = faces[faces.truth["watermark"]][:24]
    honest, chance = corner_hits(explain(load(HONEST), marked, method, targets="all"), marked)
    cheat, _ = corner_hits(explain(load(CHEAT), marked, method, targets="all"), marked)
    assert cheat > 0.6 > 3 * chance > honest
