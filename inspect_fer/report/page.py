"""The page of a run: facts gathered here, words and layout in `page.html`."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspect_fer.lookup import lookup
from inspect_fer.metrics import evaluate
from inspect_fer.render import SCALE_NOTES, curves_figure, data_uri, reliability_figure, shares
from inspect_fer.render.look import FIRST, GLOW, SECOND
from inspect_fer.report.gallery import cards, choose
from inspect_fer.schema import Prediction, Run, Samples

BUDGET = 13_000_000
"""Bytes that the faces of a page may take; what is beyond is left out, and the page says so."""

SCORES = {
    "Accuracy": ("accuracy",),
    "Balanced accuracy": ("balanced_accuracy",),
    "Macro F1": ("averages", "macro", "f1"),
    "Macro precision": ("averages", "macro", "precision"),
    "Macro recall": ("averages", "macro", "recall"),
    "Weighted F1": ("averages", "weighted", "f1"),
    "Label among the best two": ("top2",),
    "Calibration error (ECE)": ("ece",),
}
BASELINE = {"Accuracy": "accuracy", "Balanced accuracy": "balanced_accuracy", "Macro F1": "macro_f1"}
MEASURED = ("loss", "accuracy")
SET_SCORES = {
    "Exact set": ("exact_set",),
    "Macro F1 of sets": ("averages", "macro", "f1"),
    "Micro F1 of sets": ("averages", "micro", "f1"),
    "Mean F1 of a face's set": ("averages", "samples", "f1"),
}


def write_report(
    run: Run,
    faces: Samples,
    *,
    limit: int = 500,
    scale: str = "image",
) -> Path:
    """Write `index.html` into the run's folder and return its path.

    faces: holds at least the samples of the run; at most `limit` of them are shown, mistakes and right answers in
    turns; scale: what full colour of a map stands for, a name of `render.SCALES`. The training curves are those of
    the network's card. Raises DataError when a face of the run is missing, UnknownNameError for another scale.
    """
    history = list(run.manifest.get("card", {}).get("history", ()))
    note = lookup(SCALE_NOTES, scale, "scale")
    rows = choose(run.prediction, limit)
    shown = cards(run, faces, rows, scale=scale, budget=BUDGET)
    scores = run.metrics if "confusion" in run.metrics else evaluate(run.prediction)
    page = (
        _environment()
        .get_template("page.html")
        .render(
            **_facts(run, faces),
            **_scores(scores, run.prediction.class_names),
            curves=_curves(history),
            history=history,
            galleries={status: [card for card in shown if card.status == status] for status in _totals(run.prediction)},
            totals=_totals(run.prediction),
            shown=len(shown),
            methods=list(run.explanations),
            class_names=run.prediction.class_names,
            scale_note=note,
            colours=_colours(),
            again=f"inspect-fer report {shlex.quote(str(run.folder))}",
        )
    )
    target = run.folder / "index.html"
    target.write_text(page, encoding="utf-8")
    return target


def _environment() -> Environment:
    """Templates beside this file; every name that enters a page is escaped."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["percent"] = lambda value, digits=1: "none" if value is None else f"{100 * value:.{digits}f} %"
    found.filters["score"] = lambda value, digits=3: "none" if value is None else f"{value:.{digits}f}"
    found.filters["thousands"] = lambda value: f"{value:,}".replace(",", "\u202f")
    return found


def _facts(run: Run, faces: Samples) -> dict[str, Any]:
    """What was run on what."""
    card, dataset = run.manifest.get("card", {}), run.manifest.get("dataset", {})
    labels = run.prediction.labels
    counts = torch.bincount(labels[labels >= 0], minlength=len(run.prediction.class_names)).tolist()
    return {
        "title": f"{card.get('architecture', 'Network')} on {dataset.get('spec', 'faces').partition(':')[0]}",
        "dataset": dataset,
        "source": _flat({name: value for name, value in dataset.items() if name not in ("counts", "dropped")}),
        "card": _card(card, run.manifest.get("model", {}).get("parameters")),
        "recipe": _flat(card.get("recipe", {})),
        "published": card.get("scores", {}),
        "counts": dict(zip(run.prediction.class_names, counts, strict=True)),
        "dropped": faces.dropped or dataset.get("dropped", {}),
        "command": run.manifest.get("command", ""),
        "date": card.get("date", ""),
    }


