import pytest
import torch
from PIL import Image

from inspect_fer.datasets import samples
from inspect_fer.errors import DataError
from inspect_fer.faces import crop_face, find_face, load_photos


@pytest.fixture(scope="module")
def portrait():
    """A synthetic face that the cascade knows, (1, 160, 160)."""
    drawn = samples("synthetic:21", size=160)
    return next(face for face in drawn.pixels if find_face(face) is not None)


def scene(portrait, left, top):
    """A wide grey picture with the face somewhere in it."""
    picture = torch.full((1, 300, 500), 128, dtype=torch.uint8)
    picture[:, top : top + 160, left : left + 160] = portrait
    return picture


@pytest.mark.parametrize(("left", "top"), [(20, 30), (310, 120)])
def test_the_face_is_found_where_it_is(portrait, left, top):
    x, y, width, height = find_face(scene(portrait, left, top))
    assert left - 5 <= x < x + width <= left + 165
    assert top - 5 <= y < y + height <= top + 165
    assert width > 60


def test_the_largest_of_two_faces_is_taken(portrait):
    picture = scene(portrait, 320, 100)
    small = torch.nn.functional.interpolate(portrait[None].float(), 90, mode="bilinear")[0].byte()
    picture[:, 10:100, 10:100] = small
    assert find_face(picture)[0] > 250


def test_the_crop_has_the_size_and_channels_asked_for(portrait):
    crop = crop_face(scene(portrait, 100, 50).expand(3, -1, -1), size=48, channels=1)
    assert crop.shape == (1, 48, 48)
    assert crop.float().std() > 10


def test_a_picture_without_a_face_is_told(tmp_path):
    Image.new("L", (200, 200), 100).save(tmp_path / "wall.png")
    with pytest.raises(DataError, match=r"No upright, frontal face was found in .*wall.png"):
        load_photos([tmp_path / "wall.png"], size=48, channels=1)


def test_photos_become_samples(portrait, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(scene(portrait, 200, 80)[0].numpy()).save(tmp_path / name)
    found = load_photos([tmp_path / "a.png", tmp_path / "b.png"], size=32, channels=3)
    assert found.pixels.shape == (2, 3, 32, 32)
    assert found.labels.tolist() == [-1, -1]
