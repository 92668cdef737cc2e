"""The wall: its pictures and words; what a browser does with them stands in test_browser."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from inspect_fer.dashboard.wall import COLUMNS, SIDE, captions, face_tiles, map_tiles, one_map_each, sprite
from inspect_fer.runs import faces_of, open_run
from inspect_fer.schema import Explanation, Samples


@pytest.fixture(scope="module")
def run(place):
    return open_run(place / "reports" / "small")


def explanation(**changes):
    maps = torch.arange(12.0).view(2, 2, 1, 3) - 3
    made = Explanation(("a", "b"), maps, torch.tensor([[0, 2], [1, 0]]), {"name": "m"}, "layer", (1, 4, 4))
    return replace(made, **changes)


def test_each_id_gets_the_map_of_its_target():
    found = one_map_each(explanation(), ["b", "a", "c"], torch.tensor([0, 2, 0]))
    made = explanation().maps
    assert_close(found.maps[:, 0], torch.stack([made[1, 1], made[0, 1], torch.zeros(1, 3)]))
    assert found.ids == ("b", "a", "c")


def test_a_target_without_a_map_stays_blank_unless_the_method_has_no_classes():
    assert not one_map_each(explanation(), ["a"], torch.tensor([5])).maps.any()
    free = one_map_each(explanation(class_free=True), ["a"], torch.tensor([5]))
    assert_close(free.maps[0, 0], explanation().maps[0, 0])


def opened(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 3])
def test_a_sprite_holds_every_tile_at_its_place(count):
    tiles = np.stack([np.full((8, 6, 3), 12 * number, np.uint8) for number in range(count)])
    sheet = opened(sprite(tiles))
    assert sheet.shape[:2] == (8 * -(-count // COLUMNS), 6 * COLUMNS)
    for number in range(count):
        row, column = divmod(number, COLUMNS)
        centre = sheet[row * 8 + 2 : row * 8 + 6, column * 6 + 2 : column * 6 + 4]
        assert abs(float(centre.mean()) - 12 * number) < 6


@pytest.mark.parametrize("shape", [(3, 1, 48, 48), (2, 3, 20, 10), (1, 1, 224, 224)])
def test_face_tiles_have_one_size_and_colour(shape):
    faces = Samples(
        tuple(map(str, range(shape[0]))), torch.zeros(shape, dtype=torch.uint8), torch.zeros(shape[0]), ("x",)
    )
    tiles = face_tiles(faces)
    assert max(tiles.shape[1:3]) == SIDE
    assert tiles.shape[0] == shape[0]
    assert tiles.shape[3] == 3


def test_map_tiles_are_small_and_transparent_without_evidence():
    large = explanation(input_size=(1, 224, 224), maps=torch.zeros(2, 1, 7, 7), targets=torch.zeros(2, 1))
    tiles = map_tiles(large, "own")
    assert tiles.shape == (2, SIDE, SIDE, 4)
    assert not tiles[..., 3].any()


@pytest.mark.parametrize("scale", ["own", 0.5])
def test_a_map_of_pixels_is_no_paler_for_one_peak(scale):
    found = []
    for outlier in (0.5, 100):
        maps = torch.full((2, 1, 224, 224), 0.5)
        maps[..., 7, 7] = outlier
        found.append(map_tiles(explanation(input_size=(1, 224, 224), maps=maps), scale))
    np.testing.assert_array_equal(*found)
    assert found[0][..., 3].min() > 250


def test_captions_tell_prediction_and_label(run):
    row = int(run.prediction.wrong.nonzero()[0])
    first, second, spoken = captions(run.prediction, [row])[0]
    names = run.prediction.class_names
    assert first.startswith(names[int(run.prediction.predicted[row])])
    assert second == f"given {names[int(run.prediction.labels[row])]}"
    assert run.prediction.ids[row] in spoken


def test_an_unlabelled_face_has_no_given_class(run):
    unknown = replace(run.prediction, labels=torch.full_like(run.prediction.labels, -1))
    assert captions(unknown, [0])[0][1] == "no label"


def test_the_faces_of_the_run_make_a_sheet(run):
    faces = faces_of(run)
    assert opened(sprite(face_tiles(faces))).shape == (3 * SIDE, COLUMNS * SIDE, 3)
