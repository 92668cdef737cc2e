from dataclasses import replace

import numpy as np
import pytest
import torch

from inspect_fer.errors import DataError, UnknownNameError
from inspect_fer.render import (
    SCALE_NOTES,
    SCALES,
    fine_note,
    heat,
    map_sheet,
    maps,
    overlay,
    overlay_pixels,
    peak,
    signed,
)
from inspect_fer.schema import Explanation, Samples

NAMES = ("anger", "$x_{$", "<b>")
GREY = 128


def faces(n=2, channels=1, size=48):
    return torch.full((n, channels, size, size), GREY, dtype=torch.uint8)


def peaked(value, at=(10, 20)):
    """One map (1, 1, 48, 48) with a square of a value."""
    found = torch.zeros(1, 1, 48, 48)
    found[..., at[0] - 3 : at[0] + 4, at[1] - 3 : at[1] + 4] = value
    return found


def samples(n=3, size=48):
    ids = tuple(f"face/{row}" for row in range(n))
    return Samples(ids, faces(n, size=size), torch.arange(n) % 3 - 1, NAMES)


def explanation(maps, ids=None, **options):
    n, t = maps.shape[:2]
    ids = ids or tuple(f"face/{row}" for row in range(n))
    targets = torch.arange(t).repeat(n, 1)
    return Explanation(ids, maps, targets, {"name": "grad-cam"}, "layer4", (1, 48, 48), **options)


