"""The charts of a report: drawn without a warning whatever names and numbers are, and the drawing's geometry."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from inspect_fer.render import png_bytes, svg_text
from inspect_fer.render.report_drawing import network_drawing, network_figure
from inspect_fer.render.report_figures import (
    MARGIN,
    SHEET,
    counts_figure,
    histograms_figure,
    intervals_figure,
    mean_sheet,
    on_page,
    picture_figure,
    ranking_figure,
    sets_figure,
    words_figure,
)

NAMES = ("anger", "$x_{$", "_fear", "<b>bold</b>")
SCORES = {"per_class": {name: {"precision": 0.5, "recall": None, "f1": 0.6, "support": 3} for name in NAMES}}
CURVES = [(name, np.array([0, 0.2, 1]), np.array([0, 0.9, 1])) for name in NAMES * 5]


def layer(name, kind, *shape):
    return {"name": name, "kind": kind, "shape": list(shape), "parameters": 9, "receptive_field": 3}


ROWS = [
    layer("stem", "Conv2d", 4, 32, 32),
    layer("norm", "BatchNorm2d", 4, 32, 32),
    layer("stages.0.conv", "Conv2d", 16, 8, 8),
    layer("stages.0.relu", "ReLU", 16, 8, 8),
    layer("stages.1.conv", "Conv2d", 16, 8, 8),
    layer("head", "Linear", 64),
]
FIGURES = {
    "ranking": lambda: ranking_figure(CURVES, title="ROC", x="x", y="y", chance=True),
    "ranking of nothing": lambda: ranking_figure([], title="ROC", x="x", y="y"),
    "intervals": lambda: intervals_figure(
        SCORES, {"per_class": {"anger": {"precision": (0.2, 0.8), "recall": None, "f1": (0.5, 0.7)}}}
    ),
    "histograms": lambda: histograms_figure({"train": dict.fromkeys(NAMES, 3), "test": dict.fromkeys(NAMES, 1)}),
    "counts": lambda: counts_figure(dict.fromkeys(NAMES, 0), title="Labels"),
    "sets": lambda: sets_figure({name: [[3, 0], [0, 0]] for name in NAMES}),
    "words": lambda: words_figure("$x_{$", [("$a_{$", "b" * 200), ("", "")]),
    "network": lambda: network_figure(ROWS, "stages.1"),
    "network of one layer": lambda: network_figure([layer("$x_{$", "Linear", 3)]),
    "picture": lambda: picture_figure(sheet()),
}


def sheet():
    faces = torch.randint(0, 256, (2, 1, 12, 12)).byte()
    return mean_sheet(faces, {"$x_{$": torch.randn(2, 12, 12)}, NAMES[:2], [3, 1000])


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_figures_are_drawn_as_png_and_svg(make):
    assert png_bytes(make()).startswith(b"\x89PNG")
    assert "<svg" in svg_text(make())


@pytest.mark.parametrize("name", sorted({*FIGURES} - {"words"}))
def test_on_a_page_a_figure_keeps_to_the_margins_and_its_legend_below_the_axes(name):
    drawing = on_page(FIGURES[name](), "Made with it")
    assert drawing.get_size_inches().tolist() == pytest.approx(SHEET)
    drawing.draw_without_rendering()
    edge = 0.9 * MARGIN * drawing.dpi
    for place in drawing.axes:
        box = place.get_tightbbox()
        assert min(box.x0, box.y0) >= edge
        assert box.x1 <= drawing.bbox.width - edge
        assert box.y1 <= drawing.bbox.height - edge
        for legend in drawing.legends:
            assert legend.get_window_extent().y1 <= box.y0
            assert legend.get_window_extent().y0 >= edge


def test_on_a_page_the_title_over_several_axes_stands_above_them_within_the_margins():
    drawing = on_page(FIGURES["histograms"](), "Made with it")
    drawing.draw_without_rendering()
    title = drawing.texts[0].get_window_extent()
    assert title.y0 >= max(place.get_tightbbox().y1 for place in drawing.axes)
    assert title.y1 <= drawing.bbox.height - 0.9 * MARGIN * drawing.dpi
    assert title.x0 >= 0.9 * MARGIN * drawing.dpi


def test_on_a_page_words_and_lines_grow_with_the_figure():
    plain, paged = FIGURES["ranking"](), on_page(FIGURES["ranking"](), "")
    for drawing in (plain, paged):
        drawing.draw_without_rendering()
    for find in (
        lambda place: place.title.get_fontsize(),
        lambda place: place.get_xticklabels()[0].get_fontsize(),
        lambda place: place.lines[1].get_linewidth(),
    ):
        assert find(paged.axes[0]) > 1.4 * find(plain.axes[0])


def test_a_page_of_words_has_room_for_many():
    drawing = on_page(words_figure("Title", [("a", "b")] * 12, [(f"name {n}", "c" * 300) for n in range(60)]), "Made")
    drawing.draw_without_rendering()
    boxes = [words.get_window_extent() for words in drawing.texts]
    assert min(box.y0 for box in boxes[:-1]) > MARGIN * drawing.dpi * 0.9
    assert max(box.x1 for box in boxes) < drawing.bbox.width - MARGIN * drawing.dpi * 0.5


def test_the_drawing_says_what_is_orange():
    said = [words.get_text() for words in network_figure(ROWS, "stages.1").axes[0].texts]
    assert "orange: what CAM methods read, stages.1" in said
    assert not any("orange" in words.get_text() for words in network_figure(ROWS).axes[0].texts)


def test_a_class_that_begins_an_underscore_is_in_the_legend():
    drawing = ranking_figure(CURVES[:4], title="ROC", x="x", y="y")
    assert len(drawing.legends[0].get_texts()) == 4


def test_slabs_stand_for_what_convolves_connects_or_changes_the_shape():
    drawing = network_drawing(ROWS, "stages.1.conv")
    names = [slab.words.split(":")[0] for slab in drawing.slabs]
    assert names == ["stem", "stages.0.conv", "stages.1.conv", "head"]
    assert [slab.read for slab in drawing.slabs] == [False, False, True, False]
    assert [block.name for block in drawing.blocks] == ["stem", "stages", "head"]
    assert [part.name for part in drawing.parts] == ["0", "1"]
    assert [size.name for size in drawing.sizes] == ["32²", "8²"]
    stem, stage, *_, head = drawing.slabs
    assert stem.height / stage.height == pytest.approx(2)  # the root of 32 / 8
    assert stage.width / stem.width == pytest.approx(2)  # the root of 16 / 4
    assert head.height < stage.height


@pytest.mark.parametrize("cam_layer", ["stages.0", "stages.0.relu", "stages"])
def test_a_cam_layer_is_marked_at_the_last_slab_before_its_end(cam_layer):
    (read,) = [slab for slab in network_drawing(ROWS, cam_layer).slabs if slab.read]
    assert read.words.startswith("stages.1" if cam_layer == "stages" else "stages.0.conv")


@pytest.mark.parametrize("count", [20, 60, 100])
def test_nothing_overlaps_and_the_drawing_stays_readable(count):
    rows = [
        layer(
            f"stage{n // 12}.{n // 3 % 4}.conv{n}",
            "Conv2d",
            2 ** (4 + n * 6 // count),
            64 >> n * 5 // count,
            64 >> n * 5 // count,
        )
        for n in range(count)
    ]
    drawing = network_drawing(rows)
    assert len(drawing.slabs) == count
    assert 400 < drawing.width < 1700
    for spans in (drawing.slabs, drawing.blocks, drawing.parts, drawing.sizes):
        assert all(a.x + a.width <= b.x + 1e-6 for a, b in pairwise(spans))
    assert all(block.width >= 6 * len(block.name) for block in drawing.blocks)
    assert min(slab.width for slab in drawing.slabs) >= 3


def test_it_is_drawn_from_the_table_of_a_real_network(tiny_model):
    from inspect_fer.internals.layer_rows import layer_rows

    drawing = network_drawing(layer_rows(tiny_model), tiny_model.card.cam_layer)
    assert sum(slab.read for slab in drawing.slabs) == 1
    assert re.match(r"features.conv: Conv2d, 6 x 12 x 12, 60 parameters", drawing.slabs[0].words)


def test_histograms_are_shares_on_one_scale_with_numbers_and_the_marked_stand_out():
    counts = {"$a_{$": dict(zip(NAMES, (6, 3, 1, 0), strict=True)), "b": dict.fromkeys(NAMES, 25)}
    drawing = histograms_figure(counts, marked=["b"])
    svg_text(drawing)
    first, second = drawing.axes
    assert [bar.get_width() for bar in first.patches] == pytest.approx([60, 30, 10, 0])
    assert [bar.get_width() for bar in second.patches] == pytest.approx([25] * 4)
    assert first.get_xlim() == second.get_xlim()
    assert [words.get_text().strip() for words in first.texts] == ["6", "3", "1", "0"]
    assert [place.get_title(loc="left") for place in drawing.axes] == ["$a_{$", "b •"]
    assert first.patches[0].get_facecolor() != second.patches[0].get_facecolor()
    svg_text(histograms_figure({"none": {}}))
    png_bytes(histograms_figure({"none": dict.fromkeys(NAMES, 0)}))
