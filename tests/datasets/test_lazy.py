import pickle

import pytest
import torch
from PIL import Image

from inspect_fer.datasets.lazy import LazyRows, fitted, one_after_another, read_crops, square
from inspect_fer.errors import DataError
from inspect_fer.images import fit


class Counting:
    """A reader that remembers what it was asked for: an entry n becomes a picture of the value n."""

    def __init__(self):
        self.asked = []

    def __call__(self, entries):
        self.asked.append(list(entries))
        return torch.tensor(entries, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 6)


@pytest.fixture
def read():
    return Counting()


@pytest.fixture
def lazy(read):
    return LazyRows([10, 11, 12, 13, 14], read)


def values(pixels):
    return pixels[:, 0, 0, 0].tolist()


def test_nothing_is_read_but_what_is_asked_for(lazy, read):
    assert lazy.shape == (5, 1, 4, 6)
    assert read.asked == [[10]]  # the first, for its shape
    few = lazy.select(torch.tensor([4, 1, 2]))
    assert few.shape == (3, 1, 4, 6)
    assert values(few[1:]) == [11, 12]
    assert values(lazy[torch.tensor([3, 3, 0])]) == [13, 13, 10]
    assert read.asked[1:] == [[11, 12], [13, 13, 10]]


def test_no_rows(lazy, read):
    assert lazy[5:].shape == (0, 1, 4, 6)
    assert lazy.select(torch.tensor([], dtype=torch.int64)).shape == (0, 1, 4, 6)
    assert len(read.asked) == 1


def test_it_can_be_sent_to_another_process(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    lazy = LazyRows([tmp_path / "a.png"], read_paths)
    assert torch.equal(pickle.loads(pickle.dumps(lazy))[:], lazy[:])  # noqa: S301 (our own bytes)


def read_paths(paths):
    return read_crops([(path, (0, 0, 4, 4)) for path in paths], size=4, channels=1)


def test_fitted_pixels_are_those_that_fit_gives():
    pixels = torch.randint(0, 256, (6, 3, 20, 20), dtype=torch.uint8)
    lazy = LazyRows(range(6), lambda rows: pixels[list(rows)])
    assert fitted(lazy, size=20, channels=3) is lazy
    assert fitted(lazy, size=None, channels=None) is lazy
    for wanted in ({"size": 9, "channels": None}, {"size": None, "channels": 1}, {"size": 31, "channels": 1}):
        found = fitted(lazy, **wanted)
        assert found.shape == fit(pixels, **wanted).shape
        assert torch.equal(found[:], fit(pixels, **wanted))
        assert torch.equal(found.select(torch.tensor([4, 0]))[:], fit(pixels, **wanted)[[4, 0]])
        assert torch.equal(fitted(pixels, **wanted), fit(pixels, **wanted))


def test_parts_one_after_another_read_each_part_once(lazy, read):
    memory = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 6)
    both = one_after_another([memory, lazy])
    assert both.shape == (8, 1, 4, 6)
    assert values(both[:]) == [0, 1, 2, 10, 11, 12, 13, 14]
    read.asked.clear()
    assert values(both.select(torch.tensor([7, 0, 3, 2]))[:]) == [14, 0, 10, 2]
    assert read.asked == [[14, 10]]
    assert isinstance(one_after_another([memory, memory]), torch.Tensor)


def test_a_crop_is_the_box_as_far_as_the_picture_goes(tmp_path):
    picture = Image.new("L", (30, 20), 0)
    picture.paste(100, (0, 0, 10, 10))
    picture.save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert read_crops([(path, (0, 0, 10, 10)), (path, (-5, -5, 15, 15))], size=8, channels=1).unique().tolist() == [100]
    assert read_crops([(path, (9.6, 0, 10, 10))], size=10, channels=3).unique().tolist() == [0]
    with pytest.raises(DataError, match="has 30 x 20 pixels; its face box 30..40, 0..10 is outside"):
        read_crops([(path, (30, 0, 10, 10))], size=8, channels=1)
    with pytest.raises(DataError, match="is outside"):
        read_crops([(path, (5, 5, 0, 0))], size=8, channels=1)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((5, 9), (0, 5), (2, 7)), ((8, 3), (2, 5), (0, 3)), ((4, 4), (0, 4), (0, 4))]
)
def test_the_middle_square(shape, rows, columns):
    pixels = torch.randn(2, 3, *shape)
    assert torch.equal(square(pixels), pixels[..., rows[0] : rows[1], columns[0] : columns[1]])
