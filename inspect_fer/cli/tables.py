"""`check-table`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from inspect_fer.audit import Finding

STYLES = {"error": "bold red", "caution": "yellow", "note": "dim"}


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("check-table", epilog="inspect-fer check-table confusion.csv --split fer2013:PrivateTest")(check)


def check(
    table: Annotated[Path, typer.Argument(metavar="FILE", help="A confusion matrix or classification report, CSV.")],
    split: Annotated[str | None, typer.Option(help="The split it should be of, such as fer2013:PublicTest.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print scores and findings as JSON.")] = False,
) -> None:
    """Say what a published table proves about itself: its dataset and split, wrong class names, scores that disagree.

    The scores are computed again from the matrix; from a report they follow as far as its rounding allows.
    """
    from inspect_fer.audit import check_table, read_table, scores_of

    published = read_table(table)
    found, scores = check_table(published, split), scores_of(published, split)
    if as_json:
        rows = [asdict(finding) for finding in found]
        typer.echo(json.dumps({"file": str(table), "form": published.form, **scores, "findings": rows}, indent=1))
        return
    _print_scores(f"{table.name}: {published.form}", scores)
    _print_findings(found)


def _print_scores(title: str, scores: dict[str, Any]) -> None:
    """Print the recomputed scores, a line for each class and average."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, highlight=False, emoji=False)
    total = f", {scores['n']:,} samples" if scores["n"] is not None else ""
    accuracy = f", accuracy {_shown(scores['accuracy'], '.2%')}" if scores["accuracy"] is not None else ""
    heading = f"{title}, {len(scores['per_class'])} classes{total}{accuracy}"
    console.print(Text(heading, style="bold"), soft_wrap=True)
    lines = Table("class", "precision", "recall", "F1", "support")
    for column in lines.columns[1:]:
        column.justify = "right"
    rows = {**scores["per_class"], **{f"{name} average": row for name, row in scores["averages"].items()}}
    for name, row in rows.items():
        values = [_shown(row.get(measure), ".3f") for measure in ("precision", "recall", "f1")]
        lines.add_row(name, *values, _shown(row.get("support"), ","))
    console.print(lines)


def _shown(value: Any, digits: str) -> str:
    """A number, with half the distance of its bounds where it has some."""
    if value is None:
        return ""
    if not isinstance(value, list):
        return format(value, digits)
    return f"{format(sum(value) / 2, digits)} ±{format((value[1] - value[0]) / 2, digits)}"


def _print_findings(found: "list[Finding]") -> None:
    """Print what was found, one paragraph each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2))
    for finding in found:
        lines.add_row(Text(finding.weight, style=STYLES[finding.weight]), finding.strength, finding.kind, finding.says)
    Console(markup=False, highlight=False, emoji=False).print(lines)
