"""`run`, and the commands for what it has made."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspect_fer.cli import keeping
from inspect_fer.cli.asking import Asked, DryRun, Fusion, Layers, Memory, Precision, Targets, print_worth
from inspect_fer.cli.terminal import Data, Force, Model, Split, counted, print_scores, target_of
from inspect_fer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspect_fer.runs.engines import Engine
    from inspect_fer.schema import Classifier, Samples


def _folder(name: str | Path) -> Path:
    """What is no name at all would stand for the folder that one is in."""
    if not str(name).strip():
        raise ConfigError("--out is empty; name the run's folder, such as reports/first.")
    return Path(name)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        "run", epilog="inspect-fer run --model demo --data synthetic:500 --methods grad-cam --out reports/first"
    )(run_dataset)
    app.command("runs", epilog="inspect-fer runs reports")(keeping.list_runs)
    app.command("verify", epilog="inspect-fer verify reports/first")(keeping.verify_run)
    app.command("rm", epilog="inspect-fer rm reports/first")(keeping.remove_run)


def run_dataset(  # a user's choices, all with defaults
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.", parser=_folder, metavar="PATH")],
    methods: Annotated[
        str, typer.Option(help="Methods, with commas between; all for every one; options as in occlusion?window=4.")
    ] = "grad-cam",
    split: Split = "test",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Explain only so many, predict all; more that is there stays."),
    ] = None,
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

    What the folder holds of the same network and samples is kept, and other methods are put beside. A method that it
    holds with other options is refused. Shards, workers and Ray end with the same bytes.
    """
    from inspect_fer.datasets import samples_for
    from inspect_fer.models.checkpoint import load

    network = load(model)
    faces = samples_for(network.card, data, split)
    target, chosen = target_of(targets, network.card.class_names), [name for name in methods.split(",") if name.strip()]
    if not chosen:
        raise ConfigError("Name a method with --methods, such as grad-cam; all stands for every one.")
    asked = Asked.of(chosen, targets=target, layer=layer, fusion=fusion, precision=precision, memory=memory)
    wanted: dict[str, Any] = {"part": _share(share), "limit": limit, "shard": shard_size}
    wanted |= {"every_class": every_class, "overwrite": force}
    who = _engine(engine, workers, address)
    if dry_run:
        _print_outlook(out, network, faces, asked, wanted)
        return
    run = asked.part(out, network, faces, workers=workers, engine=who, threads=threads, **wanted)
    if run is None:
        typer.echo(f"Share {share} of {out} is there; the job that makes the last share finishes the run.")
        return
    print_scores(dict(run.metrics), f"{Path(model).stem} on {data.partition(':')[0]}, {split}")
    print_worth(run.explanations)
    typer.echo(f"{counted(len(run), 'face')}, {counted(len(run.explanations), 'method')}: {run.folder}")
    for group in run.manifest["groups"] if limit is not None else ():
        if group["methods"] and group["limit"] is not None and group["limit"] < len(run):
            typer.echo(
                f"{group['limit']:,} of {counted(len(run), 'face')} are explained by {', '.join(group['methods'])}; "
                "the same without --limit explains the rest."
            )


def _print_outlook(
    out: Path, network: "Classifier", faces: "Samples", asked: Asked, wanted: "Mapping[str, Any]"
) -> None:
    """Say what is still missing, how long it takes in one process, and how much room on disk."""
    from inspect_fer.explain import forecast
    from inspect_fer.explain.budget import in_words
    from inspect_fer.explain.cost import in_time
    from inspect_fer.runs.outlook import outlook

    found = outlook(out, network, faces, asked.methods, **wanted, **asked.options)
    if not found.missing:
        typer.echo(f"All {counted(found.shards, 'shard')} of {out} are there; the run would only look them through.")
        return
    if found.explained:
        asked.forecast(network, faces[found.explained])
    if found.predicted:
        seconds = forecast(network, faces[found.predicted], []).seconds
        time = f"{'about ' if seconds >= 1 else ''}{in_time(seconds)}"
        typer.echo(f"{counted(len(found.predicted), 'face')} to predict only: {time}.")
    typer.echo(
        f"{found.missing:,} of {counted(found.shards, 'shard')} are missing in {out}, about {in_words(found.bytes)} on "
        f"disk; {counted(len(found.explained), 'face')} to explain. Times are of one process."
    )


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
