"""What a map is worth: broken, saturated, a single cell; the fast network's error; methods that say the same."""

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import FerError, NetworkError, UnknownNameError
from inspect_fer.explain import METHODS, GradCAM, explain, passes
from inspect_fer.explain.coinciding import coinciding
from inspect_fer.schema import HEALTH
from inspect_fer.twin import half_twin, multiplies_half

half = pytest.mark.skipif(not multiplies_half("cpu"), reason="this processor multiplies bfloat16 no faster")


def words(explanation):
    return [
        [explanation.remark(row, column) for column in range(codes.shape[0])]
        for row, codes in enumerate(explanation.health)
    ]


class Root(nn.Module):
    def forward(self, values):
        return values.sqrt()


def test_the_layer_where_values_cease_to_be_finite_is_named(tiny_model, images):
    tiny_model.network.features.relu = Root()
    found = explain(tiny_model, images, ["grad-cam", "eigen-cam"], targets="all")
    assert {found[name].broken_layer for name in found} == {"features.relu"}
    assert words(found["grad-cam"])[0] == ["not finite from features.relu on"] * 5


def test_an_input_that_is_not_finite_is_named(tiny_model, images):
    images[1, 0, 3, 3] = torch.nan
    found = explain(tiny_model, images, "grad-cam")
    assert found.broken_layer == "input"
    assert words(found)[1] == ["not finite from input on"]
    assert found.maps[[0, 2, 3]].isfinite().all()


def test_gradients_that_are_not_finite_are_named(mlp_model, images):
    class Rooted(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, given):
            logits = self.inner(given)
            return logits + (logits - logits.detach()).sqrt()  # 0, with an infinite derivative

    model = replace(mlp_model, network=Rooted(mlp_model.network))
    found = explain(model, images, "grad-cam", layer="inner.blocks.1.relu")
    assert found.broken_layer == "gradients"
    assert not found.maps.isfinite().any()


def test_sound_maps_name_no_layer(tiny_model, images):
    assert explain(tiny_model, images, "grad-cam").broken_layer == ""


def test_a_map_divided_by_a_negative_score_says_so(tiny_model, images):
    targets = torch.tensor([[0, 3], [1, 2], [4, 0], [2, 2]])
    with torch.no_grad():
        negative = tiny_model.network.eval()(images).gather(1, targets) < 0
    assert negative.any()
    assert not negative.all()
    maps = explain(tiny_model, images, "ablation-cam", targets=targets)
    assert torch.equal(maps.health == HEALTH.index("sign turned"), negative)
    assert torch.equal(maps.of([2, 1]).only([1]).turned, negative[[2, 1]][:, [1]])
    for other in ("ablation-cam?scale=magnitude", "ablation-cam?scale=none", "grad-cam"):
        assert explain(tiny_model, images, other, targets=targets).turned is None


def test_a_map_of_one_cell_says_so(tiny_model, images):
    assert words(explain(tiny_model, images, "grad-cam", targets="all", layer="pool"))[0] == ["a single cell"] * 5
    assert words(explain(tiny_model, images, "fem", targets="all", layer="pool"))[0] == ["a single cell"] * 5


def test_a_saturated_softmax_is_told_last_of_all(tiny_model, images):
    calm = explain(tiny_model, images, "grad-cam", targets="all")
    assert "saturated softmax" not in set(chain(*words(calm)))
    with torch.no_grad():
        tiny_model.network.classifier.weight *= 1000
        tiny_model.network.classifier.bias *= 1000
    sure = explain(tiny_model, images, "grad-cam", targets="all")
    assert_close(sure.confidence, tiny_model.network(images).softmax(1).amax(1).detach())
    expected = [
        ["saturated softmax" if word == "" and sure.confidence[row] > 0.9999 else word for word in line]
        for row, line in enumerate(words(calm))
    ]
    assert words(sure) == expected
    assert "saturated softmax" in set(chain(*expected))
    assert HEALTH[int(sure.of([1]).health[0, 0])] == (words(sure)[1][0] or "ok")


