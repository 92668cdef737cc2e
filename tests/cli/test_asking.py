"""How maps are asked for: every method, options in words, several layers, what it takes, what it is worth."""

from importlib import import_module

import pytest

from inspect_fer.explain import METHODS
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


def test_options_may_follow_a_method(call, net):
    assert call(f"explain {net} --method 'occlusion?window=12&stride=6&fill=mean' --method fem")[0] == 0
    found = open_run("reports/explain-net").explanations
    assert found["occlusion"].method == {"name": "occlusion", "window": 12, "stride": 6, "fill": "mean"}
    assert found["occlusion"].maps.shape[2:] == (3, 3)
    assert call(f"run {net} --methods 'rise?masks=8&seed=3,saliency?absolute=yes' --out r")[0] == 0
    assert open_run("r").explanations["rise"].method["masks"] == 8
    assert open_run("r").explanations["saliency"].method["absolute"] is True


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        ("occlusion?window=large", "The option window of occlusion is int, not 'large'"),
        ("occlusion?windo=3", "No option of occlusion is called 'windo'. Did you mean 'window'?"),
        ("occlusion?window=0", "at least one whole pixel"),
        ("grad-cam?window=3", "grad-cam has no options"),
        ("saliency?absolute=maybe", "bool, not 'maybe'"),
        ("ocllusion?window=3", "Did you mean 'occlusion'?"),
        ("occlusion?window=4&window=5", "The option window of occlusion is given twice"),
        ("Grad-CAM", "Did you mean 'grad-cam'?"),
        ("contrast?rival=hapiness", "Did you mean 'happiness'?"),
        ("rise?score=votes", "'probability' or 'logit', not 'votes'"),
    ],
)
def test_bad_options_are_one_line(call, net, method, hint):
    code, _, err = call(f"explain {net} --method '{method}'")
    assert code == 2
    assert hint in err
    assert len(err.strip().splitlines()) == 1


def test_all_means_every_method_that_is_possible(call, net, monkeypatch):
    few = {name: METHODS[name] for name in ("cam", "grad-cam", "hires-cam", "fem", "saliency", "lrp")}
    for name in list(METHODS):
        if name not in few:
            monkeypatch.delitem(METHODS, name)
    code, out, err = call(f"explain {net} --method all --targets all")
    assert code == 0
    assert list(open_run("reports/explain-net").explanations) == [name for name in few if name != "cam"]
    assert "left out: cam: CAM needs global average pooling" in err
    assert "fem.png" in out


def test_the_worth_of_maps_is_printed(call, net):
    _, out, _ = call(f"explain {net} --method layer-cam --method grad-cam-elementwise --targets all")
    assert "layer-cam: the same maps, up to a factor, as grad-cam-elementwise" in out.replace("\n", " ")


def test_several_layers_are_fused(call, net):
    code, out, _ = call(f"explain {net} --layer blocks.1.relu --layer blocks.3.relu --fusion max --precision fast")
    assert code == 0
    found = open_run("reports/explain-net").explanations["grad-cam"]
    assert (found.layer, found.fusion) == ("blocks.1.relu + blocks.3.relu", "max")
    assert found.maps.shape[2:] == (24, 24)
    assert found.confidence.shape == (2,)
    assert f"half precision is {found.deviation:.2%} off" in out


def test_a_dry_run_does_nothing_but_tell(call, net, folder):
    before = sorted(folder.rglob("*"))
    code, out, _ = call(f"explain {net} --method all --targets all --dry-run --memory 100MB")
    assert code == 0
    assert sorted(folder.rglob("*")) == before
    assert all(name in out for name in METHODS)
    assert "left out: cam: CAM needs" in out
    assert "2 images, 7 classes each: about" in out
    code, out, _ = call(f"run {net} --methods occlusion --out r --dry-run")
    assert code == 0
    assert "occlusion: the image is computed whole" in out or "occlusion: only what a window reaches" in out
    assert sorted(folder.rglob("*")) == before


def test_what_occlusion_gained_is_said_after_the_work(call, net, monkeypatch):
    monkeypatch.setattr(import_module("inspect_fer.explain.incremental"), "PAYS", 0.0)
    err = call(f"explain {net} --method occlusion")[2]
    assert "occlusion: only what a window reaches was computed" in err
    assert "less time measured, against four whole images at a time" in err
    assert "occlusion" not in call(f"explain {net} --method grad-cam")[2]


@pytest.mark.parametrize("flags", ["", "--dry-run"])
def test_what_the_network_does_not_allow_is_said_before_the_run(call, folder, flags):
    card = ModelCard("se", NAMES, (1, 48, 48), (0.5,), (0.25,), "", options={"width": 2})
    save(Classifier(build("se", size=48, options={"width": 2}), card), folder / "se.safetensors")
    code, out, err = call(
        f"explain --model se.safetensors --data synthetic:2 --method occlusion --method lrp --out r {flags}"
    )
    assert (code, out) == (2, "")
    assert "LRP has no rule for Sigmoid" in err
    assert not (folder / "r" / "explanations").exists()


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        ("--layer ''", "name a layer, or leave it out to read 'blocks.3.relu'"),
        ("--memory plenty", "such as '1GB'"),
        ("--memory 1kB", "too small"),
        ("--precision exakt", "Did you mean 'exact'?"),
        ("--fusion meen --layer blocks.1.relu --layer blocks.2.relu", "Did you mean 'mean'?"),
    ],
)
def test_other_mistakes_are_one_line(call, net, flags, hint):
    code, _, err = call(f"explain {net} {flags}")
    assert code == 2
    assert hint in err
    assert len(err.strip().splitlines()) == 1


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
    assert "1 image, 1 class: less than a second" in out
