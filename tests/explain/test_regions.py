"""Regions, what falls when one is covered, and their Shapley values, against loops and the axioms."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import Occlusion, RegionOcclusion, RegionShapley, explain, forecast
from inspect_fer.explain.fills import blurred, filled
from inspect_fer.explain.region_occlusion import region_occlusion
from inspect_fer.explain.region_shapley import shapley_values, subsets
from inspect_fer.explain.regions import BACKGROUND, FACE, region_masks, region_names, spread
from inspect_fer.schema import Classifier

HALVES = (("left", 0.0, 0.0, 1.0, 0.5), ("upper right", 0.0, 0.5, 0.5, 1.0))


def shapley_by_hand(worth, players):
    """Mean over every order of joining of what each player adds: eq. of Shapley, 1953."""
    shares = torch.zeros(players, dtype=torch.float64)
    orders = list(permutations(range(players)))
    for order in orders:
        present = 0
        for player in order:
            shares[player] += worth[present | 1 << player] - worth[present]
            present |= 1 << player
    return shares / len(orders)


@pytest.mark.parametrize("players", [1, 2, 3, 5])
def test_shapley_matches_every_order_of_joining(generator, players):
    worth = torch.randn(2, 2**players, 3, generator=generator, dtype=torch.float64)
    found = shapley_values(worth)
    for image in range(2):
        for target in range(3):
            assert_close(found[image, target], shapley_by_hand(worth[image, :, target].tolist(), players))


def test_shapley_is_efficient_and_symmetric_and_gives_nothing_for_nothing(generator):
    held = subsets(4)
    worth = torch.randn(2**4, generator=generator, dtype=torch.float64)
    bits = torch.tensor([1, 2, 4, 8])
    swapped = held[:, [1, 0, 2, 3]].long() @ bits
    symmetric = ((worth + worth[swapped]) / 2)[None, :, None]
    shares = shapley_values(symmetric)[0, 0]
    assert_close(shares[0], shares[1])
    assert_close(shares.sum(), symmetric[0, -1, 0] - symmetric[0, 0, 0])
    idle = worth[(held & torch.tensor([True, True, True, False])).long() @ bits]
    assert_close(shapley_values(idle[None, :, None])[0, 0, 3], torch.tensor(0.0, dtype=torch.float64))


@pytest.mark.parametrize("fill", [0.0, 0.7, "mean", "blur"])
def test_shapley_of_a_network_matches_every_order_and_adds_up(mlp_model, images, fill):
    method = RegionShapley(regions=HALVES, fill=fill)
    found = explain(mlp_model, images[:2], method, targets="all").maps
    masks, network = region_masks(HALVES, 1, 1, (12, 12)), mlp_model.network.double()
    under = filled(images[:2], fill).double()
    with torch.no_grad():
        for image, below, maps in zip(images[:2].double(), under, found, strict=True):
            held = [masks[[bool(s >> r & 1) for r in range(3)]].any(dim=0) for s in range(8)]
            worth = torch.stack([network(torch.where(shown, image, below)[None])[0] for shown in held])
            for target in range(5):
                expected = shapley_by_hand(worth[:, target], 3).float()
                assert_close(torch.stack([maps[target][mask][0] for mask in masks]), expected, rtol=1e-4, atol=1e-5)
                assert_close(expected.sum(), (worth[-1] - worth[0])[target].float(), rtol=1e-4, atol=1e-5)


def test_efficiency_on_the_parts_of_a_face(tiny_model, images):
    maps = explain(tiny_model, images, RegionShapley(), targets="all").maps
    masks = region_masks("face", 1, 1, (12, 12))
    total = sum(maps[:, :, mask].mean(dim=2) for mask in masks if mask.any())
    with torch.no_grad():
        expected = tiny_model.network(images) - tiny_model.network(torch.zeros_like(images))
    assert_close(total, expected, rtol=1e-4, atol=1e-5)


def linear(weight):
    network = nn.Sequential(nn.Flatten(), nn.Linear(weight[0].numel(), len(weight)))
    network[1].weight.data = weight.flatten(1)
    return network


def test_on_a_linear_network_shapley_and_occlusion_agree(generator, make_model):
    weight = torch.randn(5, 1, 12, 12, generator=generator)
    model = Classifier(linear(weight), replace(make_model("tiny").card, cam_layer=""))
    images = torch.randn(3, 1, 12, 12, generator=generator)
    grid = {"regions": "grid", "rows": 3, "columns": 2}
    fall = explain(model, images, RegionOcclusion(**grid), targets="all").maps
    share = explain(model, images, RegionShapley(**grid), targets="all").maps
    worth = (weight * images[:, None]).sum(dim=2).unfold(2, 4, 4).unfold(3, 6, 6).sum(dim=(4, 5))
    assert_close(fall, worth, rtol=1e-4, atol=1e-4)
    assert_close(share, worth, rtol=1e-4, atol=1e-4)


def test_a_grid_is_occlusion_by_windows_side_by_side(mlp_model, images):
    windows = explain(mlp_model, images, Occlusion(window=4, stride=4, fill="mean"), targets="all")
    grid = explain(mlp_model, images, RegionOcclusion(rows=3, columns=3, fill="mean"), targets="all")
    assert grid.footprint == windows.footprint
    assert_close(grid.maps, windows.maps, rtol=1e-4, atol=1e-5)
    assert_close(grid.upsampled(), windows.upsampled(), rtol=1e-4, atol=1e-5)


def test_any_set_of_masks_one_after_the_other(mlp_model, images, generator):
    masks = torch.rand(7, 12, 12, generator=generator) < 0.4
    under, network = torch.full_like(images, 0.3), mlp_model.network
    with torch.no_grad():
        found = region_occlusion(network, images, under, masks)
        for r, mask in enumerate(masks):
            expected = network(images) - network(torch.where(mask, under, images))
            assert_close(found[:, :, r], expected, rtol=1e-4, atol=1e-5)


def test_the_parts_of_a_face_are_a_partition():
    for size in [(48, 48), (100, 100), (12, 20), (7, 5)]:
        assert (region_masks("face", 1, 1, size).sum(dim=0) == 1).all()
        assert (region_masks(HALVES, 1, 1, size).sum(dim=0) == 1).all()
        assert (region_masks("grid", 3, 4, size).sum(dim=0) == 1).all()
    masks = dict(zip(region_names("face", 1, 1), region_masks("face", 1, 1, (100, 100)), strict=True))
    assert list(masks) == [name for name, *_ in FACE] + [BACKGROUND]
    assert masks["mouth"][78, 50]
    assert masks["eyes"][40, 30]
    assert masks["background"][:, 2].all()
    assert all(mask.sum() > 100 for mask in masks.values())


def test_the_first_rectangle_owns_a_pixel_and_a_name_may_have_several():
    regions = (("a", 0.0, 0.0, 0.5, 0.5), ("b", 0.0, 0.0, 1.0, 1.0), ("a", 0.75, 0.75, 1.0, 1.0))
    masks = region_masks(regions, 1, 1, (4, 4))
    assert region_names(regions, 1, 1) == ("a", "b", BACKGROUND)
    assert masks.sum(dim=(1, 2)).tolist() == [4, 12, 0]
    pair = (("eye", 0.0, 0.0, 0.5, 0.25), ("eye", 0.0, 0.75, 0.5, 1.0))
    assert region_masks(pair, 1, 1, (4, 4)).sum(dim=(1, 2)).tolist() == [4, 12]


def test_fractions_are_of_the_height_and_of_the_width():
    part, rest = region_masks((("part", 0.25, 0.5, 0.75, 1.0),), 1, 1, (4, 8))
    assert part.nonzero().tolist() == [[row, column] for row in (1, 2) for column in (4, 5, 6, 7)]
    assert torch.equal(rest, ~part)


def test_a_pixel_gets_the_mean_of_the_masks_that_hold_it():
    masks = torch.tensor([[[True, True, False]], [[False, True, False]]])
    assert spread(torch.tensor([[[2.0, 4.0]]]), masks).tolist() == [[[[2.0, 3.0, 0.0]]]]


def test_fills(images):
    assert_close(filled(images, "mean")[1, 0, 3, 4], images[1].mean())
    assert_close(filled(images, "blur"), blurred(images, 1.5))
    assert filled(images, -2).unique().tolist() == [-2]


@pytest.mark.parametrize("method", [RegionOcclusion, RegionShapley])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"regions": "eyes"}, "'grid', 'face', or a tuple"),
        ({"regions": ()}, "or a tuple"),
        ({"regions": (("a", 0, 0, 2, 1),)}, "or a tuple"),
        ({"regions": (("a", 0.5, 0, 0.5, 1),)}, "or a tuple"),
        ({"regions": (["a", 0, 0, 0.5, 0.5],)}, "or a tuple of tuples"),
        ({"regions": (("background", 0, 0, 0.5, 0.5),)}, "'background' what no rectangle holds"),
        ({"rows": 0}, "rows of at least 1"),
        ({"columns": 2.5}, "columns of at least 1"),
        ({"fill": "black"}, "fills with"),
        ({"fill": float("nan")}, "fills with"),
        ({"fill": True}, "fills with"),
    ],
)
def test_options_that_make_no_sense_are_errors(method, options, reason):
    with pytest.raises(ConfigError, match=reason):
        method(**options)


def test_limits(mlp_model, images):
    with pytest.raises(ConfigError, match="at most 10 regions, background included, not 12"):
        RegionShapley(regions="grid", rows=3, columns=4)
    with pytest.raises(ConfigError, match="13 x 6 is finer than the 12 x 12 pixels .* at most 12 rows and 12 columns"):
        explain(mlp_model, images, RegionOcclusion(rows=13))


@pytest.mark.parametrize("method", [RegionOcclusion, RegionShapley])
@pytest.mark.parametrize("sides", [(0.5, 0, 0.52, 1), (0, 0.99, 1, 1)])
def test_a_region_without_a_pixel_is_an_error(mlp_model, images, method, sides):
    with pytest.raises(ConfigError, match="region 'mole' holds none of the 12 x 12 pixels"):
        explain(mlp_model, images, method(regions=(("mole", *sides),)))
    with pytest.raises(ConfigError, match="region 'mole' holds none"):
        forecast(mlp_model, images, RegionOcclusion(regions=(("mole", *sides),)))