@pytest.mark.parametrize(
    ("value", "strong", "weak"), [(1.0, 0, 2), (-1.0, 2, 0)], ids=["for is warm", "against is blue"]
)
def test_the_hue_stands_where_the_map_peaks(value, strong, weak):
    picture = overlay_pixels(faces(1), peaked(value), zoom=4)[0, 0].astype(int)
    peak = picture[40, 80]
    assert peak[strong] > peak[weak] + 80
    np.testing.assert_array_equal(picture[150, 20], [GREY] * 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
def test_a_map_that_says_nothing_leaves_the_face_as_it_is(channels, value):
    pixels = torch.randint(0, 256, (1, channels, 48, 48), generator=torch.Generator().manual_seed(0)).byte()
    maps = torch.full((1, 2, 48, 48), value)
    expected = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(overlay_pixels(pixels, maps, zoom=1), np.stack([expected] * 2, 1))


def test_a_broken_map_does_not_spoil_the_scale_of_the_others():
    maps = torch.cat([peaked(1.0), torch.full((1, 1, 48, 48), torch.inf)])
    assert signed(maps, "shared").amax() == 1


def test_scales_choose_what_full_colour_means():
    maps = torch.cat([torch.cat([peaked(4.0), peaked(2.0)], 1), torch.cat([peaked(1.0), peaked(-0.5)], 1)])
    peaks = {name: signed(maps, name)[..., 10, 20].tolist() for name in SCALES}
    assert peaks == {"own": [[1, 1], [1, -1]], "image": [[1, 0.5], [1, -0.5]], "shared": [[1, 0.5], [0.25, -0.125]]}
    assert signed(maps, 8.0)[0, 0, 10, 20] == 0.5
    assert set(SCALE_NOTES) == set(SCALES)


def test_strength_follows_the_size_of_the_evidence():
    ramp = torch.linspace(-1, 1, 101).view(1, 1, 1, 101)
    opacity = heat(ramp)[0, 0, 0, :, 3].astype(int)
    np.testing.assert_allclose(opacity, (ramp.abs().flatten() * 255).numpy(), atol=2)


def test_opacity_zero_shows_the_face():
    assert (overlay_pixels(faces(1), peaked(1.0), opacity=0.0) == GREY).all()


@pytest.mark.parametrize("scale", SCALES)
def test_no_faces_give_no_pictures(scale):
    assert overlay_pixels(faces(0), torch.zeros(0, 7, 6, 6), scale=scale, zoom=2).shape == (0, 7, 96, 96, 3)


def test_another_scale_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'shared'"):
        overlay_pixels(faces(1), peaked(1.0), scale="share")


def test_coarse_maps_spread_over_the_face():
    maps = torch.zeros(1, 1, 6, 6)
    maps[..., 0, 0] = 1
    picture = overlay_pixels(faces(1), maps, zoom=2)[0, 0].astype(int)
    assert picture.shape == (96, 96, 3)
    assert picture[4, 4, 0] > picture[4, 4, 2]
    assert (picture[60:, 60:] == GREY).all()


def test_overlay_is_a_sheet_of_a_row_a_face():
    one = overlay(samples(), explanation(torch.randn(1, 3, 6, 6)))
    three = overlay(samples(), explanation(torch.randn(3, 3, 6, 6)))
    assert three.width == one.width > 4 * 140
    assert three.height > one.height + 2 * 140


def test_overlay_stops_at_its_limit():
    many = explanation(torch.randn(3, 1, 6, 6))
    assert overlay(samples(), many, limit=1).height < overlay(samples(), many).height


def test_overlay_finds_the_faces_by_name():
    maps = peaked(1.0)
    picture = overlay(samples(), explanation(maps, ids=("face/2",)))
    assert np.asarray(picture).std() > 0
    with pytest.raises(DataError, match="face/9"):
        overlay(samples(), explanation(maps, ids=("face/9",)))


def test_overlay_of_nothing_and_of_broken_maps():
    overlay(samples(), explanation(torch.zeros(0, 2, 6, 6)))
    overlay(samples(), explanation(torch.full((3, 1, 6, 6), torch.nan), class_free=True))


def test_overlay_of_faces_of_another_size_than_the_network_takes():
    overlay(samples(size=100), explanation(torch.randn(3, 2, 6, 6)))


def drawn_of(monkeypatch, shown, draw=overlay):
    """What a sheet of maps is called and how its colours are explained."""
    said = {}
    monkeypatch.setattr(maps, "sheet", lambda _, **words: said.update(words))
    draw(*((samples(), shown) if draw is overlay else (shown,)))
    return said["title"], said["legend"][:2], said["legend"][2].name


@pytest.mark.parametrize("draw", [overlay, map_sheet])
def test_the_legend_says_what_the_colours_mean(monkeypatch, draw):
    random = torch.randn(2, 2, 6, 6)
    for given, free, words, colours in (
        (random, False, ("against", "for"), "glow"),
        (random, True, ("below zero", "above zero"), "glow"),
        (random.abs(), False, ("none", "strong"), "strength"),
        (random.abs(), True, ("none", "strong"), "strength"),
    ):
        assert drawn_of(monkeypatch, explanation(given, class_free=free), draw)[1:] == (words, colours)


def test_the_one_sided_colours_are_those_of_the_map():
    np.testing.assert_allclose(maps.STRENGTH(np.linspace(0, 1, 9)), maps.GLOW(np.linspace(0.5, 1, 9)), atol=0.01)


def test_the_title_names_layers_and_fusion(monkeypatch):
    one = explanation(torch.randn(1, 1, 6, 6))
    assert drawn_of(monkeypatch, one)[0] == "grad-cam · layer4 · each map on its own scale"
    fused = replace(one, layer="layer3 + layer4", fusion="mean")
    assert drawn_of(monkeypatch, fused)[0].startswith("grad-cam · layer3 + layer4, mean · each")
    assert drawn_of(monkeypatch, replace(one, layer=""))[0].startswith("grad-cam · each")


def halved(outlier, size=48):
    """Maps (3, 1, size, size) for a class on the left, against it on the right, and as strong as `outlier` once."""
    found = torch.full((3, 1, size, size), 0.5)
    found[..., size // 2 :] = -0.5
    found[..., 7, 7] = outlier
    return found


def test_a_title_says_where_full_colour_is_no_peak(monkeypatch):
    assert "own scale, full colour at the 99th percentile" in drawn_of(monkeypatch, explanation(halved(100)))[0]
    assert "percentile" not in drawn_of(monkeypatch, explanation(halved(100), fusion="mean"))[0]


def test_the_note_names_the_methods_where_it_is_not_all():
    assert (
        fine_note({"lrp": True, "grad-cam": False, "<b>": True}) == ", full colour at the 99th percentile for lrp, <b>"
    )
    assert fine_note({"lrp": True}) == ", full colour at the 99th percentile"
    assert fine_note({"grad-cam": False}) == fine_note({}) == ""


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("draw", [overlay, map_sheet])
def test_sheets_of_maps_of_pixels_are_no_paler_for_one_peak(draw, scale):
    """The picture is the same whether one pixel lies at the 99th percentile or far beyond."""
    mild, wild = (
        np.asarray(draw(*((samples(), shown) if draw is overlay else (shown,)), scale=scale))
        for shown in (explanation(halved(0.5)), explanation(halved(100)))
    )
    np.testing.assert_array_equal(mild, wild)


def test_one_scale_for_all_maps_ends_at_what_pictures_show(monkeypatch):
    monkeypatch.setattr(maps, "CHUNK", 2)
    assert peak(explanation(halved(100))) == 0.5
    coarse = torch.cat([torch.full((2, 1, 1, 3), -4.0), torch.full((1, 1, 1, 3), torch.inf)])
    assert peak(explanation(coarse)) == 4
    assert peak(explanation(torch.arange(3.0).expand(3, 1, 3, 3), relative=True)) == 1
    assert peak(explanation(torch.zeros(0, 1, 6, 6))) == 0
