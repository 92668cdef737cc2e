from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from inspect_fer.errors import CheckpointError, DataError
from inspect_fer.schema import HEALTH, Classifier, Explanation, Footprint, ModelCard, Prediction, Samples

NAMES = ("fear", "happiness", "sadness")


def faces(count=5, labels=None):
    return Samples(
        ids=tuple(f"s/{row}" for row in range(count)),
        pixels=torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 4, 4),
        labels=torch.tensor(labels or [0, 1, 2, -1, 1])[:count],
        class_names=NAMES,
        votes=torch.eye(5, 3),
        subjects=tuple("abcde"),
        truth={"watermark": torch.arange(5) % 2 == 0},
    )


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (slice(1, 3), [1, 2]),
        ([4, 0], [4, 0]),
        (torch.tensor([True, False, False, False, True]), [0, 4]),
        ([], []),
        (3, [3]),
        (slice(None, None, 2), [0, 2, 4]),
    ],
)
def test_samples_slice_and_mask_like_a_list(rows, kept):
    few = faces()[rows]
    assert few.ids == tuple(f"s/{row}" for row in kept)
    assert few.pixels[:, 0, 0, 0].tolist() == kept
    assert few.labels.tolist() == [[0, 1, 2, -1, 1][row] for row in kept]
    assert few.subjects == tuple("abcde"[row] for row in kept)
    assert few.truth["watermark"].tolist() == [row % 2 == 0 for row in kept]
    assert len(few.votes) == len(kept)


def test_samples_find_by_id_and_in_that_order():
    assert faces().find(("s/3", "s/1")).ids == ("s/3", "s/1")
    with pytest.raises(DataError, match="1 of 2 samples are not in this dataset, the first is s/9"):
        faces().find(("s/1", "s/9"))


def test_samples_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="as many ids as pixels and labels"):
        Samples(("a",), torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64), NAMES)
    with pytest.raises(DataError, match="ids that differ, but a occurs more than once"):
        Samples(("a", "a"), torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64), NAMES)
    with pytest.raises(DataError, match="Labels run from 1 to 3, but the 3 classes are fear, happiness, sadness"):
        faces(2, [1, 3])


def test_batches_and_counts():
    assert [len(batch) for batch in faces().batches(2)] == [2, 2, 1]
    assert faces().counts() == {"fear": 1, "happiness": 2, "sadness": 1}


GOOD = {"architecture": "x", "class_names": NAMES, "input_size": (1, 4, 4), "mean": (0.5,), "std": (0.2,)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class_names": ()}, "Class names"),
        ({"class_names": ("a", "a")}, "Class names"),
        ({"class_names": (1, 2)}, "Class names"),
        ({"input_size": (1, 4)}, "input size"),
        ({"input_size": (1, 10**6, 10**6)}, "input size"),
        ({"input_size": ("1", 4, 4)}, "input size"),
        ({"mean": (0.5, 0.5)}, "1 means"),
        ({"std": (0.0,)}, "positive standard deviations"),
        ({"output": "tanh"}, "softmax or sigmoid"),
        ({"threshold": 7}, "threshold of 0 to 1"),
        ({"threshold": None}, "standard deviations"),
        ({"mean": ("x",)}, "standard deviations"),
        ({"mean": (float("nan"),)}, "standard deviations"),
        ({"input_size": (True, 4, 4)}, "input size"),
        ({"input_size": (1, 4096, 4096)}, "input size"),
        ({"class_names": "anger"}, "class_names is of the wrong kind"),
        ({"architecture": ["a"]}, "architecture is of the wrong kind"),
        ({"cam_layer": 5}, "cam_layer is of the wrong kind"),
        ({"options": [1]}, "options is of the wrong kind"),
        ({"recipe": [1]}, "recipe is of the wrong kind"),
        ({"history": 3}, "history is of the wrong kind"),
        ({"seed": "x"}, "seed is of the wrong kind"),
        ({"colour": "red"}, "no entry 'colour'"),
    ],
)
def test_a_bad_card_gets_one_clear_line(change, says):
    with pytest.raises(CheckpointError, match=says):
        ModelCard.from_dict(GOOD | change)


def test_a_card_survives_plain_values():
    card = ModelCard.from_dict(GOOD | {"history": [{"epoch": 0.0}], "scores": {"test": {"accuracy": 0.5}}})
    assert ModelCard.from_dict(card.as_dict()) == card
    with pytest.raises(CheckpointError, match="is a table of entries, not None"):
        ModelCard.from_dict(None)
    with pytest.raises(CheckpointError, match="incomplete"):
        ModelCard.from_dict({"architecture": "x"})


def test_normalising_is_scaling_and_standardising():
    model = Classifier(torch.nn.Identity(), ModelCard(**GOOD))
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    assert model.normalise(pixels)[:, 0, 0, 0].tolist() == pytest.approx([-2.5, -1.5, 2.5])
    with pytest.raises(DataError, match="takes images of 1 x 4 x 4 .* these are 1 x 5 x 4"):
        model.normalise(torch.zeros(1, 1, 5, 4, dtype=torch.uint8))


