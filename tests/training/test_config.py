from datetime import date

import pytest

from inspect_fer.errors import ConfigError
from inspect_fer.training import Recipe, read_recipe, recipe_from, recipe_paths
from inspect_fer.training.recipes import readable_recipes

SMALL = {"network": {"architecture": "baseline"}}


@pytest.mark.parametrize("name", recipe_paths())
def test_every_shipped_recipe_reads_and_survives_plain_values(name):
    recipe = read_recipe(name)
    assert recipe_from(recipe.as_dict()) == recipe
    assert recipe.note


def test_defaults_are_written_once():
    assert recipe_from(SMALL) == Recipe(network=recipe_from(SMALL).network)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trainig": {}}, "No part of a recipe is called 'trainig'. Did you mean 'training'"),
        (
            {"training": {"learning_rat": 1}},
            "No key of \\[training\\] is called 'learning_rat'. Did you mean 'learning_rate'",
        ),
        ({"training": {"epochs": "ten"}}, "training.epochs must be int, not 'ten'"),
        ({"training": {"epochs": True}}, "training.epochs must be int, not True"),
        ({"training": {"epochs": 0}}, "epochs must be at least 1, not 0"),
        ({"training": {"learning_rate": -1}}, "learning_rate must be above 0"),
        ({"training": {"optimizer": "adamm"}}, "Did you mean 'adam'"),
        ({"training": 3}, "\\[training\\] must be a table"),
        ({"augment": {"flip": "often"}}, "augment.flip must be float"),
        ({"training": {"learning_rate": float("inf")}}, "above 0 and finite"),
        ({"training": {"weight_decay": -1.0}}, "weight_decay must be from 0"),
        ({"training": {"label_smoothing": 5.0}}, "label_smoothing must be from 0 to 1"),
        ({"training": {"momentum": -2.0}}, "momentum must be from 0 to below 1"),
        ({"training": {"seed": 10**20}}, "seed must be from 0"),
        ({"augment": {"scale": 9.0}}, "scale must be from 0 to 0.9"),
        ({"augment": {"flip": -3.0}}, "flip must be from 0 to 1"),
        ({"augment": {"erase_least": 0.5}}, "erase_least, 0.5, must not be above erase_most"),
        ({"training": {"milestones": [3], "factors": []}}, "rising epochs from 1 with as many positive factors"),
        ({"training": {"milestones": [-3], "factors": [0.1]}}, "rising epochs from 1"),
        ({"training": {"milestones": [3], "factors": [-0.1]}}, "positive factors"),
        ({"training": {"milestones": [3], "factors": [0.1]}}, "no other schedule takes them"),
        ({"training": {"schedule": "step"}}, "Schedule step needs milestones"),
        ({"training": {"loss": "bce", "label_smoothing": 0.1}}, "Loss bce has no label_smoothing"),
        ({"training": {"loss": "multi-target", "class_weights": "balanced"}}, "has no class_weights"),
        ({"training": {"ema": 1.0}}, "ema must be from 0 to below 1"),
        ({"data": {"balanced_copies": -1}}, "balanced_copies is 0 or more"),
        ({"data": {"size": 32}}, "data.size, 32, must not be below network.size, 48"),
        ({"network": {"architecture": "baseline", "options": {"classes": 3}}}, "cannot hold 'classes'"),
        (
            {"network": {"architecture": "baseline", "options": {"width": date(1979, 5, 27)}}},
            "numbers, words, yes or no",
        ),
        ({"training": {"milestones": [3, 2], "factors": [0.1, 0.1]}}, "rising epochs"),
        ({"training": {"milestones": 3}}, "training.milestones must be a list, not 3"),
        ({"training": {"factors": ["x"]}}, "training.factors must be float, not 'x'"),
        ({"training": {"warmup": 2, "schedule": "one-cycle"}}, "one-cycle rises by itself"),
        ({"training": {"mixup": 0.2, "loss": "focal"}}, "which loss focal cannot take"),
        ({"data": {"size": "large"}}, "data.size must be int, not 'large'"),
        ({"finetune": {"head": "x"}}, "\\[finetune\\] is incomplete"),
        ({"finetune": {"head": "x", "upper": "x", "epoch": 30}}, "cannot begin after epoch 30 of 30"),
        ({"finetune": {"head": "x", "upper": "x", "epoch": 0}}, "begins after epoch 1 or later"),
        ({"network": {"size": 48}}, "\\[network\\] is incomplete: it needs architecture as well"),
        ({"finetune": {"upper": "x"}}, "\\[finetune\\] is incomplete: it needs head and epoch as well"),
        (
            {"network": {"architecture": "baseline", "threshold": float("nan")}},
            "threshold must be from 0 to 1, not nan",
        ),
        ({"network": {"architecture": "baseline", "size": -3}}, "1 or 3 channels of 1 to 1024 pixels, not 1 of -3"),
        ({"network": {"architecture": "baseline", "channels": 2}}, "1 or 3 channels of 1 to 1024 pixels, not 2 of 48"),
        ({"data": {"train": ""}}, "train, select and test of \\[data\\] each name a split"),
        ({"note": 3}, "note must be str, not 3"),
        (
            {"published": {"source": "004", "item": "x", "scores": {"test": "a"}}},
            "published.scores.test must be float, not 'a'",
        ),
    ],
)
def test_a_bad_recipe_names_what_is_wrong(change, says):
    with pytest.raises(ConfigError, match=says):
        recipe_from(SMALL | change)


