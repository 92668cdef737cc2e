"""What closes a training: the weights as they are stored, the scores on each split, the card that tells both."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from inspect_fer.metrics import evaluate
from inspect_fer.predict import predict
from inspect_fer.schema import Classifier, Samples, Tick
from inspect_fer.training.config import Recipe

Scores = dict[str, dict[str, Any]]


def finished(
    model: Classifier,
    recipe: Recipe,
    splits: Mapping[str, Samples],
    *,
    views: Iterable[str] = ("single", "ten-crop"),
    device: str = "cpu",
    track: Callable[[str], Tick] | None = None,
) -> tuple[Classifier, Scores]:
    """Round the weights to half precision and score them, so that what is scored is what will be stored.

    splits: by their role, "select" and "test"; views: to score in beside the recipe's own; device: to
        score on; track: starts a progress bar

    Returns the network with the headline scores in its card, and the scores of `metrics.evaluate` in full: those in
    the recipe's views under the role, "test", the others under "test, ten-crop". Splits without labels are left out.
    """
    for tensor in model.network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    scores: Scores = {}
    model.network.to(device)
    for role, faces in splits.items():
        for view in dict.fromkeys((*views, recipe.training.views)):
            tick = track(f"{role}, {view}") if track else None
            answer = evaluate(predict(model, faces, views=view, tick=tick))
            if answer["n"]:
                scores[role if view == recipe.training.views else f"{role}, {view}"] = answer
    model.network.to("cpu")
    note = f"{model.card.note} Best epoch by {recipe.training.select_by} on the selection split.".strip()
    kept = {name: headline(answer) for name, answer in scores.items()}
    return replace(model, card=replace(model.card, scores=kept, date=date.today().isoformat(), note=note)), scores


def headline(scores: Mapping[str, Any]) -> dict[str, float]:
    """The few scores that a card holds; for networks with sigmoid outputs the share of sets exactly right as well."""
    sets = scores.get("sets", {}).get("exact_set")
    return {
        "n": scores["n"],
        "accuracy": round(scores["accuracy"], 5),
        "balanced_accuracy": round(scores["balanced_accuracy"], 5),
        "macro_f1": round(scores["averages"]["macro"]["f1"], 5),
        **({} if sets is None else {"exact_set": round(sets, 5)}),
    }