def _card(card: Mapping[str, Any], parameters: int | None) -> dict[str, str]:
    """The lines of a model card that are filled, in the order they are read."""
    size = card.get("input_size")
    lines = {
        "Architecture": card.get("architecture"),
        "Parameters": f"{parameters:,}" if parameters else None,
        "Options": ", ".join(f"{name} {value}" for name, value in card.get("options", {}).items()),
        "Input": f"{size[0]} x {size[1]} x {size[2]} (channels, height, width)" if size else None,
        "Classes": ", ".join(card.get("class_names", ())),
        "Output": card.get("output"),
        "Read by CAM methods": card.get("cam_layer"),
        "Trained on": card.get("dataset"),
        "Seed": card.get("seed"),
        "Date": card.get("date"),
        "Licence": card.get("licence"),
        "Note": card.get("note"),
    }
    return {name: str(value) for name, value in lines.items() if value not in (None, "")}


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested options as lines with dotted names."""
    lines: dict[str, str] = {}
    for name, value in values.items():
        lines |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": str(value)}
    return lines


def _scores(scores: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Tables and figures of the scores."""
    baseline, sets = scores["baseline"], scores.get("sets", {})
    by_row = shares(scores["confusion"], "row").tolist()
    by_count = shares(scores["confusion"], "count").tolist()
    curve = scores["reliability"]
    return {
        "scores": scores,
        "score_rows": [
            (name, _at(scores, path), baseline.get(BASELINE.get(name, ""))) for name, path in SCORES.items()
        ],
        "set_rows": [(name, _at(sets, path)) for name, path in SET_SCORES.items()] if sets.get("n") else [],
        "matrix": [
            (name, list(zip(names, scores["confusion"][row], by_row[row], by_count[row], strict=True)))
            for row, name in enumerate(names)
        ],
        "reliability": data_uri(reliability_figure(scores), "svg") if scores["n"] else "",
        "bins": [line for line in zip(curve["edges"], curve["edges"][1:], *_columns(curve), strict=False) if line[-1]],
    }


def _columns(curve: Mapping[str, Any]) -> list[Any]:
    return [curve[name] for name in ("confidence", "accuracy", "count")]


def _at(scores: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = scores
    for name in path:
        found = found.get(name, {})
    return None if found == {} else found


def _curves(log: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One figure of the history a measure, so that a narrow page can stack them."""
    kept = {
        name: [{key: line[key] for key in line if key == "epoch" or name in key} for line in log] for name in MEASURED
    }
    return {
        name: data_uri(curves_figure(lines), "svg")
        for name, lines in kept.items()
        if any(set(line) - {"epoch"} for line in lines)
    }


def _totals(prediction: Prediction) -> dict[str, int]:
    """How many faces there are of each status."""
    wrong, unlabelled = int(prediction.wrong.sum()), int((prediction.labels < 0).sum())
    return {"wrong": wrong, "right": len(prediction) - wrong - unlabelled, "unlabelled": unlabelled}


def _colours() -> dict[str, str]:
    """The colours of the pictures, so that the page speaks the same ones."""
    steps = ", ".join("rgba({:.0f},{:.0f},{:.0f},{:.2f})".format(*_css(GLOW(step / 10))) for step in range(11))
    return {"first": FIRST, "second": SECOND, "legend": steps}


def _css(colour: Sequence[float]) -> tuple[float, ...]:
    return (*(255 * value for value in colour[:3]), colour[3])
