"""`run`, `runs`, `verify`, `rm`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.cli.asking import Asked, DryRun, Fusion, Layers, Memory, Precision, Targets, print_worth
from inspect_fer.cli.terminal import Data, Force, Model, Split, first, print_scores, progress, target_of
from inspect_fer.errors import ConfigError, RunError

if TYPE_CHECKING:
    from inspect_fer.runs.engines import Engine

WIDE = 120
"""Columns that a terminal needs for all that is said of runs."""
RunFolder = Annotated[Path, typer.Argument(help="A run's folder.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        "run", epilog="inspect-fer run --model demo --data synthetic:500 --methods grad-cam --out reports/first"
    )(run_dataset)
    app.command("runs", epilog="inspect-fer runs reports")(list_runs)
    app.command("verify", epilog="inspect-fer verify reports/first")(verify_run)
    app.command("rm", epilog="inspect-fer rm reports/first")(remove_run)


def run_dataset(  # a user's choices, all with defaults
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")],
    methods: Annotated[
        str, typer.Option(help="Methods, with commas between; all for every one; options as in occlusion?window=4.")
    ] = "grad-cam",
    split: Split = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Explain only so many; all are predicted.")] = None,
    targets: Targets = "predicted",
    layer: Layers = None,
    fusion: Fusion = "mean",
    precision: Precision = "exact",
    memory: Memory = "1GB",
    share: Annotated[
        str, typer.Option("--shard", help="Make only the i-th of n shares, as i/n: one job of an array.")
    ] = "1/1",
    workers: Annotated[int, typer.Option(min=1, help="Work in so many processes.")] = 1,
    engine: Annotated[str, typer.Option(help="Who does the work: local, or ray (a cluster).")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; by default one on this machine.")] = None,
    shard_size: Annotated[
        int | None, typer.Option(min=1, help="Samples a shard; the run's for good. [default: 1024]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each process; the run's for good. [default: cores / workers]")
    ] = None,
    *,
    every_class: Annotated[
        bool,
        typer.Option(
            "--every-class", help="With --targets all: also for maps as fine as the image, else of two classes each."
        ),
    ] = False,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Evaluate and explain a split of a dataset into one run folder; started again, it goes on where it stopped.

    What the folder holds of the same network and samples is kept, and other methods are put beside. Shards, workers and
    Ray end with the same bytes.
    """
    from inspect_fer.datasets import samples_for
    from inspect_fer.models.checkpoint import load

    network = load(model)
    faces = samples_for(network.card, data, split)
    target, chosen = target_of(targets, network.card.class_names), [name for name in methods.split(",") if name.strip()]
    if not chosen:
        raise ConfigError("Name a method with --methods, such as grad-cam; all stands for every one.")
    asked = Asked.of(chosen, targets=target, layer=layer, fusion=fusion, precision=precision, memory=memory)
    part, who = _share(share), _engine(engine, workers, address)
    if dry_run:
        asked.forecast(network, first(faces, limit))
        return
    run = asked.part(
        out,
        network,
        faces,
        limit=limit,
        part=part,
        workers=workers,
        engine=who,
        shard=shard_size,
        threads=threads,
        every_class=every_class,
        overwrite=force,
    )
    if run is None:
        typer.echo(f"Share {share} of {out} is there; the job that makes the last share finishes the run.")
        return
    print_scores(dict(run.metrics), f"{Path(model).stem} on {data.partition(':')[0]}, {split}")
    print_worth(run.explanations)
    typer.echo(f"{_counted(len(run), 'face')}, {_counted(len(run.explanations), 'method')}: {run.folder}")
    if limit is not None and limit < len(run):
        typer.echo(
            f"{limit:,} of {_counted(len(run), 'face')} are explained; the same without --limit explains the rest."
        )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _share(words: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", words.strip())
    if found is None:
        raise ConfigError(f"A share is i/n, such as 3/20, not {words!r}.")
    return int(found[1]), int(found[2])


def _engine(name: str, workers: int, address: str | None) -> "Engine | None":
    from inspect_fer.lookup import lookup
    from inspect_fer.runs import on_ray

    engines = {"local": None, "ray": on_ray(workers, address)}
    chosen = lookup(engines, name, "engine")
    if address and chosen is None:
        raise ConfigError(f"--address {address} is of a Ray cluster; say --engine ray as well.")
    return chosen


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

    network = None if model is None else load(model)
    with progress() as track:
        found = verify(run, model=network, spec=data, samples=samples, seed=seed, tick=track("verifying"))
    table = Table("", "difference", "allowed")
    for name, far in {"answers": found.answers, **found.maps}.items():
        table.add_row(name, f"{far:.1e}", f"{found.allowed.get(name, min(found.allowed.values(), default=2e-3)):.1e}")
    Console().print(table)
    if found.differing:
        raise RunError(
            f"{run} does not say what its network says now: {', '.join(found.differing)}. Other versions of the "
            "libraries, or another dataset? Make the run again."
        )
    typer.echo(
        f"{_counted(found.samples, 'sample')} of {run}: as the network says (length of the difference over length)."
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
        what = f"{folder} ({line.network} on {line.dataset}, {_counted(line.faces, 'face')}, {in_words(line.size)})"
        if yes or typer.confirm(f"Remove {what}?"):
            remove(folder)
            typer.echo(f"removed {folder}")
