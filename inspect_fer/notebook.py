"""How the library's objects draw themselves in a notebook: static HTML with the report's figures, no script."""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import singledispatch
from html import escape
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from inspect_fer.errors import FerError
from inspect_fer.internals import layer_rows
from inspect_fer.metrics import evaluate
from inspect_fer.render import confusion_figure, data_uri, face_wall, map_sheet
from inspect_fer.render.report_drawing import network_figure
from inspect_fer.render.report_figures import counts_figure
from inspect_fer.schema import HEALTH, Classifier, Explanation, Prediction, Run, Samples

FACES, MAPS = 24, 6
"""How many faces, and the maps of how many, are drawn."""


def html_of(shown: object) -> str:
    """HTML of a Samples, Classifier, Prediction, Explanation or Run; what cannot be drawn says why."""
    try:
        return f"<div>{''.join(_parts(shown))}</div>"
    except FerError as problem:
        return f"<p>{escape(str(problem))}</p>"


@singledispatch
def _parts(shown: object) -> Iterable[str]:
    return [f"<pre>{escape(repr(shown))}</pre>"]


@_parts.register
def _(faces: Samples) -> Iterable[str]:
    size = " x ".join(map(str, faces.pixels.shape[1:]))
    counts = ", ".join(f"{name} {count:,}" for name, count in faces.counts().items())
    yield _line(f"{len(faces):,} faces", size, counts)
    first = faces[:FACES]
    names = ["no label" if label < 0 else faces.class_names[label] for label in first.labels.tolist()]
    if names:
        yield _drawn(face_wall(first.pixels[:], captions=names, side=96), f"The first {len(names)} faces")


@_parts.register
def _(model: Classifier) -> Iterable[str]:
    card = model.card
    count = sum(weight.numel() for weight in model.network.parameters())
    yield _line(model.origin or card.architecture, f"{count:,} parameters", f"CAM layer {card.cam_layer or 'none'}")
    yield _table(
        {
            "architecture": card.architecture,
            "input": " x ".join(map(str, card.input_size)),
            "classes": ", ".join(card.class_names),
            "trained on": card.dataset,
            **{split: _scores(scores) for split, scores in card.scores.items()},
        }
    )
    yield _drawn(network_figure(layer_rows(model), card.cam_layer), f"Layers of {card.architecture}")


@_parts.register
def _(answer: Prediction) -> Iterable[str]:
    if not (answer.labels >= 0).any():
        found = Counter(answer.predicted.tolist())
        yield _line(f"{len(answer):,} answers", "no labels")
        counts = {name: found[place] for place, name in enumerate(answer.class_names)}
        yield _drawn(counts_figure(counts, title="Predicted"), "Counts of predicted classes")
        return
    scores = evaluate(answer)
    yield _line(f"{len(answer):,} answers", _scores(scores))
    yield _confusion(scores, answer.class_names)


@_parts.register
def _(why: Explanation) -> Iterable[str]:
    name, layer = str(why.method.get("name", "map")), f"layer {why.layer}" if why.layer else ""
    yield _line(
        name, f"{len(why):,} faces x {why.targets.shape[1]} targets", " x ".join(map(str, why.maps.shape[2:])), layer
    )
    found = Counter(why.health.flatten().tolist())
    yield _table({HEALTH[code]: f"{count:,} maps" for code, count in sorted(found.items())})
    if len(why):
        yield _drawn(map_sheet(why, limit=MAPS), f"{name}: maps of the first faces")


@_parts.register
def _(run: Run) -> Iterable[str]:
    yield _line(str(run.folder), f"{len(run):,} samples", _scores(run.metrics))
    yield _table({name: " x ".join(map(str, why.maps.shape)) for name, why in run.explanations.items()})
    if "confusion" in run.metrics:
        yield _confusion(run.metrics, run.prediction.class_names)


def _confusion(scores: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return _drawn(confusion_figure(scores["confusion"], names, "row"), "Confusion matrix, shares of each true class")


def _scores(scores: Mapping[str, Any]) -> str:
    """Accuracy and macro F1 in words, as far as they are there."""
    accuracy = scores.get("accuracy")
    f1 = scores.get("macro_f1", scores.get("averages", {}).get("macro", {}).get("f1"))
    words = [] if accuracy is None else [f"accuracy {100 * accuracy:.2f} %"]
    return ", ".join(words if f1 is None else [*words, f"macro F1 {f1:.3f}"])


def _line(first: str, *rest: str) -> str:
    return f"<p><strong>{escape(first)}</strong>{''.join(f' · {escape(words)}' for words in rest if words)}</p>"


def _table(rows: Mapping[str, str]) -> str:
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(words)}</td></tr>'
        for name, words in rows.items()
        if words
    )
    return f"<table>{cells}</table>" if cells else ""


def _drawn(picture: Image.Image | Figure, words: str) -> str:
    source = data_uri(picture, "svg" if isinstance(picture, Figure) else "png")
    return f'<img src="{source}" alt="{escape(words)}" style="max-width:100%">'
