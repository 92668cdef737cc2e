"""The figure of a sweep: what stands where."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from inspect_fer.render import png_bytes, svg_text
from inspect_fer.render.effects import effects_figure

RATES = [0.1, 0.1, 0.01, 0.01]
SCORES = [0.5, 0.3, 0.9, 0.6]
DRAWN = {"rate": [10.0 ** -(place / 4) for place in range(12)], "decay": [place / 12 for place in range(12)]}

FIGURES = {
    "one key": lambda: effects_figure({"rate": RATES}, SCORES),
    "many keys": lambda: effects_figure({f"key {place}": RATES for place in range(9)}, SCORES),
    "one trial": lambda: effects_figure({"rate": [0.1]}, [0.5], score="macro_f1"),
    "equal scores": lambda: effects_figure({"rate": RATES}, [0.5] * 4, score="loss"),
    "equal accuracies": lambda: effects_figure({"rate": RATES}, [1 / 7] * 4),
    "failed ones": lambda: effects_figure({"rate": RATES}, [None, None, 0.5, None]),
    "all failed": lambda: effects_figure({"rate": RATES, "name": list("aabc")}, [None] * 4),
    "drawn": lambda: effects_figure(DRAWN, np.linspace(0, 1, 12).tolist(), log={"rate"}),
    "drawn, all failed": lambda: effects_figure(DRAWN, [None] * 12, log={"rate"}),
    "tables and odd names": lambda: effects_figure({"$x_{$": [{"a": 1}, {"$b$": [1, "c"]}, {}, True]}, SCORES),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_it_is_drawn_without_a_warning(make):
    picture = Image.open(BytesIO(png_bytes(make()))).convert("L")
    assert (np.asarray(picture) < 200).mean() > 0.002
    assert picture.getpixel((2, 2)) == 255
    assert svg_text(make()).lstrip().startswith("<?xml")


def labels(place):
    return [tick.get_text() for tick in place.get_xticklabels()]


def means(place):
    """Height of each bar, by the label below it."""
    bars = [bar.get_segments()[0] for bar in place.collections if isinstance(bar, LineCollection)]
    return {labels(place)[round(bar[:, 0].mean())]: pytest.approx(bar[0, 1]) for bar in bars}


def dots(place, label):
    found = [spots for spots in place.collections if spots.get_label() == label]
    return np.concatenate([np.asarray(spots.get_offsets()) for spots in found]) if found else np.empty((0, 2))


def test_numbers_stand_in_order_and_every_value_has_its_mean():
    (place,) = effects_figure({"rate": RATES}, SCORES).axes
    assert labels(place) == ["0.01", "0.1"]
    assert means(place) == {"0.1": 0.4, "0.01": 0.75}
    trials = dots(place, "trial")
    assert np.allclose(trials[:, 1], SCORES)
    assert np.round(trials[:, 0]).tolist() == [1, 1, 0, 0]
    assert len(set(trials[:, 0])) == 4


def test_words_stand_in_the_order_of_their_means_and_long_ones_are_told_apart():
    names = ["torchvision:efficientnet_b0", "torchvision:efficientnet_b1", "resnet", "resnet"]
    (place,) = effects_figure({"network": names}, SCORES).axes
    assert labels(place) == ["torchvisi…ientnet_b1", "torchvisi…ientnet_b0", "resnet"]
    assert means(place) == {"torchvisi…ientnet_b1": 0.3, "torchvisi…ientnet_b0": 0.5, "resnet": 0.75}


def test_a_failed_trial_has_a_cross_and_counts_for_no_mean():
    (place,) = effects_figure({"rate": RATES}, [0.5, None, None, None]).axes
    assert means(place) == {"0.1": 0.5}
    assert len(dots(place, "trial")) == 1
    assert np.round(dots(place, "failed")[:, 0]).tolist() == [1, 0, 0]


@pytest.mark.parametrize(("score", "best"), [("accuracy", 0.9), ("macro_f1", 0.9), ("loss", 0.3)])
def test_the_best_trial_has_a_ring(score, best):
    for place in effects_figure({"rate": RATES, "name": list("abab")}, SCORES, score=score).axes:
        assert dots(place, "best")[:, 1].tolist() == [best]


def ticks(place):
    """Heights and labels of the ticks that show on the scores' axis."""
    place.figure.draw_without_rendering()
    low, high = place.get_ylim()
    found = zip(place.get_yticks(), place.get_yticklabels(), strict=True)
    return [(height, tick.get_text()) for height, tick in found if low <= height <= high]


@pytest.mark.parametrize("score", ["accuracy", "macro_f1", "loss"])
@pytest.mark.parametrize(
    "scores",
    [[1 / 7] * 4, [0.0] * 4, [1.0] * 4, [0.5, 0.5001, 0.5, 0.5], [0.1, 0.116, 0.1, 0.1], [0.4, 0.45, 0.48, 0.4]],
)
def test_ticks_of_the_scores_are_told_apart_and_true(score, scores):
    (place,) = effects_figure({"rate": RATES}, scores, score=score).axes
    heights, words = zip(*ticks(place), strict=True)
    assert len(set(words)) == len(words) >= 3
    if score == "accuracy":
        assert [float(word.rstrip("%")) for word in words] == pytest.approx([100 * height for height in heights])
    if score != "loss":
        assert min(heights) >= -1e-9
        assert max(heights) <= 1 + 1e-9
    low, high = place.get_ylim()
    assert low < min(scores) <= max(scores) < high


def test_equal_losses_far_from_zero_have_ticks_without_an_offset():
    (place,) = effects_figure({"rate": RATES}, [12345.6] * 4, score="loss").axes
    assert len({word for _, word in ticks(place)}) >= 3
    assert not place.yaxis.get_offset_text().get_text()


def test_panels_share_their_scores_axis_and_wrap():
    places = effects_figure({f"key {place}": RATES for place in range(5)}, SCORES).axes
    assert [place.get_title(loc="left") for place in places] == [f"key {place}" for place in range(5)]
    assert len({place.get_ylim() for place in places}) == 1
    grids = [place.get_subplotspec().get_geometry()[:2] for place in places]
    assert set(grids) == {(2, 3)}
    assert [place.get_ylabel() for place in places] == ["selection accuracy", "", "", "selection accuracy", ""]


def test_many_numbers_get_an_axis_with_the_means_of_equal_parts():
    scores = np.linspace(0, 1, 12).tolist()
    rate, decay = effects_figure(DRAWN, scores, log={"rate"}).axes
    assert (rate.get_xscale(), decay.get_xscale()) == ("log", "linear")
    assert np.allclose(dots(rate, "trial"), list(zip(DRAWN["rate"], scores, strict=True)))
    (line,) = decay.lines
    parts = np.array_split(np.arange(12), 5)
    assert np.allclose(line.get_ydata(), [np.mean([scores[row] for row in part]) for part in parts])
    assert np.allclose(line.get_xdata(), [np.mean([DRAWN["decay"][row] for row in part]) for part in parts])
