import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.errors import DataError
from inspect_fer.training import recipe_from
from inspect_fer.training.data import balanced, read_split


def recipe(**data):
    return recipe_from({"network": {"architecture": "baseline", "size": 24}, "data": data})


def test_balanced_classes_are_as_large_as_the_smallest_with_its_copies():
    faces = samples("synthetic:40", size=24)
    whole = balanced(faces, 3)
    least = min(faces.counts().values())
    assert set(whole.counts().values()) == {least * 4}
    assert [name.partition("#")[0] for name in whole.ids[: least * 7]] == list(whole.ids[: least * 7])
    places = [faces.ids.index(name.partition("#")[0]) for name in whole.ids]
    assert torch.equal(whole.labels, faces.labels[places])
    same = (whole.pixels == faces.pixels[places]).flatten(1).all(1)
    assert int(same.sum()) == least * 7


def test_the_same_seed_balances_alike():
    faces = samples("synthetic:20", size=24)
    assert torch.equal(balanced(faces, 2).pixels, balanced(faces, 2).pixels)
    assert not torch.equal(balanced(faces, 2).pixels, balanced(faces, 2, seed=1).pixels)


def test_an_empty_class_cannot_be_made_equal():
    with pytest.raises(DataError, match="There is no face of \\w+, so classes"):
        balanced(samples("synthetic:6", size=24), 2)


def test_a_recipe_says_split_size_and_options():
    read = read_split(recipe(kind="synthetic", size=32, train="select", options={"seed": 3}), "synthetic:7", "train")
    assert read.ids == samples("synthetic:7", "select").ids
    assert torch.equal(read.pixels, samples("synthetic:7", "select", seed=3, size=32).pixels)


def test_options_in_the_spec_come_before_the_recipes():
    read = read_split(recipe(kind="synthetic", options={"seed": 3}), "synthetic:7?seed=5", "test")
    assert torch.equal(read.pixels, samples("synthetic:7", seed=5, size=24).pixels)


def test_another_kind_of_dataset_is_read_without_the_recipes_options_and_said():
    with pytest.warns(UserWarning, match="The recipe is for ferplus; on synthetic its splits and options do not hold"):
        read = read_split(
            recipe(kind="ferplus", train="Training", options={"mode": "majority"}), "synthetic:7", "train"
        )
    assert read.ids == samples("synthetic:7", "train").ids


def test_balanced_copies_are_made_of_every_split():
    assert len(read_split(recipe(balanced_copies=2), "synthetic:14", "select")) == 42


def test_the_splits_that_score_may_have_options_of_their_own():
    plan = recipe(kind="synthetic", options={"seed": 3}, scoring={"seed": 4})
    for role, seed in (("train", 3), ("select", 4), ("test", 4)):
        read = read_split(plan, "synthetic:7", role)
        assert torch.equal(read.pixels, samples("synthetic:7", role, seed=seed, size=24).pixels)


def test_each_of_several_datasets_may_have_options_of_its_own(tmp_path):
    spec = f"synthetic:7+{write_miniature('folder', tmp_path)}"
    only_learnt = {"train": "all", "select": "none", "test": "none"}
    plan = recipe(kind="synthetic+folder", parts={"folder": only_learnt})
    read = {role: read_split(plan, spec, role).ids for role in ("train", "select", "test")}
    assert len(read["train"]) == 7 + len(samples(f"folder:{tmp_path}", "all"))
    assert len(read["select"]) == len(read["test"]) == 7
