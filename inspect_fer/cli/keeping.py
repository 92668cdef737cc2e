"""`runs`, `verify`, `rm`: what there is to do with runs."""

from pathlib import Path
from typing import Annotated

import typer

from inspect_fer.cli.terminal import counted, progress
from inspect_fer.errors import ConfigError, RunError

WIDE = 120
"""Columns that a terminal needs for all that is said of runs."""
RunFolder = Annotated[Path, typer.Argument(help="A run's folder.")]


def list_runs(
    folder: Annotated[Path, typer.Argument(help="Where runs lie side by side.")] = Path("reports"),
) -> None:
    """List the runs of a folder, the newest first."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from inspect_fer.explain.budget import in_words
    from inspect_fer.runs import run_folders
    from inspect_fer.runs.overview import summary

    found = list(map(summary, run_folders(folder))) if folder.is_dir() else []
    if not found:
        raise RunError(f"There is no run in {folder}. `inspect-fer run ... --out {folder}/first` makes one.")
    lines = [
        {
            "run": line.name,
            "network": line.network,
            "dataset": line.dataset,
            "faces": f"{line.faces:,}",
            "accuracy": line.problem or ("-" if line.accuracy is None else f"{line.accuracy:.2%}"),
            "methods": ", ".join(line.methods) or "-",
            "size": in_words(line.size),
            "made": line.made,
        }
        for line in found
    ]
    console = Console()
    if not console.is_terminal:
        typer.echo("\n".join("\t".join(words) for words in (lines[0], *(line.values() for line in lines))))
        return
    narrow = {"dataset", "methods", "size"} if console.width < WIDE else set()
    table = Table()
    for name in (name for name in lines[0] if name not in narrow):
        table.add_column(name, overflow="fold", justify="right" if name in {"faces", "size"} else "left")
    for line in lines:
        table.add_row(*(escape(words) for name, words in line.items() if name not in narrow))
    console.print(table)


def verify_run(
    run: RunFolder,
    samples: Annotated[int, typer.Option(min=1, help="How many samples to explain once more.")] = 16,
    seed: Annotated[int, typer.Option(help="Draws the samples.")] = 0,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The network's file, if it has moved.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="KIND:PATH of the dataset, if it has moved.")] = None,
) -> None:
    """Explain some samples of a run once more, as its manifest says, and compare with what is stored."""
    from rich.console import Console
    from rich.table import Table

    from inspect_fer.models.checkpoint import load
    from inspect_fer.runs import verify
    from inspect_fer.runs.verifying import ALLOWED

    network = None if model is None else load(model)
    with progress() as track:
        found = verify(run, model=network, spec=data, samples=samples, seed=seed, tick=track("verifying"))
    table = Table("", "difference", "allowed")
    for name, far in {"answers": found.answers, **found.maps}.items():
        table.add_row(name, f"{far:.1e}", f"{found.allowed.get(name, ALLOWED):.1e}")
    Console().print(table)
    if found.other:
        numbers = ", ".join(map(str, found.other[:10])) + (", ..." if len(found.other) > 10 else "")
        raise RunError(
            f"{run} is of other samples than there are now: ids, labels or pixels differ in shard {numbers}. Start the "
            "same run again, which makes these shards anew, or name the dataset that it is of (--data)."
        )
    if found.differing:
        raise RunError(
            f"{run} does not say what its network says now: {', '.join(found.differing)}. Other versions of the "
            "libraries, or another dataset? Make the run again."
        )
    typer.echo(
        f"{counted(found.samples, 'sample')} of {run}: as the network says (length of the difference over length). "
        f"Ids, labels and pixels of {counted(found.shards, 'shard')} are those of the dataset, of {found.of:,} in all."
    )


def remove_run(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs, after asking."""
    from inspect_fer.explain.budget import in_words
    from inspect_fer.runs.folder import remove
    from inspect_fer.runs.overview import summary

    for folder in runs:
        if not (folder / "run.json").is_file():
            raise RunError(f"{folder} holds no run; only runs are removed.")
        if folder.is_symlink():
            raise RunError(f"{folder} is a link; name the run itself: {folder.resolve()}.")
    for folder in {folder.resolve(): folder for folder in runs}.values():
        line = summary(folder)
        what = f"{folder} ({line.network} on {line.dataset}, {counted(line.faces, 'face')}, {in_words(line.size)})"
        if yes or _confirmed(f"Remove {what}?", folder):
            remove(folder)
            typer.echo(f"removed {folder}")


def _confirmed(question: str, folder: Path) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort as problem:  # the input has ended
        raise ConfigError(f"{folder} was not removed: nobody answered. --yes removes without asking.") from problem