def test_a_recipe_without_network_and_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="needs a part \\[network\\]"):
        recipe_from({})
    with pytest.raises(ConfigError, match="There is no readable recipe .*`inspect-fer recipes` lists"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="No recipe is called 'basline'. Did you mean 'baseline'"):
        read_recipe("basline")
    with pytest.raises(ConfigError, match="There is no readable recipe baseline.toml.* Did you mean 'baseline'"):
        read_recipe("baseline.toml")
    (tmp_path / "bad.toml").write_text("[network\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_recipe(tmp_path / "bad.toml")


def test_whole_numbers_serve_as_numbers():
    assert recipe_from(SMALL | {"training": {"learning_rate": 1}}).training.learning_rate == 1


def test_a_recipe_may_say_only_what_differs_from_its_base(tmp_path):
    (tmp_path / "first.toml").write_text(
        'note = "a"\n[network]\narchitecture = "baseline"\noptions = { width = 4, dropout = 0.1 }\n'
        '[training]\nepochs = 3\n[published]\nsource = "003"\nitem = "x"\n'
    )
    (tmp_path / "second.toml").write_text('base = "first.toml"\n[network]\noptions = { width = 8 }\n')
    recipe = read_recipe(tmp_path / "second.toml")
    assert recipe.network.options == {"width": 8, "dropout": 0.1}
    assert (recipe.training.epochs, recipe.note, recipe.published) == (3, "a", None)


def test_a_base_that_is_missing_or_leads_back_is_told(tmp_path):
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    with pytest.raises(ConfigError, match="There is no readable recipe .*b.toml"):
        read_recipe(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text('base = "baselin"\n')
    with pytest.raises(ConfigError, match="No recipe is called 'baselin'. Did you mean 'baseline'"):
        read_recipe(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("base = 3\n")
    with pytest.raises(ConfigError, match="a.toml: base must be str, not 3"):
        read_recipe(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text('base = "b.toml"\n')
    (tmp_path / "b.toml").write_text('base = "a.toml"\n')
    with pytest.raises(ConfigError, match="is its own base"):
        read_recipe(tmp_path / "a.toml")


@pytest.mark.parametrize("more", ["", '[finetune]\nhead = "x"\nupper = "x"\nepoch = 20'])
def test_a_milestone_that_no_epoch_reaches_is_told(tmp_path, more):
    epochs = 90 if more else 20
    network = '[network]\narchitecture = "baseline"'
    steps = 'schedule = "step"\nfactors = [0.5, 0.1]'
    for last in (19, 20):
        plan = f"{network}\n[training]\nepochs = {epochs}\n{steps}\nmilestones = [5, {last}]\n{more}"
        (tmp_path / f"{last}.toml").write_text(plan)
    assert read_recipe(tmp_path / "19.toml").training.milestones == (5, 19)
    with pytest.raises(ConfigError, match="20.toml: The milestone 20 is never reached in 20 epochs; leave it out"):
        read_recipe(tmp_path / "20.toml")


def test_a_broken_recipe_is_left_out_with_a_warning(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "broken.toml").write_text("[network]\nsize = 48\n")
    monkeypatch.setenv("INSPECT_FER_HOME", str(tmp_path))
    with pytest.warns(UserWarning, match="A recipe is left out: .*broken.toml: .network. is incomplete"):
        found = readable_recipes()
    assert set(recipe_paths()) - set(found) == {"broken"}
