from dataclasses import replace

import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.errors import ConfigError, DataError, UnknownNameError
from inspect_fer.training import read_recipe, recipe_from
from inspect_fer.training.data import balanced, look_ahead, read_split, shared_roles
from inspect_fer.training.recipes import recipe_paths


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
    plan = recipe(kind="synthetic", size=32, train="select", select="train", options={"seed": 3})
    read = read_split(plan, "synthetic:7", "train")
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


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"options": {"size": "big"}}, "cannot hold size; use size of \\[data\\]"),
        ({"scoring": {"channels": 3}}, "cannot hold channels; use channels of \\[network\\]"),
        ({"parts": {"synthetic": {"size": 24}}}, "cannot hold size"),
        ({"parts": {"synthetic": "x"}}, "\\[data\\] parts holds a table for each kind, .* not 'x'"),
        ({"parts": {"synthetik": {}}}, "No dataset of the recipe is called 'synthetik'. Did you mean 'synthetic'"),
        ({"kind": "synthetic", "parts": {"folder": {}}}, "No dataset of the recipe is called 'folder'"),
        ({"parts": {"synthetic": {"seed": "abc"}}}, "option seed of synthetic is a whole number, not 'abc'"),
        ({"options": {"seed": "abc"}}, "option seed of synthetic is a whole number, not 'abc'"),
        ({"options": {"train": 3}}, "option train of synthetic is a word, not 3"),
    ],
)
@pytest.mark.parametrize("role", ["train", "test"])
def test_options_that_a_recipe_cannot_hold(data, says, role):
    with pytest.raises(ConfigError, match=says):
        read_split(recipe(**data), "synthetic:7", role)


def test_lists_in_parts_are_read():
    listed = recipe(parts={"synthetic": {"classes": ["anger", "fear"]}})
    assert read_split(listed, "synthetic:14", "train").class_names == ("anger", "fear")


LEARNT = "The split{} learnt from too: {} scores say nothing about unseen faces."
SHARED_ROLES = [
    ({}, "synthetic:14", []),
    ({"train": "train+test"}, "synthetic:14", [LEARNT.format(" test is", "its")]),
    ({"train": "all"}, "synthetic:14", [LEARNT.format("s select and test are", "their")]),
    (
        {"train": "all", "select": "PublicTest", "test": "PrivateTest"},
        "synthetic:14",
        [LEARNT.format("s PublicTest and PrivateTest are", "their")],
    ),
    ({"select": "train"}, "synthetic:14", [LEARNT.format(" train is", "its")]),
    (
        {"select": "test"},
        "synthetic:14",
        ["The epoch is chosen on the test split (test), whose score is then too good."],
    ),
    ({}, "synthetic:14?select=test", ["The epoch is chosen on the test split (test), whose score is then too good."]),
    ({"options": {"select": "test"}}, "synthetic:14?select=select", []),
    (
        {"scoring": {"test": "select"}},
        "synthetic:14",
        ["The epoch is chosen on the test split (select), whose score is then too good."],
    ),
    ({"kind": "synthetic+folder", "train": "all"}, "synthetic:14", []),  # its splits do not hold
    ({"train": "all"}, "synthetic:14?select=none&test=none", []),
]


@pytest.mark.parametrize(("data", "spec", "says"), SHARED_ROLES)
def test_what_is_learnt_from_and_scored_is_said(data, spec, says):
    assert shared_roles(recipe(**data), spec) == says


@pytest.mark.parametrize(("data", "spec", "says"), [case for case in SHARED_ROLES if case[2]])
def test_faces_learnt_from_and_scored_are_warned_of_once_and_read(data, spec, says):
    with pytest.warns(UserWarning, match="too") as caught:
        assert len(read_split(recipe(**data), spec, "train")) >= 14
    assert [str(each.message) for each in caught] == says
    read_split(recipe(**data), spec, "test")


def test_a_sources_experiment_may_mean_it_and_its_users_data_may_not():
    with_scores = {name: shared_roles(read_recipe(name)) for name in recipe_paths()}
    assert {name for name, says in with_scores.items() if says} == {
        "kc_tuned_cosine_all",
        "kc_tuned_restarts_all",
        "s004_residual_live",
    }
    live = replace(read_recipe("s004_residual_live"), data=recipe(train="all").data)
    read_split(live, "synthetic:7", "train")
    with pytest.warns(UserWarning, match="The splits select and test are learnt from too"):
        read_split(replace(live, published=None), "synthetic:7", "train")
    with pytest.warns(UserWarning, match="The epoch is chosen on the test split"):
        read_split(live, "synthetic:7?train=train&select=test", "train")


