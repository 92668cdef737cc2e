"""SESS patch by patch and pixel by pixel, and against pytorch-grad-cam."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import SESS, explain
from inspect_fer.explain.sess import Patch, patches, sess
from inspect_fer.explain.weighing import scaled


def bilinear_by_hand(values, tall, wide):
    """Resize (h, w), pixel centres at halves, the border repeated outwards."""
    height, width = len(values), len(values[0])

    def around(place, length, target):
        exact = max((place + 0.5) * length / target - 0.5, 0)
        low = min(int(exact), length - 1)
        return low, min(low + 1, length - 1), exact - low

    result = torch.zeros(tall, wide, dtype=torch.float64)
    for y in range(tall):
        for x in range(wide):
            (top, bottom, down), (left, right, across) = around(y, height, tall), around(x, width, wide)
            above = values[top][left] * (1 - across) + values[top][right] * across
            below = values[bottom][left] * (1 - across) + values[bottom][right] * across
            result[y, x] = above * (1 - down) + below * down
    return result


def sess_by_hand(maps, scores, cut, pool):
    """Section 3.3 and 3.4 of arXiv:2207.01769 as pytorch-grad-cam has them, for one target: maps [P][H, W]."""
    height, width = maps[0].shape
    pasted = []
    for values, score, patch in zip(maps, scores, cut, strict=True):
        whole = [[0.0] * patch.size[1] for _ in range(patch.size[0])]
        for y in range(height):
            for x in range(width):
                whole[patch.top + y][patch.left + x] = float(values[y, x]) * score / max(scores)
        pasted.append(bilinear_by_hand(whole, height, width))
    result = torch.zeros(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            seen = [float(each[y, x]) for each in pasted if each[y, x] > (1e-4 if pool == "mean" else 0)]
            if seen:
                result[y, x] = max(seen) if pool == "max" else sum(seen) / len(seen)
    return result


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_fusion_by_hand(generator, pool):
    cut = [Patch((4, 6), 0, 0), Patch((6, 9), 2, 0), Patch((6, 9), 0, 3), Patch((7, 10), 3, 1)]
    maps = torch.rand(4, 2, 4, 6, generator=generator, dtype=torch.float64)
    maps = maps * (maps > 0.3)
    scores = torch.tensor([[0.2, 0.1], [0.5, 0.0], [0.1, 0.3], [0.4, 0.2]], dtype=torch.float64)
    found = sess(maps, scores, cut, pool)
    for target in range(2):
        expected = sess_by_hand(list(maps[:, target]), scores[:, target].tolist(), cut, pool)
        assert_close(found[target], expected)


def test_patches_cover_every_size_of_the_image_and_end_at_its_edge():
    cut = patches((12, 20), 3, 0.5)
    assert {patch.size for patch in cut} == {(12, 20), (18, 30), (24, 40)}
    assert [(patch.top, patch.left) for patch in cut if patch.size == (18, 30)] == [(0, 0), (0, 10), (6, 0), (6, 10)]
    assert [(patch.top, patch.left) for patch in cut if patch.size == (24, 40)] == [(0, 0), (0, 20), (12, 0), (12, 20)]
    assert patches((12, 20), 1, 0.5) == [Patch((12, 20), 0, 0)]
    assert len(patches((48, 48), 12, 2 / 7)) == 129


def test_one_scale_is_the_positive_part_of_its_base(model, images):
    """Identity: the image itself is the one patch, and its score the largest."""
    for base in ("grad-cam", "grad-cam++", "hires-cam", "layer-cam", "xgrad-cam"):
        found = explain(model, images, SESS(base=base, scales=1), targets="all").maps
        plain = explain(model, images, base, targets="all").maps.clamp(min=0)
        assert_close(found, scaled(F.interpolate(plain, (12, 12), mode="bilinear")), rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("pool", ["mean", "max"])
@pytest.mark.parametrize(("base", "peer"), [("grad-cam", "GradCAM"), ("layer-cam", "LayerCAM")])
def test_equals_pytorch_grad_cam(model, images, base, peer, pool):
    library = pytest.importorskip("pytorch_grad_cam")
    theirs = pytest.importorskip("pytorch_grad_cam.sess").SESS
    outputs = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    found = explain(model, images, SESS(base=base, scales=4, pool=pool), targets="all").maps
    layer = model.network.get_submodule(model.card.cam_layer)
    options = {"base_method": getattr(library, peer), "num_scales": 4, "pool": pool, "smooth": False, "theta": 1e-4}
    with theirs(model.network, [layer], **options) as extractor:
        for image, maps in zip(images, found, strict=True):
            for target in range(5):
                expected = extractor.forward_single_image(image[None], outputs.ClassifierOutputTarget(target))
                assert_close(maps[target], torch.from_numpy(expected), rtol=1e-3, atol=1e-4)


def test_scores_of_networks_trained_on_votes_are_sigmoids(mlp_model, images):
    votes = replace(mlp_model, card=replace(mlp_model.card, output="sigmoid"))
    method = SESS(scales=3)
    one, other = (explain(model, images, method, targets="all").maps for model in (mlp_model, votes))
    assert not torch.allclose(one, other)
    with torch.no_grad():  # of one class a softmax makes 1 everywhere
        size = images.shape[2:]
        cut = patches(size, 3, 2 / 7)
        enlarged = {patch.size: F.interpolate(images, patch.size, mode="bilinear") for patch in cut}
        seen = [enlarged[patch.size][:, :, patch.top : patch.top + 12, patch.left : patch.left + 12] for patch in cut]
        scores = torch.stack([mlp_model.network(patch).sigmoid() for patch in seen])  # (P, N, K)
    maps = torch.stack([explain(mlp_model, patch, SESS(scales=1), targets="all").maps for patch in seen])
    expected = torch.stack([sess(maps[:, image], scores[:, image], cut, "mean") for image in range(4)])
    assert_close(other, expected, rtol=1e-4, atol=1e-5)


def test_a_trace_of_evidence_is_none():
    """Rounding must not decide how many patches a mean is taken of."""
    cut, maps = [Patch((4, 4), 0, 0)] * 2, torch.ones(2, 1, 4, 4)
    maps[1] = 1e-5
    assert_close(sess(maps, torch.ones(2, 1), cut, "mean"), maps[0])
    assert not sess(maps[1:], torch.ones(1, 1), cut[1:], "mean").any()
    maps[1] = 1e-3
    assert_close(sess(maps, torch.ones(2, 1), cut, "mean"), maps.mean(dim=0))


def test_no_patch_with_a_score_weighs_all_alike():
    cut = patches((4, 4), 2, 0.5)
    maps = torch.rand(len(cut), 1, 4, 4)
    nothing, same = torch.zeros(len(cut), 1), torch.full((len(cut), 1), 0.25)
    assert_close(sess(maps, nothing, cut, "mean"), sess(maps, same, cut, "mean"))


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_what_is_no_number_stays_that(pool):
    cut, maps = patches((4, 4), 2, 0.5), torch.ones(5, 1, 4, 4)
    maps[0] = torch.nan
    assert sess(maps, torch.ones(5, 1), cut, pool).isnan().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "eigen-cam"}, "grad-cam, grad-cam"),
        ({"pool": "median"}, "'mean' or 'max'"),
        ({"scales": 0}, "scales of at least 1 and at most 100"),
        ({"step": -0.1}, "step from 0 to 10"),
    ],
)
def test_options_that_make_no_sense_are_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        SESS(**options)
