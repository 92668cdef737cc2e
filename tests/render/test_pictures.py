"""Sheets and figures: they are drawn without a warning, whatever the names and numbers are."""

from base64 import b64decode
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from PIL import Image

from inspect_fer.metrics import evaluate
from inspect_fer.render import (
    activation_sheet,
    class_scores_figure,
    confusion_figure,
    curves_figure,
    data_uri,
    face_wall,
    filter_sheet,
    png_bytes,
    reliability_figure,
    shares,
    sheets,
    svg_text,
)
from inspect_fer.render.look import LINE, font
from inspect_fer.render.sheets import Tile, broken, fit
from inspect_fer.schema import Prediction

NAMES = ("anger", "$x_{$", "<b>bold</b>", "happiness")


def scores(n=50, known=True):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (n,), generator=generator) if known else torch.full((n,), -1)
    ids = tuple(map(str, range(n)))
    return evaluate(Prediction(ids, torch.randn(n, 4, generator=generator), labels, NAMES))


HISTORY = [{"epoch": e, "loss": 1 / e, "accuracy": 0.1 * e, "select_loss": 2 / e, "lr": 0.1} for e in range(1, 5)]

FIGURES = {
    "confusion": lambda: confusion_figure(scores()["confusion"], NAMES),
    "confusion by row": lambda: confusion_figure(torch.tensor(scores()["confusion"]), NAMES, "row"),
    "confusion by column": lambda: confusion_figure(scores()["confusion"], NAMES, by="column"),
    "confusion of nothing": lambda: confusion_figure(torch.zeros(4, 4), NAMES, "row"),
    "curves": lambda: curves_figure(HISTORY),
    "curves of one number": lambda: curves_figure([{"loss": 1.0}, {"loss": None}]),
    "curves of nothing": lambda: curves_figure([]),
    "curves with only a selection set": lambda: curves_figure([{"epoch": 1, "select_accuracy": 0.5}]),
    "reliability": lambda: reliability_figure(scores()),
    "reliability of nothing": lambda: reliability_figure(scores(known=False)),
    "class scores": lambda: class_scores_figure(scores()),
    "class scores of nothing": lambda: class_scores_figure(scores(known=False)),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_figures_are_drawn_as_png_and_svg(make):
    before = dict(rcParams)
    picture = Image.open(BytesIO(png_bytes(make())))
    assert min(picture.size) > 200
    assert picture.getpixel((2, 2))[:3] == (255, 255, 255)
    assert svg_text(make()).lstrip().startswith("<?xml")
    assert dict(rcParams) == before


def test_figures_of_several_threads_do_not_meet():
    found = []
    threads = [Thread(target=lambda: found.append(png_bytes(reliability_figure(scores())))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_shares_by_hand():
    matrix = [[3, 1], [0, 0]]
    assert shares(matrix, "row").tolist() == [[0.75, 0.25], [0, 0]]
    assert shares(matrix, "column").tolist() == [[1, 1], [0, 0]]
    assert shares(matrix, "count").tolist() == [[1, 1 / 3], [0, 0]]


SHEETS = {
    "filters of one channel": lambda: filter_sheet(torch.randn(32, 1, 3, 3)),
    "filters of many channels": lambda: filter_sheet(torch.randn(64, 64, 3, 3)),
    "filters of zeros": lambda: filter_sheet(torch.zeros(4, 3, 7, 7)),
    "activations": lambda: activation_sheet(torch.rand(30, 12, 12)),
    "signed activations": lambda: activation_sheet(torch.randn(30, 12, 12)),
    "activations not finite": lambda: activation_sheet(torch.full((3, 2, 2), torch.nan)),
    "one activation": lambda: activation_sheet(torch.rand(1, 1, 1)),
    "more activations than fit": lambda: activation_sheet(torch.rand(600, 3, 3), limit=100),
    "faces": lambda: face_wall(torch.zeros(10, 1, 48, 48, dtype=torch.uint8)),
    "colour faces with names": lambda: face_wall(torch.zeros(3, 3, 100, 100).byte(), captions=["a", "b" * 90, "c"]),
    "no faces": lambda: face_wall(torch.zeros(0, 1, 48, 48, dtype=torch.uint8)),
}


@pytest.mark.parametrize("make", SHEETS.values(), ids=SHEETS)
def test_sheets_are_pictures_on_a_light_ground(make):
    picture = make()
    assert picture.mode == "RGB"
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert max(picture.size) < 4000


def test_filters_share_one_scale_around_zero():
    """The filter of half the size is paler, and zero is neither hue."""
    kernels = torch.tensor([1.0, 0.5, 0.0, -1.0]).view(4, 1, 1, 1)
    pixels = np.asarray(filter_sheet(kernels)).astype(int)
    row = pixels[90]  # through the first row of tiles
    full, half, zero = (row[x] for x in (40, 40 + 74, 40 + 148))
    assert full.sum() < half.sum() < zero.sum()
    assert full[0] - full[2] > 100
    assert abs(zero[0] - zero[2]) < 15


def test_captions_are_shortened_to_fit():
    letters = font(12)
    assert fit("fear", letters, 100) == "fear"
    short = fit("a very long name of a class", letters, 80)
    assert short.endswith("…")
    assert letters.getlength(short) <= 80


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_data_uris_hold_the_picture(kind):
    uri = data_uri(Image.new("RGB", (8, 9), "#fff"), kind)
    head, content = uri.split(",")
    assert head == f"data:image/{kind};base64"
    assert Image.open(BytesIO(b64decode(content))).size == (8, 9)


def test_sheets_of_a_layer_name_it(monkeypatch):
    titles = []
    monkeypatch.setattr(sheets, "sheet", lambda _, **words: titles.append(words["title"]))
    activation_sheet(torch.rand(3, 2, 2), layer="blocks.1")
    filter_sheet(torch.rand(3, 1, 2, 2), layer="blocks.0")
    activation_sheet(torch.rand(3, 2, 2))
    assert titles == [
        "blocks.1 · 3 channels · one scale",
        "blocks.0 · 3 filters · 1 input channel · one scale",
        "3 channels · one scale",
    ]


def test_an_empty_activation_map_has_an_edge():
    pixels = np.asarray(activation_sheet(torch.zeros(1, 8, 8)))
    assert tuple(pixels[54 + 30, 20]) == tuple(bytes.fromhex(LINE[1:]))
    assert tuple(pixels[54 + 30, 22]) == (255, 255, 255)


def test_a_long_title_is_broken_at_spaces():
    letters = font(15, bold=True)
    lines = broken("what excites it, mean activation from start to end", letters, 200)
    assert len(lines) > 1
    assert all(letters.getlength(line) <= 200 for line in lines)
    assert " ".join(lines) == "what excites it, mean activation from start to end"
    tile = Tile(Image.new("RGB", (90, 90)))
    short, long = (sheets.sheet([[tile]], title=words) for words in ("a", "a " * 150))
    assert short.width <= long.width <= sheets.NARROWEST + 2 * sheets.MARGIN
    assert long.height > short.height
