"""Training: recipes, augmentation, the loop and its log."""

from inspect_fer.training.config import Augment, Network, Recipe, Training, read_recipe, recipe_from, recipe_paths
from inspect_fer.training.log import TrainingLog, read_history, read_log
from inspect_fer.training.loop import Epoch, train

__all__ = [
    "Augment",
    "Epoch",
    "Network",
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
