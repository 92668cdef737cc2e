"""What stands where something is taken away: of colour images, of images that are not square."""

import pytest
import torch
from torch.testing import assert_close

from inspect_fer.errors import ConfigError
from inspect_fer.explain import Occlusion, make_method
from inspect_fer.explain.fills import blurred, filled


@pytest.fixture
def colour(generator):
    """(2, 3, 16, 24), each channel with a mean of its own."""
    return torch.randn(2, 3, 16, 24, generator=generator) + torch.tensor([-1.0, 0.0, 2.0]).view(3, 1, 1)


@pytest.mark.parametrize("fill", [filled, lambda images, fill: Occlusion(window=6, fill=fill).filling(images)])
def test_a_value_or_each_images_and_channels_mean(colour, fill):
    assert fill(colour, -1.5).unique().tolist() == [-1.5]
    for image, under in zip(colour, fill(colour, "mean"), strict=True):
        for channel, value in zip(image, under, strict=True):
            assert_close(value, torch.full((16, 24), sum(map(float, channel.flatten())) / 384))


def test_the_blur_is_an_eighth_of_the_shorter_side_or_half_a_window(colour):
    assert_close(filled(colour, "blur"), blurred(colour, 2.0))
    assert_close(Occlusion(window=6, fill="blur").filling(colour), blurred(colour, 3.0))
    assert_close(filled(colour, "blur", 0.5), blurred(colour, 0.5))
    assert filled(colour, 2.0, 0.5).unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("occlusion", {"fill": float("nan")}),
        ("occlusion", {"fill": [1]}),
        ("finer-cam", {"strength": float("nan")}),
        ("contrast", {"rival": 1.7}),
        ("contrast", {"rival": True}),
        ("smooth-grad-cam++", {"noise": float("inf")}),
        ("smooth-grad-cam++", {"seed": "a"}),
        ("eigen-cam", {"centred": "no"}),
        ("eigen-grad-cam", {"centred": 1}),
        ("saliency", {"absolute": "no"}),
    ],
)
def test_options_are_checked_however_they_are_given(name, options):
    with pytest.raises(ConfigError, match=r"not .*\.$") as problem:
        make_method(name, **options)
    assert "\n" not in str(problem.value)


def test_the_bound_that_is_passed_is_named():
    with pytest.raises(ConfigError, match="seed of at least 0 and at most 2147483648, a whole number, not 4294967296"):
        make_method("rise", seed=2**32)
    for wrong in (-1, 1.5):
        with pytest.raises(ConfigError, match=f"takes seed of at least 0, a whole number, not {wrong}"):
            make_method("rise", seed=wrong)
    assert make_method("rise", seed=2**31).seed == 2**31
