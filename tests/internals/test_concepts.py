"""Deep feature factorisation against scikit-learn's own, and what the network makes of each concept."""

import warnings

import pytest
import torch
from sklearn.decomposition import NMF
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, NetworkError, UnknownNameError
from inspect_fer.internals import activation_maps, concepts


def by_hand(features, count):
    """Channels (C, N h w), each lifted to 0, as the product of two matrices without negative entries."""
    flat = features.movedim(1, 0).flatten(1).numpy()
    least = flat.min(axis=1, keepdims=True)
    model = NMF(n_components=count, init="random", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vectors = model.fit_transform(flat - least) + least
    maps = model.components_.reshape(count, len(features), *features.shape[2:])
    order = sorted(range(count), key=lambda concept: -maps[concept].sum())
    return torch.from_numpy(vectors.T[order]).float(), torch.from_numpy(maps[order]).float().movedim(0, 1)


@pytest.mark.parametrize(("kind", "layer"), [("tiny", "features"), ("tiny", "features.conv"), ("mlp", "blocks.0.relu")])
def test_concepts_are_those_of_all_samples_together(make_model, images, kind, layer):
    model = make_model(kind)
    found = concepts(model, images, layer, 3)
    vectors, maps = by_hand(activation_maps(model, images, layer), 3)
    assert_close(found.vectors, vectors, rtol=1e-3, atol=1e-4)
    assert_close(found.maps, maps, rtol=1e-3, atol=1e-4)
    assert (found.maps >= 0).all()
    presence = found.maps.sum(dim=(0, 2, 3))
    assert presence.tolist() == sorted(presence.tolist(), reverse=True)


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


def test_what_has_no_concepts_is_one_line(tiny_model, images):
    with pytest.raises(ConfigError, match="2 to 64 concepts, not 1"):
        concepts(tiny_model, images, "features", 1)
    with pytest.raises(NetworkError, match="without places; name a convolution"):
        concepts(tiny_model, images, "classifier")
    with pytest.raises(UnknownNameError, match="features"):
        concepts(tiny_model, images, "featuers")
    images[0] = torch.nan
    with pytest.raises(NetworkError, match="not finite everywhere"):
        concepts(tiny_model, images, "features")