def test_methods_that_say_the_same_are_named_on_pooling_and_one_linear_layer(tiny_model, images):
    names = ["cam", "grad-cam", "hires-cam", "xgrad-cam", "layer-cam", "grad-cam-elementwise", "eigen-cam", "occlusion"]
    found = explain(tiny_model, images, names, targets="all")
    assert set(found["cam"].same_as) == {"grad-cam", "hires-cam", "xgrad-cam"}
    assert set(found["xgrad-cam"].same_as) == {"cam", "grad-cam", "hires-cam"}
    assert found["layer-cam"].same_as == ("grad-cam-elementwise",)
    assert found["eigen-cam"].same_as == found["occlusion"].same_as == ()


def test_they_differ_on_other_heads(mlp_model, images):
    found = explain(mlp_model, images, ["grad-cam", "hires-cam", "xgrad-cam"], targets="all")
    assert [why.same_as for why in found.values()] == [(), (), ()]


def test_the_sign_of_the_factor_counts_and_each_map_has_its_own(generator):
    maps = torch.randn(40, 2, 3, 3, generator=generator)
    scaled = maps * torch.rand(40, 2, 1, 1, generator=generator).add(0.1)
    late = scaled.clone()
    late[39, 1] *= -1  # beyond the images that are compared first
    found = coinciding({"one": maps, "scaled": scaled, "turned": -maps, "late": late, "small": maps[..., :2]})
    assert found == {"one": ("scaled",), "scaled": ("one",), "turned": (), "late": (), "small": ()}


def test_zeros_are_like_zeros_alone(generator):
    maps = torch.randn(2, 1, 3, 3, generator=generator)
    maps[0] = 0
    other = maps.clone()
    other[0, 0, 1, 1] = 1
    assert coinciding({"a": maps, "b": 3 * maps, "c": other})["a"] == ("b",)
    assert coinciding({"a": maps * torch.nan, "b": maps * torch.nan})["a"] == ()


def test_what_a_network_refuses_is_told_and_left_out(mlp_model, images):
    told = {}
    found = explain(mlp_model, images, ["cam", "grad-cam"], refuse=lambda key, problem: told.update({key: problem}))
    assert list(found) == ["grad-cam"]
    assert isinstance(told["cam"], NetworkError)
    assert explain(mlp_model, images, ["cam"], refuse=lambda *_: None) == {}
    with pytest.raises(NetworkError, match="global average pooling"):
        explain(mlp_model, images, ["cam", "grad-cam"])


def test_a_refusal_is_told_once_over_all_batches(mlp_model, images):
    told = []
    found = explain(mlp_model, images, ["cam", "fem"], refuse=lambda key, _: told.append(key), batch_size=1)
    assert told == ["cam"]
    assert len(found["fem"].maps) == 4


def test_without_a_layer_what_needs_none_is_left(mlp_model, images):
    bare = replace(mlp_model, card=replace(mlp_model.card, cam_layer=""))
    told = []
    names = ["grad-cam", "saliency", "guided-grad-cam"]
    found = explain(bare, images, names, refuse=lambda key, _: told.append(key))
    assert (list(found), told) == (["saliency"], ["grad-cam", "guided-grad-cam"])


def test_a_layer_without_maps_refuses_all_that_read_it(mlp_model, images):
    told = {}
    names = ["grad-cam", "saliency", "eigen-cam"]
    found = explain(mlp_model, images, names, layer="hidden", refuse=lambda key, why: told.update({key: why}))
    assert list(found) == ["saliency"]
    assert set(told) == {"grad-cam", "eigen-cam"}
    assert all(isinstance(why, FerError) for why in told.values())


@half
def test_fast_is_half_precise_and_says_how_far_it_is_off(tiny_model, images):
    exact = explain(tiny_model, images, ["grad-cam", "occlusion", "saliency"], targets="all")
    fast = explain(tiny_model, images, ["grad-cam", "occlusion", "saliency"], targets="all", precision="fast")
    for name in ("grad-cam", "occlusion"):
        off = float((fast[name].maps - exact[name].maps).norm() / exact[name].maps.norm())
        assert 0 < off < 0.2
        assert fast[name].deviation == pytest.approx(off, rel=1e-3)
        assert exact[name].deviation is None
    assert fast["saliency"].deviation == 0  # gradients down to the input stay as they are
    assert_close(fast["saliency"].maps, exact["saliency"].maps)


