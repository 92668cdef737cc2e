"""The recipes that come with the package: what they say of the sources, and that each of them trains."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.emotions import CANONICAL, EMOTIONS, VIEWS
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.training import Augment, Training, read_recipe, recipe_paths, train
from inspect_fer.training.data import ROLES, read_split
from inspect_fer.training.experiments import SOURCES, Experiment, experiments, parts_of, recipes_page
from inspect_fer.training.reproduce import MINIATURES, shortened

PRINTED = {
    # 000, sections 1.1.3 and 1.1.4
    "s000_lenet_ferplus": {"test": 56.72},
    "s000_resnet18_ferplus": {"test": 67.05},
    "s000_resnet34_ferplus": {"test": 67.28},
    "s000_mobilenet_v2_ferplus": {"test": 62.62},
    "s000_lenet_fer2013": {"test": 54.09},
    "s000_resnet18_fer2013": {"test": 67.04},
    "s000_resnet34_fer2013": {"test": 67.74},
    "s000_mobilenet_v2_fer2013": {"test": 59.51},
    # 001, S1-09 and S1-18
    "s001_keras_cnn4": {"test": 63.2},
    "s001_keras_cnn4_augmented": {"test": 63.4},
    "s001_mobilenet_v2_transfer": {"head only": 30, "test": 35, "best validation": 36.1},
    # Khaireddin and Chen, section 2
    "kc_vgg": {"validation": 73.59, "test": 73.06},
    "kc_adadelta_constant": {"validation": 68.6},
    "kc_adadelta_decaying": {"validation": 67.6},
    "kc_adagrad_constant": {"validation": 71.5},
    "kc_adagrad_decaying": {"validation": 70.9},
    "kc_adam_constant": {"validation": 71.5},
    "kc_adam_decaying": {"validation": 72.4},
    "kc_amsgrad_constant": {"validation": 71.7},
    "kc_amsgrad_decaying": {"validation": 71.9},
    "kc_asgd_constant": {"validation": 72.6},
    "kc_asgd_decaying": {"validation": 72.4},
    "kc_sgd_constant": {"validation": 73.1},
    "kc_sgd_decaying": {"validation": 72.2},
    "kc_sgd_nesterov_constant": {"validation": 73.3},
    "kc_sgd_nesterov_decaying": {"validation": 73.6},
    "kc_schedule_one_cycle": {"validation": 72.4, "test": 71.1},
    "kc_schedule_step": {"validation": 73.1, "test": 72.0},
    "kc_schedule_constant": {"validation": 73.3, "test": 71.3},
    "kc_schedule_cosine": {"validation": 73.3, "test": 71.9},
    "kc_schedule_restarts": {"validation": 73.4, "test": 72.4},
    "kc_schedule_plateau": {"validation": 73.59, "test": 73.06},
    "kc_tuned_restarts": {"test": 72.64},
    "kc_tuned_cosine": {"test": 73.11},
    "kc_tuned_restarts_all": {"test": 73.14},
    "kc_tuned_cosine_all": {"test": 73.28},
    # 002, S2-04, S2-09, S2-10 and S2-14
    "s002_lenet5_bn": {"train": 99.3417, "test": 53.7476},
    "s002_lenet5_bn_balanced": {"train": 97.1137, "test": 30.5195},
    "s002_lenet5_bn_polarity": {},
    # 003, preliminary results of section 1.4.1
    "s003_preliminary_baseline": {"train": 66.3, "test": 75.2, "validation": 52.6},
    "s003_preliminary_se": {"train": 74.3, "test": 79.9, "validation": 59.6},
    "s003_preliminary_se_unaugmented": {"train": 84.6, "test": 79.5, "validation": 62.8},
    "s003_preliminary_se_residual": {"train": 71.5, "test": 78.9, "validation": 56.4},
    "s003_preliminary_resnet18": {"train": 76.8, "test": 79.8, "validation": 60.3},
    "s003_preliminary_gimefive_unaugmented": {"train": 84.9, "test": 80.0, "validation": 62.6},
    # 003, final results of section 1.4.4
    "s003_vgg_rafdb": {"train": 93.8, "test": 83.3, "validation": 68.8},
    "s003_vgg_fer2013": {"train": 69.0, "test": 49.4, "validation": 35.6},
    "s003_vgg_aggregate": {"train": 79.4, "test": 53.7, "validation": 61.4},
    "s003_resnet18_rafdb": {"train": 98.9, "test": 81.3, "validation": 67.9},
    "s003_resnet18_fer2013": {"train": 92.6, "test": 64.7, "validation": 42.1},
    "s003_resnet18_aggregate": {"train": 96.5, "test": 72.4, "validation": 73.8},
    "s003_resnet34_rafdb": {"train": 100.0, "test": 83.7, "validation": 72.0},
    "s003_resnet34_fer2013": {"train": 97.6, "test": 67.1, "validation": 43.6},
    "s003_resnet34_aggregate": {"train": 94.5, "test": 70.8, "validation": 72.8},
    "s003_baseline_rafdb": {"train": 96.6, "test": 80.6, "validation": 66.8},
    "s003_baseline_fer2013": {"train": 86.6, "test": 64.1, "validation": 40.2},
    "s003_gimefive_se_rafdb": {"train": 98.4, "test": 81.7, "validation": 71.1},
    "s003_gimefive_no_dropout_rafdb": {"train": 98.6, "test": 83.1, "validation": 72.1},
    "s003_gimefive_no_dropout_fer2013": {"train": 89.6, "test": 65.6, "validation": 40.7},
    "s003_gimefive_rafdb": {"train": 97.0, "test": 86.5, "validation": 78.1},
    "s003_gimefive_fer2013": {"train": 69.7, "test": 67.5, "validation": 46.2},
    "s003_gimefive_aggregate": {"train": 84.9, "test": 75.3, "validation": 75.0},
    "s003_gimefive6_rafdb": {"train": 97.5, "test": 82.5, "validation": 70.0},
    "s003_gimefive6_fer2013": {"train": 96.0, "test": 65.5, "validation": 41.6},
    "s003_gimefive_res_aggregate": {"train": 95.2, "test": 70.4, "validation": 74.5},
    # 004, section 1.5.1
    "s004_majority": {"test": 24},
    "s004_small": {"test": 47.2},
    "s004_residual": {"test": 51.24},
    "s004_unet": {"test": 44.39},
    "s004_residual_live": {},
    # FER+, section 4.2 of the page on datasets, which holds no figures
    "ferplus_vgg13_majority": {},
    "ferplus_vgg13_probability": {},
    "ferplus_vgg13_crossentropy": {},
    "ferplus_vgg13_multi_target": {},
}
"""Every row of the sources' tables, copied from the reference pages."""

