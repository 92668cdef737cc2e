"""What is promised of every dataset, in every layout: a new line in DATASETS or LAYOUTS is tested at once."""

import pytest
import torch

from inspect_fer.datasets import DATASETS, samples
from inspect_fer.datasets.miniature import LAYOUTS
from inspect_fer.emotions import VIEWS, canonical
from inspect_fer.errors import DataError, UnknownNameError
from inspect_fer.schema import Samples

SMALL = {"size": 24, "channels": 1}


@pytest.fixture(params=LAYOUTS)
def spec(request, shared_miniature):
    return shared_miniature(request.param)


def test_every_dataset_but_the_synthetic_has_a_layout(shared_miniature):
    kinds = {shared_miniature(layout).partition(":")[0] for layout in LAYOUTS}
    assert kinds == set(DATASETS) - {"synthetic"}


def test_every_split_is_readable_and_whole(spec):
    parts = {split: samples(spec, split, **SMALL) for split in ("train", "select", "test", "all")}
    for found in parts.values():
        assert isinstance(found, Samples)
        assert len(found) > 0
        assert found.pixels.shape == (len(found), 1, 24, 24)
        assert found.pixels[:].dtype == torch.uint8
        assert found.labels.dtype == torch.int64
        assert (found.labels < 0).sum() == found.source.get("undetermined", 0)
        assert all(name.startswith(f"{spec.partition(':')[0]}/") for name in found.ids)
        assert found.class_names == parts["all"].class_names
    apart = [name for split in ("train", "select", "test") for name in parts[split].ids]
    assert sorted(apart) == sorted(parts["all"].ids)
    assert len(set(apart)) == len(apart)


def test_the_same_row_is_the_same_in_every_split(spec):
    whole, part = samples(spec, "all", **SMALL), samples(spec, "select", **SMALL)
    again = whole.find(part.ids)
    assert torch.equal(again.pixels[:], part.pixels[:])
    assert torch.equal(again.labels, part.labels)
    assert again.subjects == part.subjects


def test_no_person_is_in_two_splits(spec):
    people = [samples(spec, split, **SMALL).subjects for split in ("train", "select", "test")]
    if people[0] is None:
        assert people == [None] * 3
    else:
        assert not set(people[0]) & set(people[1])
        assert not set(people[2]) & {*people[0], *people[1]}


def test_rows_are_read_singly_sliced_and_in_any_order(spec):
    found = samples(spec, "all", **SMALL)
    pixels = found.pixels[:]
    assert torch.equal(found.pixels[1:4], pixels[1:4])
    assert torch.equal(found.pixels[torch.tensor([3, 0, 3])], pixels[[3, 0, 3]])
    few = found[[4, 2]]
    assert few.ids == (found.ids[4], found.ids[2])
    assert torch.equal(few.pixels[:], pixels[[4, 2]])
    assert found.pixels[:0].shape == (0, 1, 24, 24)
    assert torch.equal(torch.cat(list(found.batches(5))), pixels)


def test_the_source_reads_the_same_samples_again(spec):
    first = samples(spec, "select+test", classes="six", **SMALL)
    again = samples(first.source["spec"], first.source["split"], **first.source["options"])
    assert first.ids == again.ids
    assert torch.equal(first.pixels[:], again.pixels[:])
    assert torch.equal(first.labels, again.labels)


def test_joined_splits_are_both(spec):
    parts = [set(samples(spec, split, **SMALL).ids) for split in ("train", "test", "train+test")]
    assert parts[2] == parts[0] | parts[1]


@pytest.mark.parametrize("view", VIEWS)
def test_every_dataset_can_be_seen_in_every_view(spec, view):
    whole, seen = samples(spec, "all", **SMALL), samples(spec, "all", classes=view, **SMALL)
    assert seen.class_names == tuple(VIEWS[view])
    for name, label in zip(seen.ids, seen.labels.tolist(), strict=True):
        before = int(whole.labels[whole.ids.index(name)])
        assert (before < 0) == (label < 0)
        assert before < 0 or canonical(whole.class_names[before]) in VIEWS[view][seen.class_names[label]]
    assert sum(seen.dropped.values()) - sum(whole.dropped.values()) == len(whole) - len(seen)


def test_own_size_and_colour_are_kept_unless_asked(spec):
    found = samples(spec, "test", channels=3)
    assert found.pixels.shape[1] == 3
    assert found.pixels.shape[2] == found.pixels.shape[3]
    assert found.pixels[:1].shape == (1, *found.pixels.shape[1:])


def test_an_unknown_split_is_told_with_every_choice(spec):
    with pytest.raises((DataError, UnknownNameError), match="No split is called 'tets'. Did you mean 'test'"):
        samples(spec, "tets")


def test_dropped_rows_add_up(spec):
    whole = sum(samples(spec, "all", **SMALL).dropped.values())
    assert whole == sum(sum(samples(spec, split, **SMALL).dropped.values()) for split in ("train", "select", "test"))
