"""Predictions: samples and tensors, labels, progress, and that no trace is left."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import ConfigError, DataError, UnknownNameError
from inspect_fer.images import ten_crops
from inspect_fer.predict import predict
from inspect_fer.schema import Samples

NAMES = ("anger", "fear", "happiness", "surprise", "neutral")


@pytest.fixture
def faces(generator):
    pixels = torch.randint(0, 256, (7, 1, 12, 12), generator=generator, dtype=torch.uint8)
    return Samples(tuple(f"face/{row}" for row in range(7)), pixels, torch.tensor([0, 1, 2, 3, 4, -1, 2]), NAMES)


def test_logits_are_the_networks(tiny_model, images):
    answer = predict(tiny_model, images)
    assert_close(answer.logits, tiny_model.network(images).detach())
    assert answer.ids == ("0", "1", "2", "3")
    assert answer.labels.tolist() == [-1] * 4
    assert answer.class_names == NAMES
    assert not answer.logits.is_inference()


def test_samples_and_pixels_are_normalised_and_floats_are_not(tiny_model, faces):
    expected = tiny_model.network((faces.pixels / 255 - 0.5) / 0.25).detach()
    assert_close(predict(tiny_model, faces).logits, expected)
    assert_close(predict(tiny_model, faces.pixels).logits, expected)
    assert_close(predict(tiny_model, faces.pixels.float()).logits, tiny_model.network(faces.pixels.float()).detach())


def test_batches_do_not_matter_and_progress_is_told(tiny_model, faces):
    told = []
    answer = predict(tiny_model, faces, batch_size=3, tick=lambda done, total: told.append((done, total)))
    assert told == [(3, 7), (6, 7), (7, 7)]
    assert_close(answer.logits, predict(tiny_model, faces).logits)
    assert answer.ids == faces.ids


def test_labels_come_in_the_networks_order(tiny_model, faces):
    turned = Samples(faces.ids, faces.pixels, faces.labels, ("neutral", "disgust", "anger", "fear", "happiness"))
    assert predict(tiny_model, turned).labels.tolist() == [4, -1, 0, 1, 2, -1, 0]
    assert predict(tiny_model, faces).labels.tolist() == faces.labels.tolist()


def test_logits_that_are_not_finite_stay(tiny_model, images):
    images[1] = torch.nan
    assert predict(tiny_model, images).logits.isnan().any(dim=1).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (torch.empty(0, 1, 12, 12), "no image"),
        (torch.empty(2, 3, 12, 12), "1 x 12 x 12 .* 3 x 12 x 12"),
        (torch.empty(2, 1, 12, 13), "1 x 12 x 13"),
        (torch.empty(2, 1, 9, 9, dtype=torch.uint8), "1 x 9 x 9"),
        (torch.empty(1, 12, 12), r"not 1 x 12 x 12; one image is images\[None\]"),
        (torch.zeros(2, 1, 12, 12, dtype=torch.int64), "torch.int64"),
        ([1, 2], "not list"),
    ],
)
def test_input_that_does_not_fit_is_an_error(tiny_model, wrong, reason):
    with pytest.raises(DataError, match=reason):
        predict(tiny_model, wrong)


def test_no_samples_and_no_batch_are_errors(tiny_model, faces):
    with pytest.raises(DataError, match="no image"):
        predict(tiny_model, faces[:0])
    with pytest.raises(ConfigError, match="at least one image"):
        predict(tiny_model, faces, batch_size=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_of_other_precision_answer_in_float32(tiny_model, images, dtype):
    expected = predict(tiny_model, images).logits
    tiny_model.network.to(dtype)
    logits = predict(tiny_model, images).logits
    assert logits.dtype == torch.float32
    assert_close(logits, expected, rtol=0.05, atol=0.05)


def test_training_mode_and_random_state_survive(tiny_model, images):
    tiny_model.network.train()
    state = torch.get_rng_state()
    before = tiny_model.network.features.bn.running_mean.clone()
    with torch.inference_mode():
        logits = predict(tiny_model, images).logits
    assert all(module.training for module in tiny_model.network.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert_close(tiny_model.network.features.bn.running_mean, before, rtol=0, atol=0)
    assert_close(logits, tiny_model.network.eval()(images).detach())


def test_several_views_are_averaged(tiny_model, images):
    mirrored = predict(tiny_model, torch.stack([images, images.flip(-1)]).flatten(0, 1)).logits
    assert torch.allclose(
        predict(tiny_model, images, views="flip").logits, (mirrored[:4] + mirrored[4:]) / 2, atol=1e-5
    )
    crops = ten_crops(images, 12)
    by_hand = torch.stack([predict(tiny_model, view).logits for view in crops.unbind(1)]).mean(0)
    assert torch.allclose(predict(tiny_model, images, views="ten-crop").logits, by_hand, atol=1e-5)


def test_images_of_the_cards_read_size_are_cut_to_the_centre(tiny_model):
    larger = torch.randn(3, 1, 16, 16)
    reading = replace(tiny_model, card=replace(tiny_model.card, read_size=16))
    centre = predict(tiny_model, larger[:, :, 2:14, 2:14]).logits
    assert torch.allclose(predict(reading, larger).logits, centre, atol=1e-6)
    for images in (larger, larger[:, :, :8, :8]):
        with pytest.raises(DataError, match="takes images of 1 x 12 x 12"):
            predict(tiny_model, images)


def test_unknown_views_and_crops_of_what_is_no_square(make_model, images):
    with pytest.raises(UnknownNameError, match="No way to view an image is called 'flips'. Did you mean 'flip'"):
        predict(make_model(), images, views="flips")
    with pytest.raises(ConfigError, match="Ten crops are squares; this network takes 12 x 16"):
        predict(make_model(input_size=(1, 12, 16)), torch.zeros(2, 1, 12, 16), views="ten-crop")