def test_prediction():
    logits = torch.tensor([[2.0, 0, 0], [0, 0, 3], [1, 0, 0]])
    answer = Prediction(("a", "b", "c"), logits, torch.tensor([0, 1, -1]), NAMES)
    assert answer.predicted.tolist() == [0, 2, 0]
    assert answer.wrong.tolist() == [False, True, False]
    assert answer.probabilities.sum(1).tolist() == pytest.approx([1, 1, 1])
    by_hand = -torch.log(torch.exp(logits[1, 1]) / torch.exp(logits[1]).sum())
    assert float(answer.loss[1]) == pytest.approx(float(by_hand))
    assert answer.loss[2].isnan()
    votes = Prediction(("a",), logits[:1], torch.tensor([0]), NAMES, output="sigmoid")
    assert votes.probabilities[0].tolist() == pytest.approx([0.8808, 0.5, 0.5], abs=1e-4)


def explanation(maps, **rest):
    maps = torch.tensor(maps, dtype=torch.float32)
    ids, targets = tuple(map(str, range(len(maps)))), torch.zeros(maps.shape[:2], dtype=torch.int64)
    return Explanation(ids, maps, targets, {"name": "x"}, "", (1, 4, 4), **rest)


def test_health_says_what_a_map_is_worth():
    maps = [[[[0.0, 0], [0, 0]], [[1, 1], [1, 1]], [[-1, -2], [-3, 0]], [[1, float("nan")], [0, 0]], [[-1, 2], [0, 0]]]]
    told = [HEALTH[code] for code in explanation(maps).health[0]]
    assert told == ["all zero", "constant", "no positive evidence", "not finite", "ok"]


def test_upsampling_cells_keeps_a_constant_and_upsampling_windows_takes_the_mean():
    assert explanation([[[[2.0, 2], [2, 2]]]]).upsampled().unique().tolist() == [2]
    windows = Footprint(rows=((0, 4),), columns=((0, 2), (1, 4)))
    across = explanation([[[[1.0, 5.0]]]], footprint=windows).upsampled()[0, 0]
    assert across[0].tolist() == [1, 3, 5, 5]
    gap = explanation([[[[1.0, 5.0]]]], footprint=Footprint(((0, 4),), ((0, 1), (3, 4)))).upsampled()[0, 0, 0]
    assert gap.tolist() == [1, 0, 0, 5]


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_windows_that_cover_everything_keep_a_constant(length, window, stride):
    stride = min(stride, window)
    starts = range(0, max(length - window, 0) + stride, stride)
    spans = tuple((start, min(start + window, length)) for start in starts if start < length)
    spread = Footprint(spans, spans).upsample(torch.full((1, 1, len(spans), len(spans)), 3.0), (length, length))
    assert torch.allclose(spread, torch.full((1, 1, length, length), 3.0))


def test_part_of_an_explanation():
    some = explanation([[[[1.0]]], [[[2.0]]], [[[3.0]]]]).of([2, 0])
    assert (some.ids, some.maps.flatten().tolist()) == (("2", "0"), [3.0, 1.0])
    assert len(explanation([[[[1.0]]]]).of([])) == 0


def test_evidence_of_relative_maps_is_what_they_have_above_their_mean(generator):
    maps = torch.rand(2, 3, 4, 4, generator=generator) + 5
    plain = Explanation(("a", "b"), maps, torch.zeros(2, 3, dtype=torch.int64), {}, "", (1, 8, 8))
    assert_close(plain.evidence(), plain.upsampled())
    found = replace(plain, relative=True).evidence()
    assert_close(found, plain.upsampled() - plain.upsampled().mean(dim=(2, 3), keepdim=True))


def fine_maps(generator):
    """Two maps of 20 x 20 pixels, each with a value of its own, one of them with a peak."""
    maps = torch.randn(1, 2, 20, 20, generator=generator)
    maps[0, 1, 7, 7] = 100
    return Explanation(("a",), maps, torch.zeros(1, 2, dtype=torch.int64), {}, "", (1, 20, 20))


@pytest.mark.parametrize("relative", [False, True])
def test_evidence_of_maps_of_pixels_ends_at_the_99th_percentile(generator, relative):
    """Of 400 pixels 4 may lie beyond it; found here by sorting."""
    why = replace(fine_maps(generator), relative=relative)
    for column, found in enumerate(why.evidence()[0]):
        whole = why.centred()[0, column]
        limit = sorted(whole.abs().flatten().tolist())[-5]
        assert_close(found, whole.clamp(-limit, limit))
    assert why.maps.max() == 100


def test_evidence_of_coarse_fused_sparse_broken_and_no_maps_is_whole(generator):
    why = fine_maps(generator)
    sparse, broken = torch.zeros(1, 2, 20, 20), why.maps.clone()
    sparse[..., 3, 3] = 2
    broken[..., 3, 3] = torch.inf
    assert why.fine
    for whole in (
        replace(why, input_size=(1, 40, 40)),
        replace(why, fusion="mean"),
        replace(why, maps=sparse),
        replace(why, maps=broken),
        why.of([]),
    ):
        assert_close(whole.evidence(), whole.centred(), equal_nan=True)
