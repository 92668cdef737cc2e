"""The other forms of a report: a PDF, single figures for a paper, and tables."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from inspect_fer.errors import ConfigError
from inspect_fer.lookup import lookup
from inspect_fer.metrics import MEASURES
from inspect_fer.render import png_bytes, svg_text
from inspect_fer.render.report_figures import on_page, picture_figure, words_figure
from inspect_fer.report.facts import card_lines, dataset_lines, histograms
from inspect_fer.report.figures import FIGURES, Drawing
from inspect_fer.report.material import Report
from inspect_fer.report.ours import write_all
from inspect_fer.report.page import write_pages
from inspect_fer.report.scores import in_words, score_rows

Writer = Callable[[Report, Path, Sequence[str]], list[Path]]
"""Takes a report, the folder to write into, and names of figures (none for all)."""


SAMPLE = ("id", "label", "predicted", "confidence", "loss")
"""What a row a face begins with."""


def write_pdf(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/report.pdf: what was run on what, then one figure a page."""
    from matplotlib.backends.backend_pdf import PdfPages

    lines = [*dataset_lines(report).items(), *card_lines(report).items()]
    first = words_figure(report.title, _score_lines(report), lines), report.command(out, "pdf", figures)
    drawn = [(found, report.command(out, "pdf", [name])) for name, found in _drawn(report, figures)]
    stamp = {"Title": report.title, "Creator": "inspect-fer", "CreationDate": None}
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata=stamp) as pages:
        for found, command in [first, *drawn]:
            page = found if isinstance(found, Figure) else picture_figure(found)
            pages.savefig(on_page(page, f"Made with {command}"), facecolor="white")
    return write_all({out / "report.pdf": buffer.getvalue()}, force=report.force)


def write_png(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/figures/NAME.png for every figure."""
    return _files(report, out, "png", figures)


def write_svg(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/figures/NAME.svg for every chart; pictures of faces are PNG."""
    return _files(report, out, "svg", figures)


def write_json(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/report.json: labels of every split, all scores, their intervals, the ranking of each class, a row a face."""
    _no_figures(figures, "json")
    manifest = report.run.manifest
    ranked = {
        name: {"auc": one.auc, "average_precision": one.average_precision, "share": one.share}
        for name, one in report.ranking.items()
    }
    contents = {
        "report": report.command(out, "json"),
        "title": report.title,
        **{name: manifest.get(name) for name in ("command", "made", "model", "dataset")},
        "class_names": report.names,
        "labels": {name: {**counts._asdict(), "total": counts.total} for name, counts in histograms(report).items()},
        "uncounted": report.splits[1] or None,
        "scores": report.scores,
        "intervals": report.intervals,
        "ranking": ranked,
        "samples": list(_sample_rows(report)),
    }
    content = json.dumps(contents, indent=1, ensure_ascii=False).encode()
    return write_all({out / "report.json": content}, force=report.force)


def write_csv(report: Report, out: Path, figures: Sequence[str] = ()) -> list[Path]:
    """OUT/scores.csv, a row a score with its range, samples.csv, a row a face, labels.csv, a row a split and class."""
    _no_figures(figures, "csv")
    tables = {"scores": _all_scores(report), "samples": _sample_rows(report), "labels": _label_rows(report)}
    files = {out / f"{name}.csv": _table(list(rows)) for name, rows in tables.items()}
    return write_all(files, force=report.force)


def _score_lines(report: Report) -> list[tuple[str, str]]:
    """The scores with their intervals, then those of the majority class, then how many faces they are of."""
    rows, scores = score_rows(report), report.scores
    lines = [(name, f"{in_words(value, name)}{_span(interval)}") for name, value, _, interval in rows]
    lines += [("", ""), ("Always answering", scores["baseline"]["class"])] if scores["n"] else []
    lines += [(name, in_words(always, name)) for name, _, always, _ in rows if scores["n"] and always is not None]
    whole = f"{len(report.prediction):,}"
    lines += [("", ""), ("Labelled faces", f"{scores['n']:,} of {whole}"), ("In brackets", "95 % intervals, bootstrap")]
    return lines + ([("Explained faces", f"{int(report.explained.sum()):,} of {whole}")] if report.partly else [])


def _span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _drawn(report: Report, figures: Sequence[str]) -> Iterator[tuple[str, Figure | Image.Image]]:
    """The figures asked for, or all that there are. Raises ConfigError for one that this run does not have."""
    for name in figures or FIGURES:
        found: Drawing = lookup(FIGURES, name, "figure")(report)
        if found is not None:
            yield name, found
        elif figures:
            raise ConfigError(f"This run has nothing to draw for the figure {name}. Leave --figure out to have all.")


def _files(report: Report, out: Path, form: str, figures: Sequence[str]) -> list[Path]:
    """OUT/figures/NAME.png or .svg, with the command that makes it again inside."""
    files = {}
    for name, found in _drawn(report, figures):
        made = report.command(out, form, [name])
        if form == "svg" and isinstance(found, Figure):
            files[out / "figures" / f"{name}.svg"] = svg_text(found, made).encode()
        else:
            files[out / "figures" / f"{name}.png"] = png_bytes(found, made)
    return write_all(files, force=report.force)


def _table(rows: Sequence[dict[str, Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else SAMPLE)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


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


def _label_rows(report: Report) -> Iterator[dict[str, Any]]:
    """A row a split and class ("" without one): faces, and whether the run is of that split."""
    for name, counts in histograms(report).items():
        for label, faces in (*counts.classes.items(), ("", counts.unlabelled)):
            yield {"split": name, "label": label, "faces": faces, "own": counts.own}


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