def test_a_recipe_fits_several_datasets_of_its_kind_and_any_order(tmp_path):
    folder = write_miniature("folder", tmp_path)
    twice = read_split(recipe(kind="folder", train="select", select="train"), f"{folder}+{folder}", "train")
    assert len(twice) == 2 * len(samples(folder, "select"))
    plan = recipe(kind="folder+synthetic", train="select", select="train")
    assert len(read_split(plan, f"synthetic:7+{folder}", "train")) == 7 + len(twice) // 2


def test_unlabelled_rows_are_neither_learnt_from_nor_chosen_on(tmp_path):
    spec = write_miniature("disfa", tmp_path)
    plan = recipe(kind="disfa")
    for role in ("train", "select"):
        whole = samples(spec, role)
        gone = int((whole.labels < 0).sum())
        with pytest.warns(UserWarning, match=f"^{gone} of the {len(whole)} faces of the {role} split are unlabelled"):
            read = read_split(plan, spec, role)
        assert read.ids == tuple(name for name, label in zip(whole.ids, whole.labels, strict=True) if label >= 0)
        assert read.dropped == {**whole.dropped, "unlabelled": gone}
        assert gone > 0
    assert read_split(plan, spec, "test").ids == samples(spec, "test").ids


def test_a_split_without_any_label_stays_as_it_is(tmp_path):
    write_miniature("folder", tmp_path)
    (tmp_path / "only").mkdir()
    picture = next(path for path in sorted(tmp_path.rglob("*")) if path.is_file())
    (tmp_path / "only" / picture.name).write_bytes(picture.read_bytes())
    spec = f"folder:{tmp_path / 'only'}?train=all&select=none&test=none"
    assert read_split(recipe(), spec, "train").labels.tolist() == [-1]
    with pytest.raises(DataError, match="There is no face of any class"):
        read_split(recipe(balanced_copies=1), spec, "train")


def test_training_needs_a_selection_split():
    with pytest.raises(DataError, match="The recipe has select = 'none'. Training needs a select split to choose"):
        read_split(recipe(select="none"), "synthetic:7", "select")
    with pytest.raises(DataError, match="The recipe has test = 'none'.$"):
        read_split(recipe(test="none"), "synthetic:7", "test")
    with pytest.raises(DataError, match="takes no part in the split select. Training needs a selection split"):
        read_split(recipe(), "synthetic:7?select=none", "select")


def test_a_kind_that_is_no_dataset_is_told():
    with pytest.raises(UnknownNameError, match="No dataset is called 'fer_2013'. Did you mean 'fer2013'"):
        read_split(recipe(kind="folder+fer_2013"), "synthetic:7", "train")


def test_pictures_that_do_not_fit_the_recipe_are_told():
    wide = recipe_from({"network": {"architecture": "baseline", "size": 32}})
    for role in ("train", "select", "test"):
        with pytest.raises(ConfigError, match="read at 24 pixels, fewer than the recipe's 32; change size of .network"):
            read_split(wide, "synthetic:7?size=24", role)
        with pytest.raises(ConfigError, match="have 3 channels, the recipe 1; change channels of .network."):
            read_split(recipe(), "synthetic:7?channels=3", role)
    with pytest.warns(UserWarning, match="read at 96 pixels, of which the network sees the 24 in the centre") as caught:
        assert read_split(recipe(size=48), "synthetic:7?size=96", "train").pixels.shape[-1] == 96
    assert len(caught) == 1
    read_split(recipe(size=48), "synthetic:7?size=96", "select")  # said once
    assert read_split(recipe(size=48), "synthetic:7?size=48", "train").pixels.shape[-1] == 48


def damaged(folder, split):
    """A folder of faces with one picture of a split cut short."""
    spec = write_miniature("folder", folder)
    picture = next(path for path in sorted((folder / split).rglob("*")) if path.is_file())
    picture.write_bytes(picture.read_bytes()[:60])
    return spec


def test_what_is_wrong_with_the_test_split_is_told_before_it_is_needed(tmp_path):
    look_ahead(recipe(), "synthetic:7")
    look_ahead(recipe(test="none"), "synthetic:7")
    look_ahead(recipe(), "synthetic:7?test=none")
    for plan, spec in ((recipe(test="PrivatTest"), "synthetic:7"), (recipe(), "synthetic:7?test=PrivatTest")):
        with pytest.raises(DataError, match="'PrivatTest'. Did you mean 'PrivateTest'.* add test=none to synthetic:7"):
            look_ahead(plan, spec)
    spec = damaged(tmp_path, "test")
    with pytest.warns(UserWarning, match="will not be scored on the test split: .*cannot be read"):
        look_ahead(recipe(), spec)
    with pytest.raises(DataError, match="cannot be read.*To train without a test split, add test=none"):
        look_ahead(recipe(kind="folder", test="select+test"), spec)
