"""Deep feature factorisation against scikit-learn's own, and what the network makes of each concept."""

import warnings
from importlib import import_module

import pytest
import torch
from sklearn.decomposition import NMF
from torch import nn
from torch.testing import assert_close

from inspect_fer import wrap
from inspect_fer.errors import ConfigError, NetworkError, UnknownNameError
from inspect_fer.internals import activation_maps, concepts

MODULE = import_module("inspect_fer.internals.concepts")  # the package has a function of this name


class Tokens(nn.Module):
    """Patches of 3 x 3 behind a class token, mixed by one linear layer over the tokens; the class token answers."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(1, 6, 3, stride=3), nn.Parameter(torch.randn(1, 1, 6))
        self.joined, self.mix, self.head = nn.Identity(), nn.Linear(17, 17), nn.Linear(6, 5)

    def forward(self, images):
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.joined(torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1))
        return self.behind(tokens)

    def behind(self, tokens):
        return self.head(self.mix(tokens.transpose(1, 2)).tanh()[..., 0])


class ChannelsLast(nn.Module):
    """Maps whose channels stand last, as in Swin."""

    def __init__(self):
        super().__init__()
        self.conv, self.last, self.head = nn.Conv2d(1, 5, 3, padding=1), nn.Identity(), nn.Linear(5, 5)

    def forward(self, images):
        return self.head(self.last(self.conv(images).movedim(1, 3)).tanh().mean((1, 2)))


def wrapped(network):
    return wrap(network, tuple("abcde"), (1, 12, 12), (0.5,), (0.25,), "")


def by_hand(features, count):
    """Channels (C, N h w), each lifted to 0, as the product of two matrices without negative entries."""
    flat = features.movedim(1, 0).flatten(1).numpy()
    least = flat.min(axis=1, keepdims=True)
    model = NMF(n_components=count, init="random", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = model.fit_transform(flat - least)
    maps = model.components_
    mass = [sum(parts[:, k].tolist()) * sum(maps[k].tolist()) for k in range(count)]
    vectors, found = [], []
    for k in sorted(range(count), key=lambda concept: -mass[concept]):
        vectors.append(torch.from_numpy(parts[:, k] * maps[k].max() + least[:, 0]))
        found.append(torch.from_numpy(maps[k] / maps[k].max()).view(len(features), *features.shape[2:]))
    return torch.stack(vectors), torch.stack(found, dim=1)


@pytest.mark.parametrize(("kind", "layer"), [("tiny", "features"), ("tiny", "features.conv"), ("mlp", "blocks.0.relu")])
def test_concepts_are_those_of_all_samples_together(make_model, images, kind, layer):
    model = make_model(kind)
    found = concepts(model, images, layer, 3)
    vectors, maps = by_hand(activation_maps(model, images, layer), 3)
    assert_close(found.vectors, vectors, rtol=1e-3, atol=1e-4)
    assert_close(found.maps, maps, rtol=1e-3, atol=1e-4)
    assert found.maps.amin() >= 0
    assert_close(found.maps.amax(dim=(0, 2, 3)), torch.ones(3))


def test_another_start_of_the_factorisation_has_the_same_concepts(tiny_model, monkeypatch):
    """How large the factors are hangs on where they started; neither concepts nor their order nor answers do."""
    faces = torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(4))
    parts, places = torch.eye(6)[:, :3], torch.rand(3, 6 * 36, generator=torch.Generator().manual_seed(5))
    parts[3:] = torch.tensor([[0.5, 0, 2], [0, 1, 0], [3, 0, 0]])

    def dff(scale):
        sizes = torch.tensor(scale)
        maps = (places / sizes[:, None]).view(3, 6, 6, 6).transpose(0, 1)
        return lambda _features, _count: ((parts * sizes).numpy(), maps.numpy())

    home = "pytorch_grad_cam.feature_factorization.deep_feature_factorization.dff"
    features = torch.einsum("ck,kp->cp", parts, places).view(6, 6, 6, 6).transpose(0, 1)
    features[0, :, 0, 0] = 0
    monkeypatch.setattr(MODULE, "activation_maps", lambda *_, **__: features)
    found = []
    for scale in ([1.0, 1.0, 1.0], [0.1, 5.0, 30.0]):
        monkeypatch.setattr(home, dff(scale))
        found.append(concepts(tiny_model, faces, "features", 3))
    for name in ("vectors", "maps", "logits"):
        assert_close(getattr(found[1], name), getattr(found[0], name))


def test_enough_concepts_make_up_the_features(tiny_model, images):
    """Identity: concepts times maps are the features, up to what each channel was lifted by."""
    features = activation_maps(tiny_model, images, "features")
    found = concepts(tiny_model, images, "features", 12)
    least = features.amin(dim=(0, 2, 3))
    made = torch.einsum("kc,nkhw->nchw", found.vectors - least, found.maps) + least[:, None, None]
    assert (made - features).norm() < 0.1 * (features - least[:, None, None]).norm()


def test_behind_pooling_and_a_linear_layer_a_concept_answers_like_features_of_its_own(tiny_model, images):
    found = concepts(tiny_model, images, "features", 3)
    with torch.no_grad():
        assert_close(found.logits, tiny_model.network.classifier(found.vectors), rtol=1e-4, atol=1e-4)


def test_elsewhere_all_that_lies_behind_the_layer_answers(mlp_model, images):
    found = concepts(mlp_model, images, "blocks.1.relu", 3)
    inner, network = mlp_model.network.blocks[1], mlp_model.network
    with torch.no_grad():
        everywhere = found.vectors[..., None, None].expand(-1, -1, 6, 6)
        expected = network.classifier(network.hidden(inner.pool(everywhere).flatten(1)).relu())
    assert_close(found.logits, expected, rtol=1e-4, atol=1e-4)


def test_the_same_samples_have_the_same_concepts(tiny_model, images):
    before = torch.get_rng_state()
    one, other = (concepts(tiny_model, images, "features", 3, batch_size=size) for size in (128, 3))
    assert_close(other.maps, one.maps, rtol=1e-3, atol=1e-4)
    assert torch.equal(before, torch.get_rng_state())


def test_tokens_lie_on_their_grid_and_a_concept_takes_the_class_token_too(images):
    network = Tokens().eval()
    found = concepts(wrapped(network), images, "joined", 3)
    assert found.maps.shape == (4, 3, 4, 4)
    with torch.no_grad():
        assert_close(found.logits, network.behind(found.vectors[:, None].expand(-1, 17, -1)), rtol=1e-4, atol=1e-4)


def test_channels_may_stand_last(images):
    network = ChannelsLast().eval()
    found = concepts(wrapped(network), images, "last", 2)
    assert found.maps.shape == (4, 2, 12, 12)
    with torch.no_grad():
        assert_close(found.logits, network.head(found.vectors.tanh()), rtol=1e-4, atol=1e-4)


def test_a_silent_layer_has_concepts_of_nothing(tiny_model, images):
    with torch.no_grad():
        for parameter in tiny_model.network.features.parameters():
            parameter.zero_()
    found = concepts(tiny_model, images, "features.conv", 2)
    assert found.maps.abs().sum() == 0
    assert found.vectors.abs().sum() == 0
    assert found.logits.isfinite().all()


@pytest.mark.parametrize("layer", ["features.block.conv1", "features.block.bn2"])
def test_inside_a_shortcut_the_network_cannot_answer_alone(tiny_model, images, layer):
    with pytest.raises(NetworkError, match="reads what passes it by, such as a shortcut"):
        concepts(tiny_model, images, layer)


def test_too_many_samples_are_told_before_they_are_read(tiny_model, images, monkeypatch):
    monkeypatch.setattr(MODULE, "AT_ONCE", 3 * 6 * 6 * 6)
    monkeypatch.setattr(MODULE, "activation_maps", None)
    with pytest.raises(ConfigError, match="4 samples have too many features .* take at most 3"):
        concepts(tiny_model, images, "features")


def test_what_has_no_concepts_is_one_line(tiny_model, images):
    with pytest.raises(ConfigError, match="2 to 64 concepts, not 1"):
        concepts(tiny_model, images, "features", 1)
    with pytest.raises(NetworkError, match="without places; name a convolution"):
        concepts(tiny_model, images, "classifier")
    with pytest.raises(UnknownNameError, match="features"):
        concepts(tiny_model, images, "featuers")
    with pytest.raises(NetworkError, match="without places"):
        concepts(tiny_model, images, "logits")
    for broken in (3, 0):
        images[broken] = torch.nan
        with pytest.raises(NetworkError, match="not finite everywhere"):
            concepts(tiny_model, images, "features")
