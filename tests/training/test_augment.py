import math

import pytest
import torch

from inspect_fer.training import Augment
from inspect_fer.training.augment import augment

NOTHING = Augment(flip=0, shift=0, rotate=0, scale=0, erase=0)


def ramp(count=64, side=12):
    """Images that grow from left to right and, more, from top to bottom."""
    rows = torch.arange(side).float()[:, None] * side
    return (rows + torch.arange(side)).expand(count, 1, side, side).clone() / side**2 + 1


def drawn(options, images=None, seed=0):
    return augment(ramp() if images is None else images, options, torch.Generator().manual_seed(seed))


def test_nothing_asked_nothing_done():
    assert torch.equal(drawn(NOTHING), ramp())


def test_flipping_mirrors_about_half_of_them_exactly():
    images, flipped = ramp(), drawn(Augment(flip=0.5, shift=0, rotate=0, scale=0))
    mirrored = torch.isclose(flipped, images.flip(3), atol=1e-5).flatten(1).all(1)
    kept = torch.isclose(flipped, images, atol=1e-5).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert 16 < int(mirrored.sum()) < 48


def test_every_sample_draws_its_own_and_the_seed_decides():
    moved = drawn(Augment(flip=0, shift=0.2, rotate=10, scale=0.1))
    assert len({tuple(image.flatten().tolist()) for image in moved}) == len(moved)
    assert torch.equal(moved, drawn(Augment(flip=0, shift=0.2, rotate=10, scale=0.1)))
    assert not torch.equal(moved, drawn(Augment(flip=0, shift=0.2, rotate=10, scale=0.1), seed=1))


def centre_of(images):
    """Rows and columns of the centre of mass, in pixels from the middle."""
    height, width = images.shape[2:]
    mass = images.sum((1, 2, 3))
    rows = (images.sum((1, 3)) * (torch.arange(height) - (height - 1) / 2)).sum(1) / mass
    columns = (images.sum((1, 2)) * (torch.arange(width) - (width - 1) / 2)).sum(1) / mass
    return rows, columns


def dot(side=41, row=0, column=0, count=200):
    images = torch.zeros(count, 1, side, side)
    middle = side // 2
    images[:, :, middle + row - 1 : middle + row + 2, middle + column - 1 : middle + column + 2] = 1
    return images


def test_shift_stays_within_its_share_of_the_side_both_ways():
    rows, columns = centre_of(drawn(Augment(flip=0, shift=0.1, rotate=0, scale=0), dot()))
    for place in (rows, columns):
        assert 3 < float(place.abs().max()) <= 4.11
        assert place.min() < -3 < 3 < place.max()


def test_rotation_stays_within_its_degrees_and_keeps_the_distance():
    rows, columns = centre_of(drawn(Augment(flip=0, shift=0, rotate=30, scale=0), dot(column=12)))
    angle = torch.atan2(rows, columns) * 180 / math.pi
    assert 25 < float(angle.abs().max()) < 31
    assert torch.allclose((rows**2 + columns**2).sqrt(), torch.tensor(12.0), atol=0.3)


def test_scaling_stays_within_its_share():
    _, columns = centre_of(drawn(Augment(flip=0, shift=0, rotate=0, scale=0.2), dot(column=10)))
    assert columns.min() == pytest.approx(10 / 1.2, abs=0.4)
    assert columns.max() == pytest.approx(10 / 0.8, abs=0.4)


def test_what_comes_in_from_outside_is_the_mean_grey():
    assert drawn(Augment(flip=0, shift=0.5, rotate=0, scale=0)).amin((1, 2, 3)).lt(0.01).float().mean() > 0.9


def test_erasing_takes_one_rectangle_of_bounded_area():
    erased = drawn(Augment(flip=0, shift=0, rotate=0, scale=0, erase=0.5), torch.ones(400, 1, 48, 48))
    area = (erased == 0).float().mean((1, 2, 3))
    assert 0.4 < float((area > 0).float().mean()) < 0.6
    assert float(area.max()) < 0.25
    hole = (erased[int(area.argmax())][0] == 0).float()
    assert torch.equal(hole, hole.amax(1, keepdim=True) * hole.amax(0, keepdim=True))
