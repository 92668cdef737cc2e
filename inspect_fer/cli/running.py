"""`run`, `runs`, `verify`, `rm`."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.cli.asking import Asked, DryRun, Fusion, Layers, Memory, Precision, Targets, print_worth
from inspect_fer.cli.terminal import Data, Force, Model, Split, first, print_scores, progress, target_of
from inspect_fer.errors import ConfigError, RunError

if TYPE_CHECKING:
    from inspect_fer.runs.engines import Engine

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
    typer.echo(f"{len(run)} faces, {len(run.explanations)} methods: {run.folder}")


def _share(words: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", words.strip())
    if found is None:
        raise ConfigError(f"A share is i/n, such as 3/20, not {words!r}.")
    return int(found[1]), int(found[2])


def _engine(name: str, workers: int, address: str | None) -> "Engine | None":
    from inspect_fer.lookup import lookup
    from inspect_fer.runs import on_ray

    engines = {"local": None, "ray": on_ray(workers, address)}
    return lookup(engines, name, "engine")


def list_runs(
    folder: Annotated[Path, typer.Argument(help="Where runs lie side by side.")] = Path("reports"),
) -> None:
    """List the runs of a folder, the newest first."""
    from rich.console import Console
    from rich.table import Table

    from inspect_fer.explain.budget import in_words
    from inspect_fer.runs import run_folders
    from inspect_fer.runs.overview import summary

    found = run_folders(folder) if folder.is_dir() else []
    if not found:
        raise RunError(f"There is no run in {folder}. `inspect-fer run ... --out {folder}/first` makes one.")
    table = Table("run", "network", "dataset", "faces", "accuracy", "methods", "size", "made")
    for column in ("faces", "accuracy", "size"):
        next(shown for shown in table.columns if shown.header == column).justify = "right"
    for line in map(summary, found):
        state = line.problem or ("-" if line.accuracy is None else f"{line.accuracy:.2%}")
        methods = ", ".join(line.methods) or "-"
        table.add_row(
            line.name, line.network, line.dataset, f"{line.faces:,}", state, methods, in_words(line.size), line.made
        )
    Console().print(table)


def verify_run(
    run: RunFolder,
    samples: Annotated[int, typer.Option(min=1, help="How many samples to explain once more.")] = 16,
    seed: Annotated[int, typer.Option(help="Draws the samples.")] = 0,
) -> None:
    """Explain some samples of a run once more, as its manifest says, and compare with what is stored."""
    from rich.console import Console
    from rich.table import Table

    from inspect_fer.runs import verify

    with progress() as track:
        found = verify(run, samples=samples, seed=seed, tick=track("verifying"))
    table = Table("", "difference", "allowed")
    for name, far in {"answers": found.answers, **found.maps}.items():
        table.add_row(name, f"{far:.1e}", f"{found.allowed.get(name, min(found.allowed.values(), default=2e-3)):.1e}")
    Console().print(table)
    if found.differing:
        raise RunError(
            f"{run} does not say what its network says now: {', '.join(found.differing)}. Other versions of the "
            "libraries, or another dataset? Make the run again."
        )
    typer.echo(f"{found.samples} samples of {run} are what the network says: length of the difference over length.")


def remove_run(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs, after asking."""
    from inspect_fer.explain.budget import in_words
    from inspect_fer.runs.overview import summary

    for folder in runs:
        if not (folder / "run.json").is_file():
            raise RunError(f"{folder} holds no run; only runs are removed.")
    for folder in runs:
        line = summary(folder)
        what = f"{folder} ({line.network} on {line.dataset}, {line.faces:,} faces, {in_words(line.size)})"
        if yes or typer.confirm(f"Remove {what}?"):
            shutil.rmtree(folder)
            typer.echo(f"removed {folder}")
