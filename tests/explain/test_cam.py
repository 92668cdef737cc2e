"""CAM against its equation and torchcam."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import NetworkError
from inspect_fer.explain import explain
from inspect_fer.explain.cam import cam


def cam_by_hand(features, weights):
    """Eq. 2 of arXiv:1512.04150, term by term, for one image and one class."""
    channels, h, w = features.shape
    result = torch.zeros(h, w, dtype=features.dtype)
    for y, x in product(range(h), range(w)):
        result[y, x] = sum(weights[k] * features[k, y, x] for k in range(channels))
    return result


def test_matches_the_paper_term_by_term(generator):
    features = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    targets = torch.tensor([[5, 0], [2, 2]])
    maps = cam(features, weight, targets)
    for image, place in product(range(2), range(2)):
        assert_close(maps[image, place], cam_by_hand(features[image], weight[targets[image, place]]))


def test_mean_of_a_map_is_the_logit_less_the_bias(tiny_model, images):
    """Eq. 1 of the paper: the score is the sum over all places."""
    maps = explain(tiny_model, images, "cam", targets="all").maps
    logits = tiny_model.network(images).detach()
    assert_close(maps.mean(dim=(2, 3)), logits - tiny_model.network.classifier.bias.detach())


@pytest.mark.filterwarnings("ignore")
def test_equals_torchcam(tiny_model, images):
    methods = pytest.importorskip("torchcam.methods")
    maps = explain(tiny_model, images, "cam", targets=3).maps
    with methods.CAM(tiny_model.network, "features", "classifier", enable_hooks=True) as extractor:
        logits = tiny_model.network(images)
        (expected,) = extractor(3, logits, normalized=False)
    assert_close(maps[:, 0], expected.detach())


def test_says_what_else_to_use(mlp_model, images):
    with pytest.raises(NetworkError, match=r"behind 'blocks\.1\.relu'.*use grad-cam"):
        explain(mlp_model, images, "cam")