PARAMETERS = {
    "s000_lenet_fer2013": 168_971,
    "s000_lenet_ferplus": 169_056,
    "s000_resnet18_fer2013": 11_171_271,
    "s000_resnet34_fer2013": 21_279_431,
    "s000_mobilenet_v2_fer2013": 2_232_263,
    "s000_mobilenet_v2_ferplus": 2_233_544,
    "s001_keras_cnn4": 2_345_607,
    "s001_mobilenet_v2_transfer": 2_232_839,
    "kc_vgg": 29_890_759,
    "s003_preliminary_baseline": 2_606_086,
    "s003_preliminary_se": 10_478_470,
    "s003_preliminary_se_residual": 23_720_198,
    "s003_preliminary_resnet18": 11_179_590,
    "s003_vgg_rafdb": 72_460_742,
    "s003_resnet34_rafdb": 21_287_750,
    "s003_baseline_fer2013": 2_606_086,
    "s003_gimefive_se_rafdb": 10_478_598,
    "s003_gimefive_no_dropout_rafdb": 10_478_086,
    "s003_gimefive_aggregate": 10_478_086,
    "s003_gimefive6_rafdb": 41_950_726,
    "s003_gimefive_res_aggregate": 95_051_014,
    "ferplus_vgg13_majority": 8_757_704,
}
"""The counts of section 1.6 of the page on the sources."""

