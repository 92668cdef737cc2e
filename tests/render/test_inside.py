"""Pictures of the inside: drawn for whatever shapes there are, and what is marked is where it should be."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from inspect_fer.render import png_bytes
from inspect_fer.render.inside import (
    bars_figure,
    by_sign,
    channel_sheet,
    exciting_sheet,
    framed,
    gates_figure,
    matrix_figure,
    picture_sheet,
    table_figure,
)
from inspect_fer.render.look import SECOND
from inspect_fer.render.sheets import Tile

NAMES = ("anger", "$x_{$", "<b>bold</b>")
FACES = torch.full((2, 1, 48, 48), 90, dtype=torch.uint8)
PLACES = torch.tensor([[0, 0], [5, 2]])

PICTURES = {
    "matrix": lambda: matrix_figure(torch.randn(3, 40), names=NAMES, title="$x"),
    "matrix of many": lambda: matrix_figure(torch.randn(1300, 700)),
    "matrix of zeros": lambda: matrix_figure(torch.zeros(1, 1)),
    "table": lambda: table_figure(torch.randn(12, 3), [f"channel {n}" for n in range(12)], NAMES, title="t"),
    "table of zeros": lambda: table_figure(torch.zeros(1, 3), ["channel 0"], NAMES),
    "bars": lambda: bars_figure(torch.randn(200), title="features"),
    "named bars": lambda: bars_figure(torch.zeros(3), names=NAMES),
    "gates": lambda: gates_figure(
        {"a": torch.rand(8), "b": torch.rand(64)}, {"a": torch.randn(2, 8), "b": torch.zeros(2, 64)}, NAMES[1]
    ),
    "channels": lambda: channel_sheet(
        FACES[0], [(Tile(Image.new("RGB", (1, 1)), "fear"), torch.randn(2, 6, 6), ["a", "b"], ["", "+1"])], title="t"
    ),
    "exciting": lambda: exciting_sheet([(FACES, PLACES, ["1", "2"], ["fear", ""])] * 3, (6, 6), title="t"),
    "pictures": lambda: picture_sheet(FACES.expand(2, 3, 48, 48), ["a", "b"], ["", "0 → 1"]),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_pictures_are_drawn_on_a_light_ground(make):
    with Image.open(BytesIO(png_bytes(make()))) as drawn:
        assert min(drawn.size) > 100
        assert max(drawn.size) < 4000
        assert drawn.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


def test_the_frame_is_around_the_cell():
    """Cells of 8 pixels, twice as large: cell (5, 2) takes the rows 80 to 95 and the columns 32 to 47."""
    first, second = framed(FACES, PLACES, (6, 6))
    orange = tuple(bytes.fromhex(SECOND[1:]))
    for face, rows, columns in ((first, (0, 15), (0, 15)), (second, (80, 95), (32, 47))):
        marked = (np.asarray(face) == orange).all(axis=2).nonzero()
        assert (marked[0].min(), marked[0].max()) == rows
        assert (marked[1].min(), marked[1].max()) == columns
        assert len(marked[0]) < 16 * 16, "a frame, no patch"


def test_the_frame_around_a_small_cell_can_be_seen():
    (face,) = framed(FACES[:1], torch.tensor([[24, 12]]), (48, 48))
    orange = (np.asarray(face) == [int(SECOND[at : at + 2], 16) for at in (1, 3, 5)]).all(axis=2)
    rows, columns = orange.any(axis=1).nonzero()[0], orange.any(axis=0).nonzero()[0]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 52, 21, 28)
    assert not orange[48:50, 24:26].any(), "the cell itself"


def test_maps_take_the_sign_of_the_contribution():
    maps = torch.tensor([[[1.0, -2.0]], [[3.0, 0.0]], [[-1.0, 1.0]]])
    assert by_sign(maps, torch.tensor([0.5, -0.1, 0.0])).tolist() == [[[1, 2]], [[-3, 0]], [[0, 0]]]


def test_features_have_no_frame():
    assert all(len(set(np.asarray(face).flatten().tolist())) == 1 for face in framed(FACES, PLACES * 0, (1, 1)))


def test_no_minus_stands_before_zero():
    drawn = table_figure(torch.tensor([[-0.001, -0.4, 12.34]]), ["channel 0"], NAMES, unit="change of logit")
    assert [words.get_text() for words in drawn.axes[0].texts] == ["+0.00", "-0.40", "+12.3"]
    assert drawn.axes[1].get_ylabel() == "change of logit"


def test_changes_by_a_gate_are_named_in_full():
    drawn = gates_figure({"a": torch.rand(8)}, {"a": torch.randn(2, 8)}, "fear")
    assert drawn.axes[1].get_ylabel() == "change of logit\nfear"


def test_columns_of_a_matrix_stand_apart():
    """A column of weights is one colour from top to bottom of its row, with nothing mixed in from the next."""
    weights = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    with Image.open(BytesIO(png_bytes(matrix_figure(weights)))) as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    warm = (pixels[..., 0] - pixels[..., 2] > 100).sum()
    cold = (pixels[..., 2] - pixels[..., 0] > 60).sum()
    pale = ((pixels.min(axis=2) > 235) & (pixels.max(axis=2) < 250)).sum()
    assert abs(warm - cold) < 0.2 * warm
    assert pale < 0.02 * warm
