"""Every page on a small run, and what each says when something is missing or broken."""

import io
import json
import re
import shutil
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from PIL import Image

from inspect_fer.datasets.synthetic import load_synthetic
from inspect_fer.explain import explain
from inspect_fer.explain.cost import Forecast
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load, save
from inspect_fer.predict import predict
from inspect_fer.runs import faces_of, open_run, save_run
from inspect_fer.schema import Classifier

PAGES = ("overview", "errors", "explain", "layers")


def words(app):
    """All text of the page."""
    kinds = (app.title, app.markdown, app.caption, app.info, app.error, app.warning)
    return "\n".join(element.value for kind in kinds for element in kind)


def fine(app):
    return not app.error and not app.exception


@pytest.fixture
def copy(place, surroundings, tmp_path):
    """A run and checkpoints of this test's own, to be broken."""
    shutil.copytree(place, tmp_path / "own")
    surroundings.setenv("INSPECT_FER_REPORTS", str(tmp_path / "own" / "reports"))
    surroundings.setenv("INSPECT_FER_HOME", str(tmp_path / "own" / "home"))
    manifest = tmp_path / "own" / "reports" / "small" / "run.json"
    values = json.loads(manifest.read_text())
    values["model"]["origin"] = str(tmp_path / "own" / "home" / "checkpoints" / "tiny.safetensors")
    manifest.write_text(json.dumps(values))
    return tmp_path / "own"


@pytest.mark.parametrize("page", PAGES)
def test_opens(open_page, page):
    app = open_page(page)
    assert fine(app), words(app)
    assert app.sidebar.selectbox(key="run").value == "small"


@pytest.mark.parametrize("page", PAGES)
def test_says_how_to_make_a_run_when_there_is_none(open_page, surroundings, tmp_path, page):
    surroundings.setenv("INSPECT_FER_REPORTS", str(tmp_path / "nowhere"))
    app = open_page(page)
    assert fine(app)
    if page in {"overview", "errors"}:
        assert "inspect-fer demo" in app.info[0].value
    else:
        assert {"other", "tiny"} <= set(app.selectbox(key="network ").options)


@pytest.mark.parametrize("page", ["errors", "explain"])
def test_a_damaged_run_is_one_sentence(open_page, copy, page):
    (copy / "reports" / "small" / "predictions.parquet").write_bytes(b"PAR1")
    app = open_page(page)
    assert len(app.error) == 1
    assert "small is damaged" in app.error[0].value.replace("\\", "")
    assert not app.exception


def test_overview_shows_scores_beside_the_baseline(open_page, place):
    scores = open_run(place / "reports" / "small").metrics
    app = open_page("overview")
    accuracy = next(metric for metric in app.metric if metric.label == "Accuracy")
    assert accuracy.value == f"{100 * scores['accuracy']:.1f} %"
    assert accuracy.delta == f"majority {100 * scores['baseline']['accuracy']:.1f} %"
    assert "Training" in [element.value for element in app.subheader]
    assert "2,811" in app.table[0].value.to_string(), "parameters"
    assert "small\\* network" in app.table[0].value.to_string(), "a note is words, no Markdown"


def test_errors_begins_with_all_mistakes(open_page, place):
    run = open_run(place / "reports" / "small")
    app = open_page("errors")
    wrong = run.prediction.wrong.nonzero()[:, 0]
    assert f"**All mistakes: {len(wrong)} faces**" in words(app)
    surest = wrong[run.prediction.confidence[wrong].argmax()]
    assert app.session_state["face"] == run.prediction.ids[int(surest)]


def cell_of(run, *, wrong):
    """Names of one cell that holds faces, right or wrong ones."""
    row = int((run.prediction.wrong if wrong else ~run.prediction.wrong).nonzero()[0])
    names = run.prediction.class_names
    return names[int(run.prediction.labels[row])], names[int(run.prediction.predicted[row])]


@pytest.mark.parametrize("wrong", [True, False])
def test_a_cell_shows_its_faces(open_page, place, wrong):
    run = open_run(place / "reports" / "small")
    true, predicted = cell_of(run, wrong=wrong)
    names = run.prediction.class_names
    inside = (run.prediction.labels == names.index(true)) & (run.prediction.predicted == names.index(predicted))
    selection = {"selection": {"cell": [{"true": true, "predicted": predicted}]}}
    app = open_page("errors", **{"confusion 0": selection})
    assert fine(app)
    shown = "rightly predicted" if true == predicted else f"given as {true}, predicted as {predicted}"
    assert shown in words(app)
    assert f"**{int(inside.sum())} face" in words(app)
    assert app.session_state["face"] in [run.prediction.ids[row] for row in inside.nonzero()[:, 0]]


