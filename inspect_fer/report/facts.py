"""What was run on what: lines about the network and the dataset."""

from collections.abc import Mapping
from typing import Any

from inspect_fer.datasets.counts import Counts, count_labels
from inspect_fer.report.material import Report
from inspect_fer.schema import Prediction

MOST_REASONS = 50
"""So many unreadable samples are listed one by one."""
DIGITS = 12
"""Of a checksum, as many as tell one from another by eye."""
RUN = "this run"
"""What the labels of the run's own faces are called beside those of the splits."""
NAMED = {"spec": "Read from"}
"""What the pages call the entries of a dataset that are not called as one would say."""
CHANNELS = {"1": "1 (grey)", "3": "3 (colour)"}
CARD_SCORES = {
    "n": "Faces",
    "macro_f1": "Macro F1",
    "top2": "Label among the best two",
    "ece": "Calibration error (ECE)",
}
"""What the pages call the scores of a card that are not called as one would say."""


def facts(report: Report) -> dict[str, Any]:
    """What the pages say about network and dataset."""
    manifest = report.run.manifest
    dataset, card = manifest.get("dataset", {}), report.card
    unreadable = manifest.get("unreadable") or {}
    return {
        "dataset": dataset,
        "source": dataset_lines(report),
        "split": split_of(report),
        "card": card_lines(report),
        "recipe": flat(card.get("recipe", {})),
        "published": card.get("scores", {}),
        "published_scores": card_scores(card.get("scores", {})),
        "counts": label_counts(report.prediction),
        "histograms": (found := histograms(report)),
        "largest": max((max(one.classes.values(), default=0) / max(one.total, 1) for one in found.values()), default=0),
        "unlabelled": any(counts.unlabelled for counts in found.values()),
        "run_name": RUN,
        "uncounted": report.splits[1],
        "dropped": (report.faces.dropped if report.faces else {}) or dataset.get("dropped", {}),
        "unreadable": dict(list(unreadable.items())[:MOST_REASONS]),
        "unreadable_count": len(unreadable),
        "command": manifest.get("command", ""),
        "date": card.get("date", ""),
        "layers": [_layer(row, max(card.get("input_size", (0,))[1:], default=0)) for row in report.layers],
        "read_layer": card.get("cam_layer", ""),
    }


def label_counts(prediction: Prediction) -> dict[str, int]:
    """How many faces are labelled as each class."""
    return dict(count_labels(prediction.labels, prediction.class_names).classes)


def histograms(report: Report) -> dict[str, Counts]:
    """Labels of every split of the dataset, the run's own marked; of the run itself where it is not one whole split."""
    prediction, (splits, _) = report.prediction, report.splits
    run = count_labels(prediction.labels, prediction.class_names, own=True)
    own = [counts for counts in splits.values() if counts.own]
    whole = len(own) == 1 and own[0] == run
    return dict(splits) if whole else {RUN: run, **splits}


def split_of(report: Report) -> str:
    """Which part of the dataset the run is of, in words."""
    return f"the split {split}" if (split := report.run.manifest.get("dataset", {}).get("split")) else "these faces"


def dataset_lines(report: Report) -> dict[str, str]:
    """Everything that is known of the dataset but its counts, as lines."""
    dataset = dict(report.run.manifest.get("dataset", {}))
    digest = str(dataset.pop("sha256", None) or "")
    lines = flat({name: value for name, value in dataset.items() if name not in ("counts", "dropped", "options")})
    lines |= flat(dataset.get("options", {}))
    if lines.get("size", "").isdecimal():
        lines["size"] = f"{lines['size']} x {lines['size']} px"
    if "channels" in lines:
        lines["channels"] = CHANNELS.get(lines["channels"], lines["channels"])
    named = {NAMED.get(name, _capital(name)): value for name, value in lines.items()}
    return named | ({"SHA-256 of the faces": f"{digest[:DIGITS]}…"} if digest else {})


def card_lines(report: Report) -> dict[str, str]:
    """The lines of a model card that are filled, in the order they are read."""
    card, model = report.card, report.run.manifest.get("model", {})
    parameters, digest, size = model.get("parameters"), model.get("sha256"), card.get("input_size")
    lines = {
        "Network": report.network if model.get("origin") else None,
        "SHA-256 of the weights": f"{digest[:DIGITS]}…" if digest else None,
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


def card_scores(published: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the scores of a card are called, by their names there."""
    names = dict.fromkeys(name for values in published.values() for name in values)
    return {name: CARD_SCORES.get(name, _capital(name)) for name in sorted(names, key=lambda name: name == "n")}


def _capital(name: str) -> str:
    return f"{name[:1].upper()}{name[1:]}".replace("_", " ")


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested options as lines with dotted names."""
    lines: dict[str, str] = {}
    for name, value in values.items():
        lines |= flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": str(value)}
    return lines


def _layer(row: Mapping[str, Any], side: int) -> dict[str, Any]:
    """A row of the layer table in words."""
    seen = row.get("receptive_field")
    whole = seen is not None and side and seen >= side
    return {
        "name": row["name"],
        "kind": row["kind"],
        "shape": " x ".join(map(str, row["shape"])),
        "parameters": row["parameters"],
        "seen": "unknown" if seen is None else "the image" if whole else f"{seen} px",
    }
