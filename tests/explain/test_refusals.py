"""What a network does not allow is said before any map is made, in the words of the method."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from inspect_fer.errors import NetworkError
from inspect_fer.explain import METHODS, GradCAM, Rise, explain, forecast
from inspect_fer.explain.need import _KNOWN as KNOWN
from inspect_fer.explain.need import KEPT, need_of
from inspect_fer.twin import exact_twin


class Gate(nn.Module):
    """Maps times a sigmoid of their mean, for which LRP has no rule, and an activation that DeepLIFT has none for."""

    def forward(self, maps):
        return nn.functional.gelu(maps * torch.sigmoid(maps.mean(dim=(2, 3), keepdim=True)))


@pytest.fixture
def gated(tiny_model):
    tiny_model.network.features.gate = Gate()
    return tiny_model


@pytest.fixture
def made(monkeypatch):
    """How often RISE was asked for maps."""
    calls, rise = [], Rise.__call__
    monkeypatch.setattr(Rise, "__call__", lambda *given: calls.append(1) or rise(*given))
    return calls


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lrp", "LRP has no rule for Sigmoid"),
        ("deep-lift", "DeepLIFT has no rule for the function gelu"),
    ],
)
def test_a_network_that_a_method_has_no_rule_for_is_told_first(gated, images, made, name, reason):
    with pytest.raises(NetworkError, match=reason) as told:
        explain(gated, images, ["rise?masks=20", name])
    assert made == []
    assert str(forecast(gated, images, ["rise?masks=20", name]).refused[name]) == str(told.value)
    assert str(forecast(gated, images, name).refused[name]) == str(told.value)
    refused = {}
    found = explain(gated, images, ["rise?masks=20", name], refuse=lambda *no: refused.update([no]))
    assert (list(found), list(refused)) == (["rise"], [name])
    assert str(refused[name]) == str(told.value)


class Cut(nn.Module):
    """No gradient passes it."""

    def forward(self, images):
        return images.detach()


GRADIENTS = (
    *("saliency", "input-x-gradient", "smooth-grad", "integrated-gradients", "gradient-shap", "full-grad"),
    *("guided-backprop", "deconvnet", "guided-grad-cam"),
)


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_network_without_gradients_is_told_first(tiny_model, images, made, name):
    tiny_model.network.features = nn.Sequential(Cut(), tiny_model.network.features)
    with pytest.raises(NetworkError, match="No gradient reaches the input"):
        explain(tiny_model, images, ["rise?masks=20", name])
    assert made == []
    assert "No gradient" in str(forecast(tiny_model, images, name).refused[name])


def test_a_network_without_relus_is_told_in_the_name_of_each_method(tiny_model, images):
    network = nn.Sequential(nn.Conv2d(1, 5, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = type(tiny_model)(network.eval(), tiny_model.card)
    names = {"guided-backprop": "Guided backpropagation", "deconvnet": "Deconvolution", "guided-grad-cam": "Guided"}
    told = forecast(model, images, list(names), layer="0").refused
    assert all(str(told[name]).startswith(words) for name, words in names.items())


def test_a_method_of_the_shared_pass_that_fails_is_refused_and_not_free(mlp_model, images, made):
    with pytest.raises(NetworkError, match="CAM needs"):
        explain(mlp_model, images, ["rise?masks=20", "cam"])
    assert made == []
    told = forecast(mlp_model, images, ["cam", "grad-cam"])
    assert (list(told.refused), list(told.methods)) == (["cam"], ["grad-cam"])
    methods = {name: METHODS[name]() for name in ("cam", "grad-cam")}
    need = need_of(mlp_model, images[:1], methods, ("blocks.1.relu",), 1)
    assert [type(method) for method in need.failed] == [METHODS["cam"]]
    assert METHODS["cam"]() not in need.each


def test_what_an_image_takes_is_measured_again_when_the_network_has_changed(tiny_model, images):
    tiny_model.network.features.register_forward_hook(lambda *_: None)  # then it stands in for its own twin
    given = tiny_model, images[:1], {"grad-cam": GradCAM()}, ("features",), 1
    before = need_of(*given)
    assert need_of(*given) is before
    tiny_model.network.features.conv = nn.Conv2d(1, 60, 3, padding=1)
    tiny_model.network.features.bn = nn.BatchNorm2d(60).eval()
    tiny_model.network.features.block = nn.Conv2d(60, 6, 1)
    assert need_of(*given).plain > 4 * before.plain


def test_a_network_that_cannot_be_copied_is_said_to_be_unknown(tiny_model, images):
    class Alone(type(tiny_model.network)):
        """Not to be copied."""

        def __deepcopy__(self, _):
            raise TypeError("There is but one.")

    tiny_model.network.__class__ = Alone
    told = forecast(tiny_model, images, ["grad-cam", "rise"])
    assert (told.bytes, told.methods["rise"].bytes) == (None, None)


class Overwriting(nn.Module):
    """Writes over what the gradient of the sigmoid needs: it answers, and has no gradient."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(6, 5)

    def forward(self, images):
        return self.head(self.pool(self.conv(images).sigmoid().add_(0.1)).flatten(1))


def test_a_network_that_only_answers_is_explained_by_what_asks_it_for_answers(tiny_model, images):
    model = replace(tiny_model, network=Overwriting().eval())
    refused = {}
    names = ["grad-cam", "full-grad", "saliency", "eigen-cam", "rise?masks=20", "occlusion", "fem"]
    found = explain(model, images, names, layer="conv", refuse=lambda *no: refused.update([no]))
    assert list(found) == ["eigen-cam", "rise", "occlusion", "fem"]
    assert list(refused) == ["grad-cam", "full-grad", "saliency"]
    assert all("inplace operation" in str(reason) and "\n" not in str(reason) for reason in refused.values())
    assert list(forecast(model, images, names, layer="conv").refused) == list(refused)


class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.ones(1, 6, 1, 1))

    def forward(self, maps):
        return maps + self.by


@pytest.mark.parametrize(
    ("put", "reason"),
    [
        (lambda features: nn.utils.parametrizations.weight_norm(features.conv), "captum cannot take this network"),
        (lambda features: setattr(features, "shift", Shifted()), "LRP has no rule for the function add"),
        (lambda features: setattr(features, "bn", nn.BatchNorm2d(6, track_running_stats=False)), "by its batch"),
    ],
    ids=["weight norm", "parameter", "batch"],
)
def test_what_captum_fails_on_is_told_first(tiny_model, images, put, reason):
    put(tiny_model.network.features)
    told = str(forecast(tiny_model, images, "lrp").refused["lrp"])
    assert reason in told
    assert "\n" not in told
    with pytest.raises(NetworkError, match=reason):
        explain(tiny_model, images, "lrp")


def test_few_measurements_are_kept(tiny_model, images):
    for samples in range(1, 40):
        forecast(tiny_model, images, f"rise?masks={samples}")
    twin = exact_twin(tiny_model.network, (), images)
    assert len(KNOWN[twin][1]) == KEPT
