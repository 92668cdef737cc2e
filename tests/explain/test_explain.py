"""The one function: what goes in, what comes out, and how often the network runs."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, DataError, NetworkError, UnknownNameError
from inspect_fer.explain import METHODS, GradCAM, Occlusion, budget, describe, examine, explain, forecast, make_method
from inspect_fer.explain.need import need_of
from inspect_fer.explain.spelling import spelt
from inspect_fer.predict import predict
from inspect_fer.schema import Classifier, Explanation, Footprint, Samples


def test_one_method_gives_one_explanation(tiny_model, images):
    found = explain(tiny_model, images, "grad-cam")
    assert isinstance(found, Explanation)
    assert found.ids == ("0", "1", "2", "3")
    assert (found.layer, found.input_size, found.class_free) == ("features", (1, 12, 12), False)
    assert found.method == {"name": "grad-cam"}
    assert_close(explain(tiny_model, images, GradCAM()).maps, found.maps, rtol=0, atol=0)


def test_several_give_a_dictionary(tiny_model, images):
    found = explain(tiny_model, images, ["cam", Occlusion(window=4)])
    assert list(found) == ["cam", "occlusion"]
    assert found["occlusion"].method == {"name": "occlusion", "window": 4, "stride": 4, "fill": 0.0}
    assert found["occlusion"].layer == ""
    assert found["occlusion"].footprint == Footprint(((0, 4), (4, 8), (8, 12)), ((0, 4), (4, 8), (8, 12)))
    assert list(explain(tiny_model, images, ("cam",))) == ["cam"]
    mine = explain(tiny_model, images, {"small": Occlusion(window=4), "large": Occlusion(window=8), "cam": "cam"})
    assert [each.maps.shape[-1] for each in mine.values()] == [3, 2, 6]
    with pytest.raises(ConfigError, match="same name"):
        explain(tiny_model, images, [Occlusion(window=4), Occlusion(window=8)])


def test_all_shared_methods_and_classes_take_one_pass(tiny_model, images):
    passes = []
    tiny_model.network.register_forward_hook(lambda _m, inputs, _o: passes.append(len(inputs[0])))
    explain(tiny_model, images, ["cam", "grad-cam"], targets="all", batch_size=3)
    assert passes == [2, 2]  # at most 3, in equal portions


def test_together_equals_alone(tiny_model, images):
    together = explain(tiny_model, images, ["cam", "grad-cam", "occlusion"], targets="all")
    for name, found in together.items():
        assert_close(found.maps, explain(tiny_model, images, name, targets="all").maps, rtol=1e-4, atol=1e-5)


def test_samples_and_pixels_are_normalised(tiny_model):
    pixels = torch.arange(2 * 144, dtype=torch.uint8).view(2, 1, 12, 12)
    faces = Samples(("a", "b"), pixels, torch.tensor([0, 1]), tiny_model.card.class_names)
    found = explain(tiny_model, faces, "grad-cam", targets="label")
    assert found.ids == ("a", "b")
    assert_close(found.maps, explain(tiny_model, pixels, "grad-cam", targets=[0, 1]).maps)
    assert_close(found.maps, explain(tiny_model, (pixels / 255 - 0.5) / 0.25, "grad-cam", targets=[0, 1]).maps)


def test_another_layer_can_be_read(tiny_model, images):
    found = explain(tiny_model, images, "grad-cam", layer="features.relu")
    assert (found.layer, found.maps.shape) == ("features.relu", (4, 1, 12, 12))
    with pytest.raises(UnknownNameError, match="Did you mean 'features'"):
        explain(tiny_model, images, "grad-cam", layer="feature")


def test_methods_that_read_a_layer_need_one(tiny_model, images):
    blind = replace(tiny_model, card=replace(tiny_model.card, cam_layer=""))
    with pytest.raises(NetworkError, match=r"grad-cam reads a layer.*layer="):
        explain(blind, images, ["occlusion", "grad-cam"])
    assert explain(blind, images, "occlusion").layer == ""


def test_progress_is_told_in_images(tiny_model, images):
    told = []
    explain(tiny_model, images, ["cam", "grad-cam"], batch_size=3, tick=lambda *done: told.append(done))
    assert told == [(2, 4), (4, 4)]


def test_a_processor_takes_at_a_time_what_its_cache_holds(mlp_model, generator, monkeypatch):
    images, told = torch.randn(7, 1, 12, 12, generator=generator), []
    need = need_of(mlp_model, images[:1], {"": GradCAM()}, ("blocks.1.relu",), 2)
    assert 1.25 * need.plain < min(need.graph, need.shared)
    options = {"targets": [[n % 5, (n + 1) % 5] for n in range(7)], "tick": lambda *done: told.append(done)}
    whole = explain(mlp_model, images, "grad-cam", **options).maps
    monkeypatch.setattr(budget, "FEW", 1)
    monkeypatch.setattr(budget, "CACHE", 5 * need.plain)
    found = explain(mlp_model, images, "grad-cam", **options).maps
    explain(mlp_model, images, "grad-cam", batch_size=3, **options)
    assert told == [(7, 7), (4, 7), (7, 7), (3, 7), (6, 7), (7, 7)]
    assert_close(found, whole)


def test_input_that_does_not_fit_is_an_error(tiny_model, images):
    with pytest.raises(DataError, match="no image"):
        explain(tiny_model, images[:0], "cam")
    with pytest.raises(DataError, match="1 x 12 x 12"):
        explain(tiny_model, images[..., 1:], "cam")
    for size in (0, 1.5, "a", True):
        with pytest.raises(ConfigError, match="at least one image"):
            explain(tiny_model, images, "cam", batch_size=size)
    for layer in (3, b"features", [3], [["features"]], [], ["features", "features"]):
        with pytest.raises(ConfigError, match="Name one layer, or several"):
            explain(tiny_model, images, "cam", layer=layer)


def test_methods_are_made_by_name():
    assert make_method("occlusion", window=3) == Occlusion(window=3)
    with pytest.raises(UnknownNameError, match="Did you mean 'grad-cam'"):
        make_method("gradcam")
    with pytest.raises(ConfigError, match=r"No option of occlusion is called 'windows'\. Did you mean 'window'"):
        make_method("occlusion", windows=3)
    with pytest.raises(ConfigError, match="grad-cam has no options"):
        make_method("grad-cam", window=3)


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ("sess?base=grad-cam++", METHODS["sess"](base="grad-cam++")),
        ("sess?base=grad-cam%2B%2B&scales=2", METHODS["sess"](base="grad-cam++", scales=2)),
        ("lime?alpha=1e+2", METHODS["lime"](alpha=100.0)),
        ("occlusion?fill=1e+0&window=+4", Occlusion(fill=1.0, window=4)),
    ],
)
def test_a_plus_stands_for_itself(words, method):
    assert spelt(words, METHODS) == method


@pytest.mark.parametrize("value", ["{[]:1}", "-" * 3000 + "1", "(" * 3000, "[" * 300, "1" * 5000, "a", ""])
def test_a_value_that_python_cannot_read_is_one_line(value):
    with pytest.raises(ConfigError, match="The option window of occlusion is int, not '"):
        spelt(f"occlusion?window={value}", METHODS)


def test_a_method_of_the_users_own_has_its_class_name():
    class Mine(GradCAM):
        """Someone's own."""

    assert describe(Mine()) == {"name": "Mine"}