DENSE = {"keras_cnn4", "lenet5_bn", "vgg", "vgg13", "vgg_lmu", "small", "residual", "unet"}
OURS = set(recipe_paths()) - set(PRINTED) - {"demo", "demo_watermark", "resnet18_late"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Miniatures of all datasets."""
    root = tmp_path_factory.mktemp("data")
    specs = [write_miniature(layout, root / layout, per_class=2) for layout in MINIATURES]
    return parts_of([*specs, f"fer2013:{root / 'ferplus'}"])


def classes_of(recipe):
    """The class names that a recipe's data must come with."""
    view = recipe.data.options.get("classes")
    return tuple(VIEWS[view]) if view else CANONICAL if recipe.data.kind == "ferplus" else EMOTIONS["fer2013"]


def built(recipe, classes, **options):
    network = recipe.network
    with torch.device("meta"):
        return build(
            network.architecture,
            channels=network.channels,
            classes=classes,
            size=network.size,
            options={**network.options, **options},
        )


def narrowed(recipe):
    """The same recipe with a network that trains in no time."""
    name = recipe.network.architecture
    if name.startswith("resnet"):
        narrow = {"blocks": [1, 1, 1, 1]}
    elif name == "majority":
        narrow = {}
    else:
        narrow = {"width": 0.1 if name.startswith("mobilenet") else 4} | ({"dense": 16} if name in DENSE else {})
    return replace(recipe, network=replace(recipe.network, options={**recipe.network.options, **narrow}))


@pytest.mark.parametrize("name", recipe_paths())
def test_every_recipe_builds_its_network_and_trains(name, parts, tmp_path):
    recipe = read_recipe(name)
    classes = classes_of(recipe)
    network = built(recipe, len(classes))
    if recipe.finetune:
        for module in (recipe.finetune.head, recipe.finetune.upper):
            assert dict(network.named_modules())[module]
    short = narrowed(shortened(recipe))
    each = Experiment(name, short, recipe.published)
    spec = each.spec(parts) if recipe.published else str(parts["fer2013"])
    faces, select, test = (read_split(short, spec, role) for role in ROLES)
    assert faces.class_names == select.class_names == test.class_names == classes
    short = replace(short, training=replace(short.training, batch_size=len(faces) // 2))
    *_, last = train(short, faces, select, tmp_path)
    assert math.isfinite(last.entry["loss"])
    assert last.classifier.card.input_size[1] == recipe.network.size


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_sources_network_has_its_parameters(name):
    recipe = read_recipe(name)
    assert sum(weights.numel() for weights in built(recipe, len(classes_of(recipe))).parameters()) == PARAMETERS[name]


def test_every_network_has_a_best_recipe():
    assert {name: read_recipe(name).network.architecture for name in OURS} == {name: name for name in ARCHITECTURES}
    for name in OURS:
        assert read_recipe(name).published is None


def test_every_row_of_the_sources_is_there_as_printed():
    assert {each.name: dict(each.published.scores) for each in experiments()} == PRINTED


def test_every_experiment_says_where_it_is_from_and_how_it_was_measured():
    found = experiments()
    assert {each.published.source for each in found} == set(SOURCES)
    for each in found:
        assert each.published.item
        assert each.published.protocol.endswith(".")
        assert not each.published.mistake or each.published.mistake.endswith(".")
        assert each.published.mistake or not each.published.scores


def test_no_experiment_chooses_on_what_it_reports():
    for each in experiments():
        assert each.recipe.data.select != each.recipe.data.test
        if each.recipe.data.kind == "fer2013":
            assert (each.recipe.data.select, each.recipe.data.test) == ("PublicTest", "PrivateTest")


def test_the_best_resnet18_is_what_was_settled():
    recipe = read_recipe("resnet18")
    assert (recipe.training, recipe.augment) == (
        Training(
            epochs=40,
            batch_size=128,
            optimizer="sgd",
            learning_rate=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            schedule="one-cycle",
            label_smoothing=0.1,
            select_by="accuracy",
            seed=0,
        ),
        Augment(flip=0.5, shift=0.1, rotate=10, scale=0.15, erase=0.5),
    )


def test_the_page_on_recipes_is_up_to_date():
    """Written by: python -c "from inspect_fer.training.experiments import *; print(recipes_page(), end='')" ."""
    page = Path(__file__).parents[2] / "recipes" / "README.md"
    assert page.read_text(encoding="utf-8") == recipes_page()
