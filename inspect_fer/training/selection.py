"""How a training judges its network: scores on a split, the best epoch, when to stop."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from inspect_fer.metrics import evaluate
from inspect_fer.predict import views_of
from inspect_fer.schema import Prediction, Samples
from inspect_fer.training.config import Recipe
from inspect_fer.training.losses import cost_of, truth_of
from inspect_fer.training.setup import Plan

Judge = Callable[[nn.Module], dict[str, float]]


def judge_of(plan: Plan, split: Samples) -> Judge:
    """Scores of a network on a split."""
    options, card = plan.recipe.training, plan.card
    pixels, truth = split.pixels[:], truth_of(options, split)
    truth = truth.argmax(1) if options.loss == "drawn-cross-entropy" else truth

    def judge(network: nn.Module) -> dict[str, float]:
        network.eval()
        answers = []
        with torch.inference_mode(), plan.arithmetic:
            for part in pixels.split(512):
                views = views_of(card.scale(part), card.input_size[1], options.views)
                seen = [network(view.to(plan.device)).float().cpu() for view in views.unbind(1)]
                answers.append(torch.stack(seen).mean(0))
        logits = torch.cat(answers)
        scores = evaluate(Prediction(split.ids, logits, split.labels, card.class_names, output=card.output))
        loss = float(cost_of(options)(logits, truth))
        return {"loss": loss, "accuracy": scores["accuracy"], "macro_f1": scores["averages"]["macro"]["f1"]}

    return judge


def best_epoch(history: Sequence[Mapping[str, float]], recipe: Recipe) -> int:
    """The epoch with the best score on the selection split; the earliest of equal ones."""
    key = f"select_{recipe.training.select_by}"
    sign = -1 if recipe.training.select_by == "loss" else 1
    return max(range(len(history)), key=lambda epoch: sign * history[epoch][key])


def has_stopped(history: list[dict[str, float]], recipe: Recipe) -> bool:
    """Whether the score on the selection split has not improved for longer than the recipe's patience.

    With fine-tuning, the first phase takes all its epochs and only those of the second count.
    """
    patience, start = recipe.training.patience, recipe.finetune.epoch if recipe.finetune else 0
    counted = history[start:]
    return bool(patience and counted) and len(counted) - 1 - best_epoch(counted, recipe) > patience