def test_an_empty_cell_says_so_and_can_be_left(open_page, place):
    run = open_run(place / "reports" / "small")
    matrix, names = run.metrics["confusion"], run.prediction.class_names
    empty = next((t, p) for t in range(7) for p in range(7) if not matrix[t][p])
    cell = {"true": names[empty[0]], "predicted": names[empty[1]]}
    app = open_page("errors", **{"confusion 0": {"selection": {"cell": [cell]}}})
    assert "No face of the run lies in this cell." in words(app)
    app.button[0].click().run()
    assert "All mistakes" in words(app)


def test_a_run_without_labels_or_maps(open_page, copy):
    model = load(copy / "home" / "checkpoints" / "tiny.safetensors")
    faces = replace(load_synthetic(5), labels=torch.full((5,), -1), source={}, truth={})
    save_run(copy / "reports" / "bare", model, faces, predict(model, faces))
    app = open_page("overview", run="bare")
    assert fine(app)
    assert "no labels" in app.info[0].value
    app = open_page("errors", run="bare")
    assert fine(app)
    assert "All 5 faces, none of them labelled" in words(app)
    assert open_page("explain", run="bare").selectbox(key="class False").options[:2] == [
        "predicted class",
        "each class",
    ]


def test_a_planted_wrong_label_is_told(open_page, place):
    run = open_run(place / "reports" / "small")
    app = open_page("errors")
    faces = faces_of(run)
    row = int(((faces.truth["label"] != faces.labels) & run.prediction.wrong).nonzero()[0])
    app.session_state["face"] = run.prediction.ids[row]
    app.run()
    assert f"planted wrong label: drawn as {faces.class_names[int(faces.truth['label'][row])]}" in words(app)


def test_errors_keeps_the_matrix_when_the_faces_have_gone(open_page, copy):
    (copy / "reports" / "small" / "pixels.safetensors").write_bytes(b"no tensors")
    app = open_page("errors")
    assert len(app.error) == 1
    assert "pixels.safetensors is damaged" in app.error[0].value
    assert app.get("vega_lite_chart")


def test_a_deep_link_names_the_sample(open_page):
    app = open_page("explain", query={"run": "small"}, sample="synthetic/test/7")
    assert fine(app)
    assert "synthetic/test/7" in words(app)


@pytest.mark.parametrize(
    ("method", "target"),
    [("grad-cam", "predicted"), ("grad-cam", "all"), ("occlusion", "label"), ("occlusion", "fear")],
)
def test_explain_shows_maps(open_page, method, target):
    app = open_page("explain")
    app.selectbox(key="method").set_value(method).run()
    app.selectbox(key="class True").set_value(target).run()
    assert fine(app), words(app)
    assert ("**fear**" in words(app)) or target in {"predicted", "label"}


def test_cam_without_a_linear_head_is_one_sentence(open_page):
    app = open_page("explain")
    app.selectbox(key="method").set_value("cam").run()
    assert len(app.error) == 1
    assert "CAM needs global average pooling" in app.error[0].value
    assert not app.exception


@pytest.mark.parametrize("cost", ["as it is", "seeing nothing"])
def test_a_method_through_captum_that_the_network_does_not_allow_is_one_sentence(open_page, copy, monkeypatch, cost):
    card = replace(load(copy / "home" / "checkpoints" / "tiny.safetensors").card, architecture="se", cam_layer="")
    gated = Classifier(build("se", size=48, options=card.options), card)
    save(gated, copy / "home" / "checkpoints" / "other.safetensors")
    if cost == "seeing nothing":  # a face of its own may be refused where the forecast's was not
        monkeypatch.setattr(import_module("inspect_fer.explain.cost"), "refusals", lambda *_: {})
    app = open_page("explain")
    app.selectbox(key="network small").set_value("other").run()
    app.selectbox(key="method").set_value("lrp").run()
    assert "LRP has no rule for Sigmoid" in words(app)
    assert not app.exception


