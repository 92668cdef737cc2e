"""`reproduce`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.errors import ConfigError

if TYPE_CHECKING:
    from inspect_fer.datasets.spec import Part
    from inspect_fer.training.experiments import Experiment, Outcome

WIDTH = 160
"""Columns of a table that goes into a file."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("reproduce", epilog="inspect-fer reproduce 000 --data fer2013:data --data ferplus:data")(
        reproduce_sources
    )


def reproduce_sources(
    source: Annotated[str, typer.Argument(help="000 to 004, khaireddin-chen, ferplus or all.")] = "all",
    data: Annotated[
        list[str] | None,
        typer.Option("--data", "-d", help="KIND:PATH, once for each kind of dataset; combinations are put together."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be given again.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder for networks and results, else reports/reproduce.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    *,
    evaluate_only: Annotated[bool, typer.Option("--evaluate-only", help="Train nothing.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Walk through all experiments on a few miniature faces, in a few minutes.")
    ] = False,
) -> None:
    """Train the experiments of the source reports again, and set what they printed beside what we measure.

    Without data, it lists the experiments: what was printed, how it was measured, and what is wrong with it. With data,
    each experiment is trained into OUT/NAME.training and its network kept as OUT/NAME.safetensors; one that is there is
    measured and not trained again, and a training that was stopped goes on. Written are reproduce.csv and reproduce.md.
    The exit code is 2 when an experiment failed, or when none had its data.
    """
    from inspect_fer.training.experiments import experiments, parts_of

    if smoke and (data or out or evaluate_only):
        given = "--data" if data else "--out" if out else "--evaluate-only"
        raise ConfigError(f"--smoke brings its own faces, trains on them and keeps nothing; leave {given} out.")
    out = out or Path("reports/reproduce")
    chosen, parts = experiments(source, only or ()), parts_of(data or ())
    if smoke:
        _smoke(chosen, device)
    elif parts or evaluate_only:
        _say_unused(chosen, parts)
        outcomes = _reproduce(chosen, parts, out, device, evaluate_only=evaluate_only)
        _print_outcomes(outcomes)
        typer.echo(f"{out}: reproduce.csv, reproduce.md")
        _require_done(outcomes)
    else:
        _print_experiments(chosen)


def _smoke(chosen: Sequence["Experiment"], device: str) -> None:
    """Print a line for each experiment of the walk; raise ConfigError at its end when one of them failed."""
    from inspect_fer.training.reproduce import smoke

    failed = 0
    with TemporaryDirectory(prefix="inspect-fer-") as folder:
        for outcome in smoke(chosen, Path(folder), device=device):
            failed += outcome.state == "failed"
            typer.echo(f"{outcome.experiment.name:<40} {outcome.state:<10} {outcome.seconds:>5.1f} s  {outcome.says}")
    _require_none(failed, len(chosen))


def _require_none(failed: int, of: int) -> None:
    if failed:
        raise ConfigError(f"{failed} of {of} experiments failed; see above.")


def _say_unused(chosen: Sequence["Experiment"], parts: Mapping[str, "Part"]) -> None:
    """Tell which of the datasets no chosen experiment needs."""
    needed = {kind for each in chosen for kind in each.recipe.data.kind.split("+")}
    unused = [kind for kind in parts if kind not in needed]
    if unused:
        typer.echo(f"None of these experiments needs {' or '.join(f'--data {kind}' for kind in unused)}.", err=True)


def _require_done(outcomes: Sequence["Outcome"]) -> None:
    """Raise ConfigError when an experiment failed, or when none had its data."""
    _require_none(sum(outcome.state == "failed" for outcome in outcomes), len(outcomes))
    if all(outcome.state == "no data" for outcome in outcomes):
        raise ConfigError("No experiment had all of its data; what each one needs is said above.")


def _reproduce(
    chosen: Sequence["Experiment"], parts: Mapping[str, "Part"], out: Path, device: str, *, evaluate_only: bool
) -> "list[Outcome]":
    """Run all experiments with a progress bar, a line an experiment."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from inspect_fer.training.reproduce import Lab, reproduce

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    done = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def watch(what: str, now: int, of: int) -> None:
            bar.update(task, description=what, completed=now, total=of)

        for outcome in reproduce(chosen, Lab(parts, out, device, watch=watch), evaluate_only=evaluate_only):
            done.append(outcome)
            bar.console.print(_line(outcome), soft_wrap=True, highlight=False, markup=False, emoji=False)
    return done


def _line(outcome: "Outcome") -> str:
    return f"{outcome.experiment.name}: {outcome.state}, {outcome.says or _ours(outcome.row())}"


def _ours(row: Mapping[str, str]) -> str:
    """What we measured, in percent."""
    if not row["n"]:
        return row["says"]
    views = f", {row['views']} {row['accuracy_views']}" if row["views"] != "single" else ""
    sets = f", exact sets {row['exact_set']}" if row["exact_set"] else ""
    return f"{row['accuracy']}{views}{sets} of {row['n']} ({row['split']})"


def _print_outcomes(outcomes: Sequence["Outcome"]) -> None:
    """Print what was printed and what was measured side by side."""
    rows = [outcome.row() for outcome in outcomes]
    _print_table(
        ("recipe", "state", "printed", "ours, single view", "how theirs was measured", "how ours was"),
        [(row["recipe"], row["state"], row["published"], _ours(row), row["protocol"], row["ours"]) for row in rows],
    )


def _print_experiments(chosen: Sequence["Experiment"]) -> None:
    """Print what the sources printed."""
    _print_table(
        ("recipe", "printed, in percent", "how it was measured", "what is wrong with it"),
        [(each.name, each.printed, each.published.protocol, each.published.mistake) for each in chosen],
    )
    kinds = dict.fromkeys(kind for each in chosen for kind in each.recipe.data.kind.split("+"))
    typer.echo(f"To train them: {' '.join(f'--data {kind}:PATH' for kind in kinds)}, or some of these.")


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, show_lines=True)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, emoji=False, highlight=False)
    console.width = max(console.width, WIDTH) if not console.is_terminal else console.width
    console.print(table)