@half
def test_the_network_stays_as_precise_as_it_was(tiny_model, images):
    explain(tiny_model, images, "grad-cam", precision="fast")
    assert {weight.dtype for weight in tiny_model.network.parameters()} == {torch.float32}
    twin = half_twin(tiny_model.network)
    assert {weight.dtype for weight in twin.parameters()} == {torch.bfloat16}


@pytest.fixture
def turned(monkeypatch):
    """A quick network that answers with the classes turned round and twice the logits: nothing like the exact one."""

    def half(network):
        quick = deepcopy(network)
        quick.classifier.weight.data = 2 * quick.classifier.weight.data.roll(1, 0)
        quick.classifier.bias.data = 2 * quick.classifier.bias.data.roll(1, 0)
        return quick

    monkeypatch.setattr(passes, "half_twin", half)


@pytest.mark.usefixtures("turned")
def test_the_deviation_is_that_of_the_same_classes_on_the_first_images(tiny_model, generator):
    images = torch.randn(7, 1, 12, 12, generator=generator)
    found = explain(tiny_model, images, ["grad-cam", "saliency"], precision="fast")
    fast, exact = found["grad-cam"], explain(tiny_model, images, "grad-cam", targets=found["grad-cam"].targets)
    assert_close(fast.targets[:, 0], (tiny_model.network(images).argmax(1) + 1) % 5)
    off = (fast.maps - exact.maps)[:4].norm() / exact.maps[:4].norm()
    assert fast.deviation == pytest.approx(float(off))
    assert found["saliency"].deviation == 0


@pytest.mark.usefixtures("turned")
def test_maps_of_zeros_deviate_by_nothing(tiny_model, images):
    tiny_model.network.classifier.weight.data[:2] = 0  # the quick network's classes 1 and 2
    assert explain(tiny_model, images, "grad-cam", targets=1, precision="fast").deviation == 0


@pytest.mark.usefixtures("turned")
@pytest.mark.parametrize("quick", [False, True], ids=["exact", "quick"])
def test_what_one_of_the_networks_refuses(tiny_model, images, quick):
    size, told = tiny_model.network.classifier.weight.norm(), []

    @dataclass(frozen=True)
    class Picky(GradCAM):
        """Grad-CAM that refuses one of the two."""

        def __call__(self, shared):
            if (shared.head[0].norm() > 1.5 * size) == quick:
                raise NetworkError("Not this one.")
            return super().__call__(shared)

    methods, options = {"picky": Picky(), "fem": "fem"}, {"precision": "fast"}
    found = explain(tiny_model, images, methods, refuse=lambda key, _: told.append(key), **options)
    assert told == (["picky"] if quick else [])
    assert {key: why.deviation for key, why in found.items()} == {"fem": 0} | ({} if quick else {"picky": None})
    with pytest.raises(NetworkError, match="Not this"):
        explain(tiny_model, images, methods, **options)


def test_fast_without_a_processor_for_it_is_exact(tiny_model, images, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    found = explain(tiny_model, images, "grad-cam", precision="fast")
    assert found.deviation == 0
    assert_close(found.maps, explain(tiny_model, images, "grad-cam").maps, rtol=0, atol=0)


def test_other_precisions_are_refused(tiny_model, images):
    with pytest.raises(UnknownNameError, match="fast"):
        explain(tiny_model, images, "grad-cam", precision="fat")


def test_every_method_can_be_asked_at_once(tiny_model, images):
    told = []
    quick = {name: METHODS[name]() for name in ("cam", "grad-cam", "fem", "saliency", "deep-lift", "lrp", "full-grad")}
    found = explain(tiny_model, images, quick, refuse=lambda key, _: told.append(key))
    assert list(found) == list(quick)
    assert told == []
