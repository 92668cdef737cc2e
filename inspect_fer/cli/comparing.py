"""`compare`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.cli.terminal import Force
from inspect_fer.errors import ConfigError
from inspect_fer.files import try_writing, write_whole
from inspect_fer.lookup import lookup

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from inspect_fer.report.compare import Comparison, Pair
    from inspect_fer.report.compare_tables import Cell, Row


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("compare", epilog="inspect-fer compare reports/first reports/second --out reports/compared.html")(
        compare_runs
    )


def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Two folders of runs or more.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file to write: a page, JSON or CSV.")] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="html, json or csv; without --out printed. [default: as --out ends]")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many faces on which two networks disagree.")] = 12,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples behind an interval.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    *,
    force: Force = False,
) -> None:
    """Compare runs on the samples that they share: scores, whether they differ by chance, answers, maps."""
    from inspect_fer.explain.budget import in_words
    from inspect_fer.report.compare import Asked, compare
    from inspect_fer.report.compare_page import FORMATS
    from inspect_fer.runs import open_run

    if out is not None and (out.is_dir() or (out.exists() and not force)):
        raise ConfigError(f"{out} is there already. Name another file{'' if out.is_dir() else ', or use --force'}.")
    write = lookup(FORMATS, _form(kind, out), "format")
    if out is not None:
        try_writing(out)
    found = compare([open_run(folder) for folder in runs], Asked(limit, resamples, seed))
    if out is None and kind in {"json", "csv"}:
        typer.echo(write(found, "").rstrip("\n"))
        return
    print_comparison(found)
    if out is not None:
        write_whole(out, write(found, shlex.join(["inspect-fer", *sys.argv[1:]])).encode())
        typer.echo(f"{out} ({in_words(out.stat().st_size)})")


def _form(kind: str | None, out: Path | None) -> str:
    """The format asked for, or the one that the file's name says."""
    if kind is None and out is not None and out.suffix not in {".html", ".json", ".csv"}:
        raise ConfigError(
            f"{out} does not say its format: let it end in .html, .json or .csv, or name it with --format."
        )
    return kind or (out.suffix[1:] if out else "html")


def print_comparison(found: "Comparison") -> None:
    """Print every table of a comparison."""
    from rich.console import Console

    from inspect_fer.report.compare_tables import class_rows, score_rows, verdict

    console = Console(markup=False, highlight=False, emoji=False)
    labelled = found.scores[0]["n"]
    console.print(f"{', '.join(found.names)}: {found.faces:,} faces that all have, {labelled:,} with a label")
    for note in found.notes:
        console.print(f"Mind: {note}")
    if labelled:
        baseline = f"always {found.scores[0]['baseline']['class']}"
        console.print(_scores(found, score_rows(found), "score", baseline))
        console.print(_scores(found, class_rows(found), "recall of", "faces"))
        console.print("* best of its row; in brackets 95 % intervals by bootstrap")
        console.print(_tests(found))
        for pair in found.pairs:
            console.print(verdict(found, pair))
    for pair in found.pairs:
        _print_answers(console, found, pair)
    _print_maps(console, found)


def _table(*columns: str, left: int = 1) -> "Table":
    """A table whose columns but the first ones stand to the right."""
    from rich.table import Table

    table = Table(*columns)
    for place, column in enumerate(table.columns):
        column.justify, column.no_wrap = "left" if place < left else "right", place < left
    return table


def _scores(found: "Comparison", rows: "list[Row]", title: str, last: str) -> "Table":
    from inspect_fer.report.compare_tables import shown

    table, gap = _table(title, *found.names, last), "\n" if len(found.names) > 2 else " "
    for row in rows:
        end = f"{row.faces:,}" if last == "faces" else shown(row.always, row.name)
        table.add_row(row.name, *(_shown(cell, row.name, gap) for cell in row.cells), end)
    return table


def _shown(cell: "Cell", name: str, gap: str) -> str:
    from inspect_fer.report.compare_tables import shown

    span = "" if cell.interval is None else f"{gap}({100 * cell.interval[0]:.1f}, {100 * cell.interval[1]:.1f})"
    return f"{'* ' if cell.best else ''}{shown(cell.value, name)}{span}"


def _tests(found: "Comparison") -> "Table":
    """A line a pair: who alone is right how often, and whether that is chance."""
    from inspect_fer.report.compare_tables import in_words, signed

    def percent(share: float) -> str:
        return signed(100 * share, 1)

    heading = "McNemar p" if len(found.pairs) == 1 else "McNemar p\n(Holm)"
    table = _table("pair", "only 1st\nright", "only 2nd\nright", heading, "accuracy\n1st - 2nd", "macro F1\n1st - 2nd")
    for pair in found.pairs:
        alone = [str(pair.outcomes[name]) for name in ("only the first", "only the second")]
        apart = [
            "" if one is None else f"{percent(one.value)} %\n({', '.join(map(percent, one.interval))})"
            for one in pair.differences.values()
        ]
        table.add_row("\n".join(found.names[row] for row in pair.runs), *alone, in_words(pair.corrected), *apart)
    return table


def _print_answers(console: "Console", found: "Comparison", pair: "Pair") -> None:
    """Print how often and how two networks disagree, and on which faces most certainly."""
    first, second = (found.names[row] for row in pair.runs)
    share = f"{pair.differ:,} of {pair.faces:,} faces ({100 * pair.differ / pair.faces:.1f} %)"
    console.print(f"{first} and {second} answer differently on {share}")
    table = _table(f"{first} says", f"{second} says", "faces", left=2)
    for *answers, count in pair.most(found.class_names):
        table.add_row(*answers, f"{count:,}")
    if pair.differ:
        console.print(table)
    table = _table("most certain", "given", first, second, left=2)
    for face in pair.disagreeing[:5]:
        said = [f"{name} {100 * sure:.0f} %" for name, sure in zip(face.answers, face.confidences, strict=True)]
        table.add_row(face.id, face.label, *said)
    if pair.disagreeing:
        console.print(table)


def _print_maps(console: "Console", found: "Comparison") -> None:
    """Print how far the maps agree, a line a pair and method."""
    from inspect_fer.report.compare_tables import signed

    table = _table("maps of", "method", "faces", "maps", "quartile", "median", "quartile", left=2)
    for pair in found.pairs:
        for name, maps in pair.maps.items():
            quartiles = [signed(value, 2) for value in maps.quartiles or ()] or [""] * 3
            table.add_row(found.title_of(pair), name, f"{maps.faces:,}", f"{maps.maps:,}", *quartiles)
    if table.row_count:
        console.print(table)
        console.print(
            "Rank correlation of the maps of both networks for the same face and class: 1 alike, 0 unrelated."
        )
    else:
        console.print("No method has maps in two of the runs, so none are compared.")