@pytest.mark.parametrize("view", ["One method", "Side by side"])
def test_occlusion_says_how_much_less_there_is_to_do(open_page, view):
    app = open_page("explain", view=view)
    if view == "One method":
        app.selectbox(key="method").set_value("occlusion").run()
    assert fine(app), words(app)
    assert re.search(r"occlusion: (only what a window reaches is|the image is) computed", words(app))


def test_impossible_options_are_one_sentence(open_page):
    app = open_page("explain")
    app.selectbox(key="method").set_value("occlusion").run()
    app.number_input(key="occlusion window").set_value(99).run()
    assert "does not fit an image of 48 x 48" in app.error[0].value


def test_explain_says_what_maps_take_and_which_are_alike(open_page):
    app = open_page("explain")
    assert "Takes 1 forward pass, less than a second" in words(app)
    app.selectbox(key="method").set_value("layer-cam").run()
    assert "the same map, up to a factor, as" in words(app)
    assert "grad-cam-elementwise" in words(app)


def test_turned_signs_are_said_once_in_full(open_page):
    app = open_page("explain")
    app.selectbox(key="method").set_value("ablation-cam").run()
    next(box for box in app.selectbox if box.label == "Class").set_value("all").run()
    assert fine(app), words(app)
    assert words(app).count("Sign turned: a plus speaks against it.") >= 1
    assert words(app).count("The scale magnitude keeps it.") == 1


def test_a_contrast_names_the_rival(open_page):
    app = open_page("explain")
    app.selectbox(key="method").set_value("contrast").run()
    assert fine(app), words(app)
    assert re.search(r"(\w+) is set against (?!\1)\w+, any other class against \1\.", words(app))
    app.selectbox(key="method").set_value("fem").run()
    assert "is set against" not in words(app)
    assert "**any class**\n" in words(app) + "\n"


def test_what_takes_long_waits_for_a_click(open_page):
    app = open_page("explain")
    app.selectbox(key="method").set_value("rise").run()
    app.number_input(key="rise masks").set_value(10_000_000).run()
    assert fine(app), words(app)
    assert "Takes 10,000,001 forward passes" in words(app)
    assert "rise: 48 x 48 cells" not in words(app)
    assert any(button.label.startswith("Compute (") for button in app.button)


def test_a_click_computes(open_page, monkeypatch):
    monkeypatch.setattr(Forecast, "seconds", 60.0)
    app = open_page("explain")
    assert "grad-cam, read at" not in words(app)
    next(button for button in app.button if button.label == "Compute (1 min)").click().run()
    assert "grad-cam, read at" in words(app)
    app.selectbox(key="class True").set_value("fear").run()
    assert "grad-cam, read at" not in words(app)


def test_several_layers_are_fused(open_page):
    app = open_page("explain")
    app.multiselect[0].set_value(["blocks.1.relu", "blocks.3.relu"]).run()
    assert fine(app), words(app)
    assert "read at blocks.1.relu + blocks.3.relu, fused by mean: 48 x 48 cells" in words(app)
    app.multiselect[0].set_value([]).run()
    assert "Choose at least one layer" in app.error[0].value


def test_half_precision_says_how_far_it_is_off(open_page):
    app = open_page("explain")
    app.toggle(key="half").set_value(True).run()
    assert fine(app), words(app)
    assert "% off the exact map" in words(app)


def legends(app):
    """What stands beside the colour bars about the scale of the maps."""
    return [words for element in app.get("html") for words in re.findall(r"· ([^<]*)</span>", element.body)]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("grad-cam", "each map on its own scale"),
        ("saliency", "each map on its own scale, full colour at the 99th percentile"),
    ],
)
def test_the_legend_says_what_full_colour_is(open_page, method, said):
    app = open_page("explain")
    app.selectbox(key="method").set_value(method).run()
    assert legends(app) == [said]


def test_legends_of_several_methods_name_those_of_pixels(open_page, copy):
    app = open_page("explain", view="Side by side")
    app.multiselect(key="methods").set_value(["grad-cam", "saliency"]).run()
    assert legends(app) == ["each map on its own scale, full colour at the 99th percentile for saliency"]
    run = open_run(copy / "reports" / "small")
    faces = faces_of(run)
    found = explain(load(copy / "home" / "checkpoints" / "tiny.safetensors"), faces, ["saliency", "grad-cam"])
    save_run(run.folder, load(run.manifest["model"]["origin"]), faces, run.prediction, found, overwrite=True)
    wall, detail = legends(open_page("errors"))
    assert wall == "each map on its own scale, full colour at the 99th percentile"
    assert detail == "the maps of a face on one scale, full colour at the 99th percentile for saliency"


