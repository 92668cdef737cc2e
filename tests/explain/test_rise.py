"""RISE against its equations, term by term, and what its masks are."""

from dataclasses import replace
from math import ceil

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.testing import assert_close

from inspect_fer.capture import Meter
from inspect_fer.errors import ConfigError
from inspect_fer.explain import Rise, explain
from inspect_fer.explain.budget import Rows, allowing
from inspect_fer.explain.rise import random_masks, rise
from inspect_fer.schema import Classifier


def rise_by_hand(scores, masks, keep):
    """Eq. 6 of arXiv:1806.07421: S(lambda) = 1 / (E[M] N) sum_i f(I . M_i) M_i(lambda), for one image and class."""
    total = torch.zeros_like(masks[0])
    for score, mask in zip(scores, masks, strict=True):
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                total[y, x] += score * mask[y, x]
    return total / (keep * len(masks))


def test_matches_the_paper_term_by_term(generator):
    scores = torch.rand(2, 6, 3, generator=generator, dtype=torch.float64)
    masks = torch.rand(6, 4, 5, generator=generator, dtype=torch.float64)
    found = rise(scores, masks, 0.3)
    for image in range(2):
        for target in range(3):
            assert_close(found[image, target], rise_by_hand(scores[image, :, target], masks, 0.3))


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize("fill", [0.0, "mean"])
def test_of_a_network_one_mask_after_the_other(mlp_model, images, score, fill):
    method = Rise(masks=140, cells=3, keep=0.4, seed=5, score=score, fill=fill)
    found = explain(mlp_model, images[:2], method, targets="all").maps
    masks = torch.cat(list(random_masks(140, 3, 0.4, 5, (12, 12)))).double()
    network = mlp_model.network.double()
    for image, maps in zip(images[:2].double(), found, strict=True):
        under = image.mean() if fill == "mean" else 0.0
        with torch.no_grad():
            logits = torch.cat([network((mask * image + (1 - mask) * under)[None]) for mask in masks])
        scores = logits.softmax(dim=1) if score == "probability" else logits
        for target in range(5):
            expected = rise_by_hand(scores[:, target], masks, 0.4)
            assert_close(maps[target], expected.float(), rtol=1e-4, atol=1e-5)


def test_masks_are_a_random_grid_up_sampled_and_shifted_each_by_itself():
    masks, cells, keep, seed, size = 100, 4, 0.5, 3, (10, 14)
    found = torch.cat(list(random_masks(masks, cells, keep, seed, size)))
    assert found.shape == (100, 10, 14)
    assert ((found >= 0) & (found <= 1 + 1e-6)).all()
    generator = torch.Generator().manual_seed(seed)
    height, width = ceil(10 / cells), ceil(14 / cells)
    grids = (torch.rand(masks, 1, cells, cells, generator=generator) < keep).float()
    down = torch.randint(height, (masks,), generator=generator)
    across = torch.randint(width, (masks,), generator=generator)
    assert len(set(zip(down.tolist(), across.tolist(), strict=True))) == height * width
    for grid, y, x, mask in zip(grids, down.tolist(), across.tolist(), found, strict=True):
        large = F.interpolate(grid[None], size=(5 * height, 5 * width), mode="bilinear", align_corners=False)[0, 0]
        assert_close(mask, large[y : y + 10, x : x + 14])


def drawn(masks, cells=3):
    return torch.cat(list(random_masks(masks, cells, 0.5, 0, (12, 12))))


def test_masks_depend_on_neither_memory_nor_the_default_number_format():
    expected = drawn(300)
    assert len(expected) == 300
    assert len(expected.flatten(1).unique(dim=0)) > 250, "each part is drawn anew"
    for rows in (1, 7, 100, 127):
        with allowing(Rows(plain=rows)):
            parts = list(random_masks(300, 3, 0.5, 0, (12, 12)))
        assert max(map(len, parts)) <= rows
        assert_close(torch.cat(parts), expected, rtol=0, atol=0)
    torch.set_default_dtype(torch.float64)
    try:
        assert_close(drawn(300), expected, rtol=0, atol=0)
    finally:
        torch.set_default_dtype(torch.float32)


def test_fine_grids_are_not_held_all_at_once():
    with allowing(Rows(plain=1)), Meter() as meter:
        for _ in random_masks(2000, 32, 0.5, 0, (32, 32)):
            pass
    assert meter.peak < 2_000_000  # all grids take 8 MB


def test_masks_keep_their_share_and_depend_on_the_seed():
    masks = torch.cat(list(random_masks(3000, 7, 0.3, 0, (48, 48))))
    assert masks.mean() == pytest.approx(0.3, abs=0.01)
    assert (masks.mean(dim=0) - 0.3).abs().max() < 0.05
    assert not torch.equal(masks[:5], torch.cat(list(random_masks(5, 7, 0.3, 1, (48, 48)))))


def test_what_matters_stands_out(make_model, images):
    """A network that sees one corner only: the score is the same under each mask that keeps it."""
    card = replace(make_model("tiny").card, cam_layer="")

    class Corner(torch.nn.Module):
        def forward(self, seen):
            return torch.stack([seen[:, 0, :4, :4].mean(dim=(1, 2)) * sign for sign in (3, -3, 0, 0, 0)], dim=1)

    maps = explain(Classifier(Corner(), card), images.abs() + 1, Rise(masks=400, cells=4), targets=0).maps
    upper, lower = maps[:, 0, :4, :4].mean(dim=(1, 2)), maps[:, 0, 6:, 6:].mean(dim=(1, 2))
    assert (upper > lower).all()


def test_networks_trained_on_votes_score_by_sigmoid(make_model, images):
    model = make_model("mlp")
    voted = replace(model, card=replace(model.card, output="sigmoid"))
    found = explain(voted, images, Rise(masks=20, cells=3), targets="all").maps
    masks = torch.cat(list(random_masks(20, 3, 0.5, 0, (12, 12))))
    with torch.no_grad():
        scores = torch.stack([model.network(mask * images).sigmoid() for mask in masks], dim=1)
    assert_close(found, rise(scores, masks, 0.5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"masks": 0}, "masks of at least 1"),
        ({"cells": 0}, "cells of at least 1"),
        ({"cells": 2.0}, "cells of at least 1"),
        ({"seed": -1}, "seed of at least 0"),
        ({"keep": 1.2}, "keep from 0 to 1"),
        ({"keep": "half"}, "keep from 0 to 1"),
        ({"keep": 1}, "keep all cells"),
        ({"keep": 0}, "keep no cells"),
        ({"score": "softmax"}, "'probability' or 'logit'"),
        ({"fill": None}, "fills with"),
    ],
)
def test_options_that_make_no_sense_are_errors(options, reason):
    with pytest.raises(ConfigError, match=reason):
        Rise(**options)
