"""The pages of a report: an index, a page a class, a page a cell of the confusion matrix, linked with one another."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from inspect_fer.files import write_whole
from inspect_fer.lookup import lookup
from inspect_fer.render import SCALE_NOTES, curves_figure, data_uri, fine_note, heat
from inspect_fer.render.look import FIRST, GLOW, SECOND
from inspect_fer.render.report_drawing import network_drawing
from inspect_fer.render.report_figures import FEW_FACES
from inspect_fer.report.album import SIDE, face_bytes, place_of, strip_bytes, tile_of
from inspect_fer.report.augmented import changed_faces
from inspect_fer.report.facts import facts
from inspect_fer.report.figures import FIGURES, PICTURES
from inspect_fer.report.gallery import Card, cards
from inspect_fer.report.material import Report
from inspect_fer.report.ours import clear, pages_of, require_ours
from inspect_fer.report.scores import in_words, matrix, tables
from inspect_fer.report.shown import explained_words, groups_of, left_out, methods_on, totals_of
from inspect_fer.schema import Run, Samples

BUDGET = 13_600_000
"""Bytes that the faces may take in all pages and pictures; what is beyond is left out, and the pages say so."""
AUGMENTED = 4
"""So many faces are shown with what the training makes of them."""
RIGHT = 24
"""So many right answers stand on the page of a class; the page of its cell has all of them."""
MEASURED = ("loss", "accuracy")
STATIC = ("style.css", "filter.js")
CHARTS = ("roc", "precision-recall", "reliability")


def write_report(
    run: Run,
    faces: Samples,
    *,
    limit: int = 500,
    scale: str = "image",
    out: Path | None = None,
    force: bool = False,
) -> Path:
    """Write `index.html` and the folder `report` into the run's folder, or into `out`; return the index's path.

    faces: holds at least the samples of the run; at most `limit` of them are shown; scale: what full colour of a map
    stands for, a name of `render.SCALES`. The training curves are those of the network's card. Nothing is computed by
    the network. Raises DataError when a face of the run is missing, UnknownNameError for another scale, RunError where
    files of another origin would have to give way, unless `force`.
    """
    return write_pages(Report(run, faces, limit, scale, force), out or run.folder)


def write_pages(report: Report, out: Path) -> Path:
    """Write all pages of a report; see `write_report`."""
    lookup(SCALE_NOTES, report.scale, "scale")
    inner = out / "report"
    if not report.force:
        require_ours([out / "index.html", *(inner / name for name in STATIC), *pages_of(inner)])
    (inner / "pictures").mkdir(parents=True, exist_ok=True)
    clear(inner)
    shown = cards(report, inner / "pictures", budget=BUDGET)
    pages = environment()
    for name in STATIC:
        write_whole(inner / name, pages.get_template(name).render(colours=style_colours()).encode())
    common = _common(report, shown, out)
    means = _write_means(report, inner / "pictures")
    written = {}
    for name in common["class_pages"]:
        written[inner / f"class-{name}.html"] = "class.html", _class_page(report, shown, means, name)
    for cell in common["cell_pages"]:
        written[inner / "cell-{}-{}.html".format(*cell)] = "cell.html", _cell_page(report, shown, cell)
    written[out / "index.html"] = "index.html", _index(report, shown, means, inner)
    for path, (template, words) in written.items():
        up, home = ("report/", "index.html") if path.parent == out else ("", "../index.html")
        write_whole(path, pages.get_template(template).render(**common, **words, up=up, home=home).encode())
    return out / "index.html"


@cache
def environment() -> Environment:
    """Templates beside this file; every name that enters a page is escaped."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["percent"] = lambda value, digits=1: "none" if value is None else f"{100 * value:.{digits}f} %"
    found.filters["score"] = lambda value, digits=3: "none" if value is None else f"{value:.{digits}f}"
    found.filters["shown"] = in_words
    found.filters["thousands"] = lambda value: f"{value:,}"
    return found


def _common(report: Report, shown: Sequence[Card], out: Path) -> dict[str, Any]:
    """What every page says."""
    there = {name for card in shown for name in (card.given, card.answer) if name >= 0}
    return {
        "title": report.title,
        "names": report.names,
        "class_pages": sorted(there),
        "cell_pages": sorted({(card.given, card.answer) for card in shown if card.given >= 0}),
        "methods": list(report.run.explanations),
        "scale_note": SCALE_NOTES[report.scale],
        "fine_note": fine_note(report.means.fine),
        "again": report.command(out),
        "made": report.run.manifest.get("command", ""),
        "totals": report.totals,
        "pictures": sorted(PICTURES),
        "few_faces": FEW_FACES,
        **explained_words(report),
        "statuses": [status for status, count in report.totals.items() if count],
        **tables(report),
    }


