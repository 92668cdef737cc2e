from datetime import date

import pytest

from inspect_fer.errors import ConfigError
from inspect_fer.training import Recipe, read_recipe, recipe_from, recipe_paths

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
        ({"network": {"size": 48}}, "\\[network\\] is incomplete"),
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
    (tmp_path / "b.toml").write_text('base = "a.toml"\n')
    with pytest.raises(ConfigError, match="is its own base"):
        read_recipe(tmp_path / "a.toml")
