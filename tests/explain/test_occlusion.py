"""Occlusion against a loop, a network whose answer is known, captum, and the geometry of its windows."""

from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import Occlusion, explain, forecast
from inspect_fer.explain.fills import blurred
from inspect_fer.explain.occlusion import occluded, windows
from inspect_fer.schema import Classifier, Footprint, ModelCard


def occlusion_by_hand(network, image, fill, window, stride):
    """Section 4.2 of arXiv:1311.2901: cover one window after the other, see by how much each logit falls."""
    _, height, width = image.shape
    clean, rows = network(image[None])[0], []
    for top in range(0, min(height, ceil((height - window) / stride) * stride + 1), stride):
        row = []
        for left in range(0, min(width, ceil((width - window) / stride) * stride + 1), stride):
            covered = image.clone()
            covered[:, top : top + window, left : left + window] = fill[:, top : top + window, left : left + window]
            row.append(clean - network(covered[None])[0])
        rows.append(torch.stack(row, dim=-1))
    return torch.stack(rows, dim=-2)


@pytest.mark.parametrize(("window", "stride"), [(4, 4), (5, 3), (12, 1), (2, 5), (2, 6)])
@pytest.mark.parametrize("fill", [0.0, -1.5, "mean", "blur"])
def test_matches_one_window_after_the_other(mlp_model, images, window, stride, fill):
    method = Occlusion(window=window, stride=stride, fill=fill)
    found = explain(mlp_model, images[:2], method, targets="all")
    filling = method.filling(images[:2])
    mlp_model.network.double()
    for image, fills, maps in zip(images[:2].double(), filling.double(), found.maps, strict=True):
        with torch.no_grad():
            expected = occlusion_by_hand(mlp_model.network, image, fills, window, stride)
        assert_close(maps, expected.float(), rtol=1e-4, atol=1e-5)