def _index(report: Report, shown: Sequence[Card], means: Mapping[str, Any], inner: Path) -> dict[str, Any]:
    """What the first page says alone."""
    by_row = {card.row: card for card in shown}
    best: dict[tuple[int, int], Card] = {}
    for card in shown:
        best.setdefault((card.given, card.answer), card)
    return {
        **facts(report),
        "cards": shown,
        "drawn": methods_on(report, shown),
        "left_out": left_out(report, shown),
        "cut": len(shown) < min(report.limit, len(report.prediction)),
        "best": best,
        "mistakes": [by_row[row] for row in report.few(report.mistakes) if row in by_row],
        "uncertain": [by_row[row] for row in report.few(report.uncertain) if row in by_row],
        "charts": {
            name: data_uri(chart, "svg") for name in CHARTS if isinstance(chart := FIGURES[name](report), Figure)
        },
        "curves": _curves(report.history),
        "history": report.history,
        "means": means,
        "drawing": network_drawing(report.layers, report.card.get("cam_layer", "")) if report.layers else None,
        "random": _write_random(report, inner / "pictures", by_row),
        "augmented": _write_augmented(report, inner / "pictures"),
    }


def _class_page(report: Report, shown: Sequence[Card], means: Mapping[str, Any], name: int) -> dict[str, Any]:
    """What the page of a class says."""
    groups = groups_of(shown, name, RIGHT)
    listed = [card for found in groups.values() for card in found]
    return {
        "at": name,
        "groups": groups,
        "there": totals_of(report, name),
        "right": sum(card.given == card.answer == name for card in shown),
        "cards": listed,
        "drawn": methods_on(report, listed),
        "means": means,
        "column": sorted(((given, cells[name]) for given, cells in matrix(report)), key=lambda one: -one[1]["n"]),
    }


def _cell_page(report: Report, shown: Sequence[Card], cell: tuple[int, int]) -> dict[str, Any]:
    """What the page of a cell says."""
    given, answer = cell
    listed = [card for card in shown if (card.given, card.answer) == cell]
    return {
        "cell": matrix(report)[given][1][answer],
        "given": given,
        "answer": answer,
        "cards": listed,
        "drawn": methods_on(report, listed),
    }


def _write_means(report: Report, folder: Path) -> dict[str, Any]:
    """Write the mean faces and maps; by class, its views and in words where the evidence lies."""
    means, methods = report.means, list(report.means.maps)
    width, _, top = place_of(0, max(len(methods), 1), SIDE)
    classes = {}
    for place, name in enumerate(means.classes):
        (folder / f"mean-{name}.webp").write_bytes(face_bytes(means.faces[place]))
        tiles = [heat(tile_of(means.maps[method][place][None, None], SIDE), scale="own")[0, 0] for method in methods]
        if tiles:
            (folder / f"mean-{name}-maps.webp").write_bytes(strip_bytes(tiles))
        lefts = [place_of(tile, len(tiles), SIDE)[1] for tile in range(len(tiles))]
        counts = [means.counts[method][place] for method in methods]
        words = [means.places[method][place] for method in methods]
        classes[name] = list(zip(methods, lefts, counts, words, strict=True))
    return {"classes": classes, "width": width, "top": top}


def _write_random(report: Report, folder: Path, by_row: Mapping[int, Card]) -> list[tuple[int, str, bool]]:
    """Write some faces drawn at random: row, label, and whether it has a card."""
    rows = report.random
    faces = report.samples.find(tuple(report.prediction.ids[row] for row in rows)) if rows else report.samples[:0]
    pixels = faces.pixels[:]
    for place, row in enumerate(rows):
        (folder / f"{row}.webp").write_bytes(face_bytes(pixels[place]))
    labels = report.prediction.labels[rows].tolist() if rows else []
    return [
        (row, report.names[label] if label >= 0 else "no label", row in by_row)
        for row, label in zip(rows, labels, strict=True)
    ]


def _write_augmented(report: Report, folder: Path) -> int:
    """Write some faces with changed copies of them, a file each; how many rows there are."""
    rows = report.random[:AUGMENTED]
    faces = report.samples.find(tuple(report.prediction.ids[row] for row in rows)) if rows else report.samples[:0]
    found = changed_faces(faces, report.card)
    for place, line in enumerate(found if found is not None else ()):
        for number, face in enumerate(line):
            (folder / f"changed-{place}-{number}.webp").write_bytes(face_bytes(face))
    return 0 if found is None else len(found)


def _curves(log: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One figure of the history a measure, so that a narrow page can stack them."""
    always = {"epoch", "phase"}
    kept = {
        name: [{key: line[key] for key in line if key in always or name in key} for line in log] for name in MEASURED
    }
    return {
        name: data_uri(curves_figure(lines), "svg")
        for name, lines in kept.items()
        if any(set(line) - always for line in lines)
    }


def style_colours() -> dict[str, str]:
    """What `style.css` takes as `colours`: those of the pictures, so that the pages speak the same ones."""
    steps = ", ".join("rgba({:.0f},{:.0f},{:.0f},{:.2f})".format(*_css(GLOW(step / 10))) for step in range(11))
    return {"first": FIRST, "second": SECOND, "legend": steps}


def _css(colour: Sequence[float]) -> tuple[float, ...]:
    return (*(255 * value for value in colour[:3]), colour[3])