def test_methods_stand_side_by_side(open_page):
    app = open_page("explain", view="Side by side")
    assert fine(app), words(app)
    assert "**grad-cam**" in words(app)
    assert "**eigen-cam** · any class" in words(app)
    app.multiselect(key="methods").set_value(["cam", "layer-cam", "grad-cam-elementwise"]).run()
    assert fine(app), words(app)
    assert "cam: CAM needs global average pooling" in words(app)
    assert "same as grad-cam-elementwise" in words(app)
    app.multiselect(key="methods").set_value([]).run()
    assert "Choose a method." in app.info[0].value


def test_an_unknown_sample_is_one_sentence(open_page):
    app = open_page("explain")
    app.text_input(key="sample").set_value("synthetic/test/999").run()
    assert "No sample of this run is called 'synthetic/test/999'" in app.error[0].value


def test_next_steps_through_the_run(open_page):
    app = open_page("explain", sample="synthetic/test/41")
    next(button for button in app.button if button.label == "Next").click().run()
    assert app.text_input(key="sample").value == "synthetic/test/0"


def test_any_network_of_another_run_can_be_asked(open_page):
    app = open_page("explain")
    box = app.selectbox(key="network small")
    assert box.options[0] == "tiny (this run's)"
    box.set_value("other").run()
    assert fine(app)


def test_a_checkpoint_that_has_gone_is_one_sentence(open_page, copy):
    (copy / "home" / "checkpoints" / "tiny.safetensors").unlink()
    app = open_page("explain")
    assert len(app.error) == 1
    assert "tiny.safetensors has gone" in app.error[0].value
    app.selectbox(key="network small").set_value("other").run()
    assert fine(app)


def test_a_checkpoint_that_has_changed_is_told(open_page, copy):
    folder = copy / "home" / "checkpoints"
    shutil.copy(folder / "other.safetensors", folder / "tiny.safetensors")
    app = open_page("explain")
    assert "no longer the network that made the run" in app.warning[0].value


def picture(side, kind="PNG"):
    buffer = io.BytesIO()
    Image.effect_noise((side, side + 9), 60).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("page", ["explain", "layers"])
def test_an_upload_is_explained(open_page, page):
    app = open_page(page, source="Upload")
    assert "Upload a picture" in words(app)
    app.file_uploader(key="upload").set_value(("me_and_*you*.png", picture(80), "image/png")).run()
    assert fine(app), words(app)
    assert "me\\_and\\_\\*you\\*.png" in words(app), "file names are words, no Markdown"


@pytest.mark.parametrize("content", [b"", b"\x89PNG no picture", picture(80)[:200]])
def test_a_broken_upload_is_one_sentence(open_page, content):
    app = open_page("explain", source="Upload")
    app.file_uploader(key="upload").set_value(("face.png", content, "image/png")).run()
    assert len(app.error) == 1
    assert "cannot be read as a picture" in app.error[0].value
    assert not app.exception


@pytest.mark.parametrize("layer", ["blocks.0.conv", "classifier.3", "blocks"])
def test_layers_shows_any_layer(open_page, layer):
    app = open_page("layers")
    box = next(box for box in app.selectbox if box.label == "Layer")
    box.set_value(layer).run()
    assert fine(app), words(app)
    assert f"{layer} gives" in words(app)


def test_layers_shows_kernels(open_page):
    app = open_page("layers", tab="Filter kernels")
    assert fine(app), words(app)
    assert "2 x 1 x 3 x 3 (filters, inputs, height, width)" in words(app)


def test_layers_lists_types_shapes_and_parameters(open_page):
    table = open_page("layers", tab="Table of layers").dataframe[0].value.set_index("layer")
    assert table.loc["blocks.0.conv"].to_list() == ["Conv2d", "2 x 48 x 48", 20, 3]


def test_a_bug_is_logged_and_shown_without_details(open_page, surroundings, caplog):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    surroundings.setattr("inspect_fer.metrics.evaluate", broken)
    surroundings.setattr("inspect_fer.dashboard.shared.open_run", broken)
    surroundings.setattr("inspect_fer.dashboard.shared._opened", broken)
    app = open_page("overview")
    assert "a bug in inspect_fer" in app.error[0].value
    assert "ZeroDivisionError" in caplog.text