def linear_model(weight):
    """A network whose logits are weighted sums of the pixels."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(weight[0].numel(), len(weight)))
    network[1].weight.data = weight.flatten(1)
    names = tuple(map(str, range(len(weight))))
    return Classifier(network, ModelCard("linear", names, tuple(weight.shape[1:]), (0.5,) * 2, (0.5,) * 2))


def test_a_linear_network_loses_what_the_window_held(generator):
    """A window takes from the logit the sum of weight times (pixel less fill) under it."""
    weight = torch.randn(3, 2, 6, 9, generator=generator)
    images = torch.randn(4, 2, 6, 9, generator=generator)
    found = explain(linear_model(weight), images, Occlusion(window=3, stride=3, fill=0.25), targets="all")
    worth = (weight * (images[:, None] - 0.25)).sum(dim=2)  # (N, K, H, W)
    expected = worth.unfold(2, 3, 3).unfold(3, 3, 3).sum(dim=(4, 5))
    assert_close(found.maps, expected, rtol=1e-4, atol=1e-4)
    assert_close(found.upsampled(), expected.repeat_interleave(3, 2).repeat_interleave(3, 3), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(4, 4), (5, 3), (3, 1)])
def test_equals_captum(mlp_model, images, window, stride):
    attr = pytest.importorskip("captum.attr")
    found = explain(mlp_model, images, Occlusion(window=window, stride=stride), targets=1).upsampled()
    with torch.no_grad():
        expected = attr.Occlusion(mlp_model.network).attribute(
            images, (1, window, window), strides=(1, stride, stride), target=1, perturbations_per_eval=8
        )
    assert_close(found, expected.to(found), rtol=1e-4, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(3, 30), width=st.integers(3, 30), window=st.integers(1, 12), stride=st.integers(1, 14), seed=...
)
def test_geometry_and_upsampling(height: int, width: int, window: int, stride: int, seed: int):
    window = min(window, height, width)
    places = Footprint(windows(height, window, stride), windows(width, window, stride))
    method = Occlusion(window=window, stride=stride)
    if any(window < length <= stride for length in (height, width)):
        with pytest.raises(ConfigError, match=f"stride of {stride} pixels leaves an image of"):
            method.footprint((1, height, width))
        return
    assert method.footprint((1, height, width)) == places
    for spans, length in ((places.rows, height), (places.columns, width)):
        assert len(spans) == min(ceil((length - window) / stride) + 1, ceil(length / stride))
        assert all(0 <= start < stop <= length and stop - start <= window for start, stop in spans)
        assert spans[0] == (0, window)
        assert stride > window or {p for start, stop in spans for p in range(start, stop)} == set(range(length))
    maps = torch.randn(
        1, 1, len(places.rows), len(places.columns), generator=torch.Generator().manual_seed(seed % 2**32)
    )
    found = places.upsample(maps, (height, width))[0, 0]
    y, x = (seed // 7) % height, (seed // 11) % width
    covering = [
        float(maps[0, 0, i, j])
        for i, (top, bottom) in enumerate(places.rows)
        for j, (left, right) in enumerate(places.columns)
        if top <= y < bottom and left <= x < right
    ]
    assert float(found[y, x]) == pytest.approx(sum(covering) / max(len(covering), 1), abs=1e-4)


def test_windows_are_clipped_at_the_edge():
    assert windows(10, 4, 4) == ((0, 4), (4, 8), (8, 10))
    assert windows(48, 8, 4)[-2:] == ((36, 44), (40, 48))
    assert windows(4, 4, 1) == ((0, 4),)


def test_every_window_holds_a_pixel(mlp_model, images):
    assert windows(48, 4, 24) == ((0, 4), (24, 28))
    assert windows(49, 4, 24) == ((0, 4), (24, 28), (48, 49))
    method = Occlusion(window=2, stride=6)
    assert explain(mlp_model, images, method, targets="all").maps.shape[2:] == (2, 2)
    assert forecast(mlp_model, images, method).methods["occlusion"].passes.forward == 5


@pytest.mark.parametrize("at_once", [1, 5, 1000])
def test_covered_images_come_image_after_image(images, at_once):
    places = Footprint(windows(12, 8, 4), windows(12, 8, 4))
    batches = list(occluded(images, torch.zeros_like(images), places, at_once))
    assert max(map(len, batches)) <= at_once
    covered = torch.cat(batches).view(4, 2, 2, 1, 12, 12)
    assert not covered[:, 1, 0, :, 4:, :8].any()
    assert_close(covered[:, 1, 0, :, :, 8:], images[..., 8:])
    assert_close(covered[:, 1, 0, :, :4], images[:, :, :4])


def test_blur_is_the_gaussian_of_torchvision(generator):
    smooth = pytest.importorskip("torchvision.transforms.functional").gaussian_blur
    images = torch.randn(2, 3, 40, 50, generator=generator)
    inner = (..., slice(12, -12), slice(12, -12))  # borders are treated differently
    assert_close(blurred(images, 3.0)[inner], smooth(images, [19, 19], [3.0, 3.0])[inner])
    assert_close(blurred(torch.ones(1, 1, 5, 4), 6.0), torch.ones(1, 1, 5, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"window": 0},
        {"stride": 0},
        {"window": 2.5},
        {"stride": True},
        {"fill": "black"},
        {"fill": None},
        {"fill": True},
    ],
)
def test_options_that_make_no_sense_are_errors(options):
    with pytest.raises(ConfigError, match=next(iter(options)) if "fill" not in options else "fills with"):
        Occlusion(**options)


def test_a_window_larger_than_the_image_is_an_error(mlp_model, images):
    with pytest.raises(ConfigError, match="window of 13 pixels does not fit an image of 12 x 12; .* at most 12"):
        explain(mlp_model, images, Occlusion(window=13))
    with pytest.raises(ConfigError, match="8 pixels does not fit an image of 5 x 300; give one of at most 5"):
        Occlusion().footprint((1, 5, 300))


def test_a_second_window_holds_a_pixel(mlp_model, images):
    with pytest.raises(
        ConfigError, match=r"stride of 100 pixels leaves .* 12 x 12 behind at once; give .* window's 8 pixels"
    ):
        explain(mlp_model, images, Occlusion(stride=100))
    with pytest.raises(ConfigError, match="stride of 12 pixels"):
        explain(mlp_model, images, Occlusion(stride=12))
    assert explain(mlp_model, images, Occlusion(window=12, stride=100)).maps.shape[2:] == (1, 1)
    assert explain(mlp_model, images, Occlusion(window=2, stride=11)).maps.shape[2:] == (2, 2)