def test_a_network_without_a_card_is_told_to_be_wrapped(tiny_model, images):
    for ask in (
        lambda network: explain(network, images, "grad-cam"),
        lambda network: predict(network, images),
        lambda network: forecast(network, images, "grad-cam"),
    ):
        with pytest.raises(NetworkError, match=r"TinyNetwork has no card .* use fer\.wrap\("):
            ask(tiny_model.network)
        with pytest.raises(NetworkError, match=r"str has no card"):
            ask("demo")


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"fusion": None}, UnknownNameError, "No fusion is called None. Choose from: mean"),
        ({"precision": None}, UnknownNameError, "No precision is called None. Choose from: exact, fast"),
        ({"tick": 3}, ConfigError, "tick is a function .* not 3"),
        ({"refuse": 3}, ConfigError, "refuse is a function .* not 3"),
        ({"layer": [""]}, ConfigError, "empty name; name a layer, or leave it out to read 'features'"),
        ({"layer": ["features", ""]}, ConfigError, "empty name"),
        (
            {"memory": 10**400},
            ConfigError,
            "A memory budget is a size such as '1GB', '512MB' or a number .* not 10{400}",
        ),
        ({"memory": "9" * 400 + "GB"}, ConfigError, "A memory budget is a size"),
    ],
)
def test_choices_that_are_none_are_one_line(tiny_model, images, options, kind, says):
    for ask in (explain, examine, forecast):
        with pytest.raises(kind, match=says):
            ask(tiny_model, images, "grad-cam", **options)
    if "tick" in options:
        with pytest.raises(ConfigError, match=says):
            predict(tiny_model, images, **options)


def test_where_there_is_no_layer_to_read_another_way_is_shown(tiny_model, images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 5))
    bare = replace(tiny_model.card, cam_layer="")
    with pytest.raises(
        NetworkError, match="grad-cam reads a layer, and none of this network gives maps; use occlusion"
    ):
        explain(Classifier(network, bare), images, "grad-cam")
    with pytest.raises(NetworkError, match=r"card names none; name one with layer=, such as 'features'"):
        explain(replace(tiny_model, card=bare), images, "grad-cam")
    refused = {}
    found = explain(Classifier(network, bare), images, ["fem", "saliency"], refuse=refused.__setitem__)
    assert (list(found), list(refused)) == (["saliency"], ["fem"])


def test_words_that_no_option_has_are_refused_by_all(tiny_model, images):
    for ask in (explain, examine, forecast):
        with pytest.raises(TypeError, match="target"):
            ask(tiny_model, images, "grad-cam", target="all")


@dataclass
class Thawed:
    def __call__(self, shared):
        return shared.features[:, :1]


@pytest.mark.parametrize("method", [Thawed(), lambda shared: shared.features[:, :1], GradCAM, 3])
def test_what_is_no_method_is_told(tiny_model, images, method):
    with pytest.raises(ConfigError, match=r"A method is a name, or one made as METHODS\['grad-cam'\]\(\) is"):
        explain(tiny_model, images, method)


def test_sparse_images_are_told(tiny_model, images):
    with pytest.raises(DataError, match="to_dense"):
        explain(tiny_model, images.to_sparse(), "grad-cam")
