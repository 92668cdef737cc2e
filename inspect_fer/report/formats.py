"""The other forms of a report: a PDF, single figures for a paper, and tables."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from inspect_fer.errors import ConfigError
from inspect_fer.lookup import lookup
from inspect_fer.metrics import MEASURES
from inspect_fer.render import png_bytes, svg_text
from inspect_fer.render.report_figures import picture_figure, words_figure
from inspect_fer.report.facts import card_lines, dataset_lines
from inspect_fer.report.figures import FIGURES, Drawing
from inspect_fer.report.material import Report
from inspect_fer.report.page import write_pages
from inspect_fer.report.scores import score_rows

Writer = Callable[[Report, Path, Sequence[str]], list[Path]]
"""Takes a report, the folder to write into, and names of figures (none for all)."""


def write_pdf(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/report.pdf: what was run on what, then one figure a page."""
    from matplotlib.backends.backend_pdf import PdfPages

    drawn = list(_drawn(report, figures))
    out.mkdir(parents=True, exist_ok=True)
    path = out / "report.pdf"
    scores = [(name, "none" if value is None else f"{value:.3f}") for name, value, *_ in score_rows(report)]
    lines = [
        *scores,
        ("", ""),
        *dataset_lines(report).items(),
        *card_lines(report).items(),
        ("Made with", report.command),
    ]
    stamp = {"Title": report.title, "Creator": "inspect-fer", "CreationDate": None}
    with PdfPages(path, metadata=stamp) as pages:
        for page in [words_figure(report.title, lines), *(found for _, found in drawn)]:
            pages.savefig(page if isinstance(page, Figure) else picture_figure(page), facecolor="white")
    return [path]


def write_png(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/figures/NAME.png for every figure."""
    return [_write(out, f"{name}.png", png_bytes(found)) for name, found in _drawn(report, figures)]


def write_svg(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/figures/NAME.svg for every chart; pictures of faces are PNG."""
    return [
        _write(out, f"{name}.svg", svg_text(found).encode())
        if isinstance(found, Figure)
        else _write(out, f"{name}.png", png_bytes(found))
        for name, found in _drawn(report, figures)
    ]


def write_json(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/report.json: all scores, their intervals, the ranking of each class, and a row a face."""
    _no_figures(figures, "json")
    manifest = report.run.manifest
    ranked = {
        name: {"auc": one.auc, "average_precision": one.average_precision, "share": one.share}
        for name, one in report.ranking.items()
    }
    contents = {
        "title": report.title,
        **{name: manifest.get(name) for name in ("command", "made", "model", "dataset")},
        "report": report.command,
        "class_names": report.names,
        "scores": report.scores,
        "intervals": report.intervals,
        "ranking": ranked,
        "samples": list(_sample_rows(report)),
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / "report.json"
    path.write_text(json.dumps(contents, indent=1, ensure_ascii=False), encoding="utf-8")
    return [path]


def write_csv(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/scores.csv, a row a score with its interval, and OUT/samples.csv, a row a face."""
    _no_figures(figures, "csv")
    out.mkdir(parents=True, exist_ok=True)
    tables = {"scores.csv": list(_all_scores(report)), "samples.csv": list(_sample_rows(report))}
    for name, rows in tables.items():
        with (out / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["id"])
            writer.writeheader()
            writer.writerows(rows)
    return [out / name for name in tables]


def _drawn(report: Report, figures: Sequence[str]) -> Iterator[tuple[str, Figure | Any]]:
    """The figures asked for, or all that there are. Raises ConfigError for one that this run does not have."""
    for name in figures or FIGURES:
        found: Drawing = lookup(FIGURES, name, "figure")(report)
        if found is not None:
            yield name, found
        elif figures:
            raise ConfigError(f"This run has nothing to draw for the figure {name}. Leave --figure out to have all.")


def _write(out: Path, name: str, content: bytes) -> Path:
    path = out / "figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _no_figures(figures: Sequence[str], kind: str) -> None:
    if figures:
        raise ConfigError(f"--figure goes with the formats pdf, png and svg, not with {kind}.")


def _sample_rows(report: Report) -> Iterator[dict[str, Any]]:
    """A row a face: id, label, answer, confidence, loss, a probability a class."""
    prediction, names = report.prediction, report.names
    losses = prediction.loss.tolist()
    for row, name in enumerate(prediction.ids):
        label = int(prediction.labels[row])
        yield {
            "id": name,
            "label": names[label] if label >= 0 else "",
            "predicted": names[int(prediction.predicted[row])],
            "confidence": float(prediction.confidence[row]),
            "loss": losses[row] if label >= 0 else None,
            **{f"p_{name}": value for name, value in zip(names, prediction.probabilities[row].tolist(), strict=True)},
        }


def _all_scores(report: Report) -> Iterator[dict[str, Any]]:
    """A row a score: which, of which class ("" for all), value, interval, and what the majority class would get."""
    for name, value, always, interval in score_rows(report):
        low, high = interval or (None, None)
        yield {"score": name, "class": "", "value": value, "low": low, "high": high, "majority": always}
    for name, row in report.scores["per_class"].items():
        ranges = report.intervals.get("per_class", {}).get(name, {})
        for measure in MEASURES:
            low, high = ranges.get(measure) or (None, None)
            yield {"score": measure, "class": name, "value": row[measure], "low": low, "high": high, "majority": None}
        yield {"score": "support", "class": name, "value": row["support"], "low": None, "high": None, "majority": None}


def _pages(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    _no_figures(figures, "html")
    return [write_pages(report, out)]


FORMATS: dict[str, Writer] = {
    "html": _pages,
    "pdf": write_pdf,
    "png": write_png,
    "svg": write_svg,
    "json": write_json,
    "csv": write_csv,
}
FACELESS = ("json", "csv")
"""What shows no face, and can be written where the faces have gone."""
