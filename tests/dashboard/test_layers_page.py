"""What the Layers page shows of the inside: each part says what the library says, and bad choices are one sentence."""

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from inspect_fer.dashboard.inside_charts import change_chart, gate_chart, signed_chart
from inspect_fer.internals import channel_contributions, concepts
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load, save
from inspect_fer.runs import faces_of, open_run
from inspect_fer.schema import Classifier

PARTS = (
    "Activation maps",
    "Contributions",
    "Channels off",
    "Gates",
    "Exciting faces",
    "Concepts",
    "Visualisation",
    "Dense weights",
)


def words(app):
    kinds = (app.title, app.markdown, app.caption, app.info, app.error, app.warning)
    return "\n".join(element.value for kind in kinds for element in kind)


def fine(app):
    return not app.error and not app.exception


def box(app, label):
    return next(box for box in app.selectbox if box.label == label)


@pytest.fixture
def network(place):
    return load(place / "home" / "checkpoints" / "tiny.safetensors")


@pytest.fixture
def face(place):
    return faces_of(open_run(place / "reports" / "small"))[:1]


@pytest.fixture
def gated(place, network):
    """A network with a gate among the published ones."""
    options = {"width": 2}
    card = network.card.from_dict(network.card.as_dict() | {"architecture": "se", "options": options})
    made = Classifier(build("se", channels=1, classes=7, size=48, options=options), card)
    path = place / "home" / "checkpoints" / "gated.safetensors"
    save(made, path)
    yield made
    path.unlink()


@pytest.fixture
def transformer(place, network):
    """A vision transformer of 3 x 3 patches among the published networks."""
    pytest.importorskip("timm", reason="timm is an extra")
    name, options = "timm:vit_tiny_patch16_224", {"depth": 2, "embed_dim": 12}
    card = network.card.from_dict(network.card.as_dict() | {"architecture": name, "options": options, "cam_layer": ""})
    path = place / "home" / "checkpoints" / "tokens.safetensors"
    save(Classifier(build(name, size=48, options=options), card), path)
    yield
    path.unlink()


def test_without_a_run_and_a_face_each_part_says_so(open_page, surroundings, tmp_path):
    surroundings.setenv("INSPECT_FER_REPORTS", str(tmp_path / "nowhere"))
    app = open_page("layers")
    for part in PARTS[:6]:
        app.session_state["tab"] = part
        app.run()
        assert fine(app), words(app)
        assert len(app.info) == 1, part


def test_each_part_opens(open_page):
    app = open_page("layers")
    for part in PARTS:
        app.session_state["tab"] = part
        app.run()
        assert fine(app), f"{part}: {words(app)}"


def test_the_logits_can_be_looked_at(open_page):
    app = open_page("layers")
    box(app, "Layer").set_value("logits").run()
    assert fine(app), words(app)
    assert "logits gives 7 features" in words(app)


def test_contributions_say_what_they_leave_of_the_logit(open_page, network, face):
    app = open_page("layers", tab="Contributions")
    box(app, "Class").set_value("fear").run()
    found = channel_contributions(network, face)
    target = network.card.class_names.index("fear")
    total, rest = float(found.values[0, target].sum()), float(found.rest[0, target])
    assert f"add up to {total:+.2f}, and {rest:+.2f} of the logit of {total + rest:+.2f} is left" in words(app)


def test_channels_that_lower_the_logit_are_drawn_below_zero(open_page, surroundings, network, face):
    drawn = []
    surroundings.setattr(
        "inspect_fer.dashboard.inside.overlay_pixels", lambda _, maps, **__: drawn.append(maps) or [[]]
    )
    app = open_page("layers", tab="Contributions")
    assert fine(app), words(app)
    values = channel_contributions(network, face, targets="predicted").values[0, 0]
    best = values[values.abs().sort(descending=True, stable=True).indices[:6]]
    assert best.min() < 0 < best.max()
    for shade, value in zip(drawn[0][0], best, strict=True):
        assert (shade * value >= 0).all()
        assert shade.any()


def test_every_layer_can_be_switched_off_but_the_logits(open_page):
    app = open_page("layers", tab="Channels off")
    assert "logits" not in box(app, "Layer").options
    for layer in ("blocks.0.conv", "classifier.3"):
        box(app, "Layer").set_value(layer).run()
        assert fine(app), words(app)


def test_gates_of_a_network_that_has_some(open_page, gated):
    app = open_page("layers", tab="Gates")
    assert "no squeeze-and-excitation gates" in app.info[0].value
    app.selectbox(key="network small").set_value("gated").run()
    assert fine(app), words(app)
    assert box(app, "Gate").value == "blocks.0.se.sigmoid"
    box(app, "Set a channel's gate to").set_value("0: shut it").run()
    assert fine(app), words(app)


