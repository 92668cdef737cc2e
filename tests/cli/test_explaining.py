"""`explain`: every class that was asked for is kept, and what cannot be done is one line."""

import pytest

from inspect_fer.models import build
from inspect_fer.models.checkpoint import save
from inspect_fer.runs import open_run
from inspect_fer.schema import Classifier, ModelCard

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture
def net(tmp_path):
    card = ModelCard("baseline", NAMES, (1, 24, 24), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
    save(Classifier(build("baseline", size=24, options={"width": 2}), card), tmp_path / "net.safetensors")
    return "--model net.safetensors --data synthetic:2"


def test_all_targets_are_kept_at_the_resolution_of_the_input_too(call, net):
    assert call(f"explain {net} --method saliency --method fem --targets all --out r")[0] == 0
    found = open_run("r").explanations
    assert found["saliency"].targets.tolist() == found["fem"].targets.tolist() == [list(range(7))] * 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--method all --method grad-cam", "all stands alone"),
        ("--method occlusion --method 'occlusion?window=4'", "on the command line, make a run of each"),
        ("--method cam --dry-run", "CAM needs global average pooling"),
        ("--memory 10kB", "Give at least"),
    ],
)
def test_what_cannot_be_done_is_one_line(call, net, words, hint):
    code, out, err = call(f"explain {net} {words}")
    assert (code, out) == (2, "")
    assert hint in err
    assert "memory=" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_forecast_of_one_image_is_of_one_image(call, net):
    out = call(f"explain {net} --limit 1 --method grad-cam --dry-run")[1]
    assert "1 image, 1 class: about" in out
