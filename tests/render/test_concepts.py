"""Concepts over faces: as strongly coloured as there is of them, behind what the network answers."""

import numpy as np
import pytest
import torch

from inspect_fer.render.concepts import SIDE, best_two, concept_sheet
from inspect_fer.render.look import FIRST
from inspect_fer.render.sheets import GAP, LINE_HEIGHT, MARGIN

NAMES = ("anger", "a name that is longer than its place", "<b>$x$</b>")
FACES = torch.full((2, 1, 48, 48), 90, dtype=torch.uint8)
ANSWERS = torch.tensor([[0.1, 0.75, 0.15], [1.0, 0.0, 0.0]])


def tile(drawn, row, column, width=SIDE):
    """One tile of a sheet without a title."""
    left, top = MARGIN + column * (width + GAP), MARGIN + row * (SIDE + GAP + LINE_HEIGHT)
    return np.asarray(drawn)[top : top + SIDE, left : left + width].astype(int)


def colour(pixels):
    """By how much red exceeds blue."""
    return (pixels[..., 0] - pixels[..., 2]).mean()


def test_strength_of_colour_is_how_much_of_the_concept_there_is():
    maps = torch.tensor([[1.0, 0.0], [0.5, 1.0]])[..., None, None].expand(2, 2, 3, 3)
    drawn = concept_sheet(FACES, maps, ANSWERS, NAMES, ["fear", ""])
    strengths = [[colour(tile(drawn, row, column)) for column in (1, 2)] for row in (0, 1, 2)]
    assert strengths[0] == [0, 0], "the faces as they are"
    assert strengths[1][0] > 1.5 * strengths[1][1] > 0, "one scale for a concept's maps"
    assert strengths[2] == [0, pytest.approx(strengths[1][0])]


def test_bars_are_as_long_as_the_classes_are_likely():
    drawn = concept_sheet(FACES, torch.zeros(2, 2, 3, 3), ANSWERS, NAMES, ["fear", ""])
    blue = [int(FIRST[at : at + 2], 16) for at in (1, 3, 5)]
    for row, expected in ((1, [90, 18]), (2, [120])):
        lengths = (tile(drawn, row, 0) == blue).all(axis=2).sum(axis=1)
        assert [length for length, before in zip(lengths[1:], lengths, strict=False) if length > before] == expected


def test_the_likeliest_classes_come_with_their_percentages():
    assert best_two(ANSWERS[0], NAMES) == [(NAMES[1], "75 %"), (NAMES[2], "15 %")]


@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 224, 224), (3, 32, 64), (1, 300, 200)])
def test_faces_of_any_size_become_tiles_of_one_height(shape):
    faces = torch.full((1, *shape), 90, dtype=torch.uint8)
    drawn = concept_sheet(faces, torch.ones(1, 1, 2, 2), ANSWERS[:1], NAMES)
    width = round(SIDE * shape[2] / shape[1])
    assert drawn.size[0] == max(2 * width + GAP, 200) + 2 * MARGIN
    assert (tile(drawn, 0, 1, width) == 90).all()
