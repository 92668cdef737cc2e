"""Training: recipes, augmentation, the loop and its log."""

from inspect_fer.training.config import Augment, Data, Finetune, Network, Published, Recipe, Training
from inspect_fer.training.log import TrainingLog, read_history, read_log
from inspect_fer.training.loop import Epoch, train
from inspect_fer.training.recipes import read_recipe, recipe_from, recipe_paths

__all__ = [
    "Augment",
    "Data",
    "Epoch",
    "Finetune",
    "Network",
    "Published",
    "Recipe",
    "Training",
    "TrainingLog",
    "read_history",
    "read_log",
    "read_recipe",
    "recipe_from",
    "recipe_paths",
    "train",
]