def test_tokens_are_laid_out_as_maps(open_page, transformer):
    app = open_page("layers")
    app.selectbox(key="network small").set_value("tokens").run()
    for part in (*PARTS, "Filter kernels", "Table of layers"):
        app.session_state["tab"] = part
        app.run()
        if part in {"Activation maps", "Channels off", "Exciting faces", "Visualisation"}:
            box(app, "Layer").set_value("blocks.0").run()
        assert fine(app), f"{part}: {words(app)}"
        if part == "Activation maps":
            assert "gives 12 x 3 x 3 (channels, height, width)" in words(app)
        if part == "Contributions":
            assert [words.partition(" ")[0] for words in box(app, "Layer").options] == ["patch_embed.proj"]
        if part == "Concepts":
            assert "blocks.0" in [words.partition(" ")[0] for words in box(app, "Layer").options]
            box(app, "Layer").set_value("blocks.0").run()
            assert fine(app), words(app)


def test_the_page_explain_offers_layers_that_methods_can_read(open_page, transformer):
    app = open_page("explain")
    assert all(" x " in name for name in app.multiselect[0].options)
    app.selectbox(key="network small").set_value("tokens").run()
    assert fine(app), words(app)
    assert app.multiselect[0].options == ["patch_embed.proj · 12 x 3 x 3"]


def test_exciting_faces_can_be_paged_and_limited(open_page):
    app = open_page("layers", tab="Exciting faces")
    next(field for field in app.number_input if field.label == "Faces searched").set_value(5).run()
    box(app, "By").set_value("mean").run()
    box(app, "Layer").set_value("logits").run()
    assert fine(app), words(app)
    assert "the frame" not in words(app), "features have no place"


def test_concepts_stand_under_the_faces_of_the_page_and_are_kept(open_page, surroundings, network, place):
    drawn = []
    surroundings.setattr(
        "inspect_fer.dashboard.inside_concepts.concept_sheet",
        lambda *given: drawn.append(given) or Image.new("RGB", (9, 9)),
    )
    app = open_page("layers", tab="Concepts")
    next(field for field in app.number_input if field.label == "Faces").set_value(7).run()
    next(field for field in app.number_input if field.label == "Concepts").set_value(3).run()
    assert fine(app), words(app)
    found = concepts(network, faces_of(open_run(place / "reports" / "small"))[:7], "blocks.3.relu", 3)
    pixels, maps, answers, names, labels = drawn[-1]
    assert_close(maps, found.maps[:4])
    assert_close(answers, found.logits.softmax(1))
    assert (len(pixels), len(labels), names) == (4, 4, network.card.class_names)

    surroundings.setattr("inspect_fer.dashboard.inside_answers.concepts", None)
    app.session_state["concepts 7"] = 2
    app.run()
    assert fine(app), "kept"
    assert_close(drawn[-1][1], found.maps[4:])


def test_the_answers_to_concepts_can_be_read_aloud(open_page):
    app = open_page("layers", tab="Concepts")
    told = app.get("image")[-1].proto.imgs[0].alt
    assert told.startswith("Concepts of blocks.3.relu over 4 faces. concept 0: ")
    assert told.count(" %") == 10


def test_pictures_are_found_when_asked_for_and_kept(open_page, surroundings):
    app = open_page("layers", tab="Visualisation")
    assert "7 pictures in 100 steps" in app.info[0].value
    next(field for field in app.number_input if field.label == "Steps").set_value(2).run()
    app.multiselect[0].set_value([3, 6]).run()
    app.button[-1].click().run()
    assert fine(app), words(app)
    assert "at the start and at the end" in words(app)

    def never(*_args, **_options):
        raise AssertionError

    surroundings.setattr("inspect_fer.dashboard.inside_answers.feature_visualisation", never)
    app.run()
    assert fine(app), "kept"
    assert "at the start and at the end" in words(app)


def test_impossible_options_are_one_sentence(open_page):
    app = open_page("layers", tab="Visualisation")
    next(field for field in app.number_input if field.label == "Steps").set_value(0).run()
    assert len(app.error) == 1
    assert "Steps, rate and noise are positive" in app.error[0].value


def test_charts_hold_the_numbers():
    bars = signed_chart(["a", "b"], [0.5, -2.0], "title").to_dict()
    (rows,) = bars["datasets"].values()
    assert [(row["name"], row["text"]) for row in rows] == [("a", "+0.500"), ("b", "-2.000")]
    cells = change_chart(torch.tensor([[1.0, -0.001], [0.0, 3.0]]), ["x", "y"], ["k", "l"], 2.0).to_dict()
    (rows,) = cells["datasets"].values()
    assert [row["text"] for row in rows] == ["+1.00", "+0.00", "+0.00", "+3.00"]
    assert [(row["row"], row["class"]) for row in rows] == [("x", "k"), ("x", "l"), ("y", "k"), ("y", "l")]
    (rows,) = gate_chart([0.25, 1.0]).to_dict()["datasets"].values()
    assert [row["passes"] for row in rows] == [0.25, 1.0]


def test_a_chart_of_nothing_is_drawn():
    assert signed_chart(["a"], [0.0], "zero").to_dict()
