import math
from dataclasses import replace

import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.training import Augment
from inspect_fer.training.augment import augment, draw, mixed, randaugment

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


def test_skew_leans_and_keeps_the_row():
    rows, columns = centre_of(drawn(Augment(flip=0, shift=0, rotate=0, scale=0, skew=30), dot(row=10)))
    assert torch.allclose(rows, torch.tensor(10.0), atol=0.3)
    assert 4 < float(columns.abs().max()) < 10 * math.tan(math.radians(30)) + 0.5


@pytest.mark.parametrize(("jointly", "same"), [(True, True), (False, False)])
def test_chance_spares_some_and_one_draw_may_decide_both(jointly, same):
    options = Augment(flip=0, shift=0.2, rotate=40, scale=0, chance=0.5, jointly=jointly)
    affine = draw(options, 400, torch.Generator().manual_seed(0))["affine"]
    turned, moved = affine[:, 0, 1] != 0, (affine[:, :, 2] != 0).any(1)
    assert 0.4 < float(turned.float().mean()) < 0.6
    assert torch.equal(turned, moved) == same


def test_brightness_and_contrast_stay_within_their_reach():
    images = torch.cat([torch.ones(300, 1, 4, 2), -torch.ones(300, 1, 4, 2)], dim=3)
    changed = drawn(Augment(flip=0, shift=0, rotate=0, scale=0, brightness=0.5, contrast=0.2), images)
    high, low = changed[:, 0, 0, 0], changed[:, 0, 0, -1]
    lift, gain = (high + low) / 2, (high - low) / 2
    assert 0.4 < float(lift.abs().max()) <= 0.5
    assert 0.8 <= float(gain.min()) < 0.85
    assert 1.15 < float(gain.max()) <= 1.2


def test_larger_images_are_cropped_from_the_centre_or_ten_times():
    images = torch.arange(2 * 36.0).view(2, 1, 6, 6)
    still = Augment(flip=0, shift=0, rotate=0, scale=0)
    assert torch.equal(augment(images, still, torch.Generator(), side=4), images[:, :, 1:5, 1:5])
    crops = augment(images, replace(still, ten_crops=True), torch.Generator(), side=4)
    assert crops.shape == (20, 1, 4, 4)
    assert torch.equal(crops[10], images[1, :, :4, :4])
    assert torch.equal(crops[5], images[0, :, :4, :4].flip(-1))


def test_every_crop_is_erased_by_itself():
    options = Augment(flip=0, shift=0, rotate=0, scale=0, ten_crops=True, erase=1.0)
    crops = augment(torch.ones(3, 1, 30, 30), options, torch.Generator().manual_seed(0), side=24)
    assert len({tuple(crop.flatten().tolist()) for crop in crops}) == 30


def test_a_share_of_a_batch_draws_what_the_whole_batch_does():
    options = Augment(flip=0.5, shift=0.2, rotate=20, scale=0.1, brightness=0.5, erase=0.5)
    whole = drawn(options, ramp(8))
    share = augment(ramp(8)[4:], options, torch.Generator().manual_seed(0), share=slice(4, 8), of=8)
    assert torch.equal(whole[4:], share)


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_changes_each_face_by_itself(channels):
    faces = samples("synthetic:1", channels=channels, size=24).pixels.expand(12, -1, -1, -1)
    changed = randaugment(faces, Augment(randaugment=2))
    assert changed.shape == faces.shape
    assert changed.dtype == torch.uint8
    assert len({tuple(face.flatten().tolist()) for face in changed}) > 6


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixing_mixes_images_and_shares_alike(mixup, cutmix):
    """Images that are their own class everywhere: the mean of a mixed image is the mean of its shares."""
    values = torch.arange(6.0)
    images, shares = values.view(6, 1, 1, 1).expand(6, 1, 20, 20).clone(), torch.eye(6)
    for _ in range(4):
        mixed_images, mixed_shares = mixed(images, shares, mixup, cutmix)
        assert torch.allclose(mixed_images.mean((1, 2, 3)), mixed_shares @ values, atol=1e-4)
        assert torch.allclose(mixed_shares.sum(1), torch.ones(6))


@pytest.mark.parametrize(("mixup", "cutmix"), [(1, 0), (0, 1)])
def test_a_whole_number_mixes_too(mixup, cutmix):
    images, shares = mixed(ramp(4), torch.eye(4), mixup, cutmix)
    assert images.shape == (4, 1, 12, 12)
    assert shares.sum(1).tolist() == pytest.approx([1, 1, 1, 1])
