"""`sweep`."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspect_fer.cli.terminal import Data, print_scores
from inspect_fer.cli.training import scored
from inspect_fer.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from inspect_fer.schema import ModelCard
    from inspect_fer.training.sweep import Sweep
    from inspect_fer.training.sweep_run import Result
    from inspect_fer.training.trials import Trial

SHOWN = 20
"""So many trials are printed in the table; results.csv has them all."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("sweep", epilog="inspect-fer sweep lmu --data fer2013:fer2013.csv --out reports/lmu --trials 20")(
        sweep_recipe
    )


def list_sweeps(asked: bool) -> None:  # noqa: FBT001 (typer calls it so)
    """List the sweeps that come with the package, with the number of their trials."""
    if not asked:
        return
    from inspect_fer.training.sweep import read_sweep, sweep_paths
    from inspect_fer.training.trials import trials_of

    for name in sweep_paths():
        sweep = read_sweep(name)
        typer.echo(f"{name:<18} {len(trials_of(sweep, build=False)):>6,} trials  {sweep.note}")
    raise typer.Exit


def sweep_recipe(
    file: Annotated[str, typer.Argument(help="A sweep's name, or a TOML file.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for trials and results.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    trials: Annotated[int | None, typer.Option(min=1, help="Draw so many at random, of a grid too.")] = None,
    limit_epochs: Annotated[int | None, typer.Option(min=1, help="Train no trial for longer.")] = None,
    licence: Annotated[str, typer.Option(help="Put into the best network's card.")] = "",
    *,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the trials that lie in the folder.")] = False,
    _listing: Annotated[
        bool,
        typer.Option("--list", is_eager=True, callback=list_sweeps, help="List the sweeps that come with the package."),
    ] = False,
) -> None:
    """Train a recipe with many values of some of its keys, and say which does best.

    Every trial lies in OUT/trials; a sweep that was stopped goes on with what is missing. Trials are compared on the
    selection split, with those of the same sweep that OUT holds already; the best one alone is then scored on the test
    split, once. Written are results.csv, results.json, effects.png (what each key does to the score) and
    best.safetensors.
    """
    from inspect_fer.render import png_bytes
    from inspect_fer.training.data import look_ahead
    from inspect_fer.training.log import write_aside
    from inspect_fer.training.sweep import read_sweep
    from inspect_fer.training.sweep_run import ranked, write_results
    from inspect_fer.training.trials import trials_of

    sweep = read_sweep(file, trials=trials)
    planned = trials_of(sweep, limit_epochs=limit_epochs)
    if restart or not (out / "sweep.json").is_file():
        look_ahead(sweep.base, data)
    if not restart:
        planned += _others(sweep, planned, out, limit_epochs)
    results = _run(planned, data, out, device, restart=restart)
    write_results(out, results)
    best = ranked(results)[0]
    if best.score is None:
        raise ConfigError(
            f"All {len(results)} trials failed, the first: {best.failed.rstrip('.')}. See {out}/results.csv."
        )
    write_aside(out / "effects.png", png_bytes(_effects(sweep, results)))
    _print_table(sweep, results)
    card = _best(best.trial, data, out, device, licence)
    facts = {"trial": best.trial.key, "checkpoint": "best.safetensors", "scores": dict(card.scores)}
    write_results(out, results, facts)
    typer.echo(f"{out}: results.csv, results.json, effects.png, best.safetensors")


def _others(sweep: "Sweep", planned: "Sequence[Trial]", out: Path, limit_epochs: int | None) -> "list[Trial]":
    """The trials of the same sweep that have ended before and that were not planned this time."""
    from inspect_fer.training.sweep_run import done_before

    keys = {trial.key for trial in planned}
    others = [trial for trial in done_before(sweep, out, limit_epochs=limit_epochs) if trial.key not in keys]
    if others:
        typer.echo(f"{len(planned)} trials, compared with {len(others)} more of this sweep that {out} holds.", err=True)
    return others


def _run(planned: "Sequence[Trial]", data: str, out: Path, device: str, *, restart: bool) -> "list[Result]":
    """Train all trials with a progress bar, a line a trial."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from inspect_fer.training.sweep_run import run_sweep

    short = short_names(planned[0].values)
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        TextColumn("{task.fields[now]}"),
        TimeRemainingColumn(),
    )
    results: list[Result] = []
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        whole = bar.add_task("sweep", total=len(planned), now=f"0/{len(planned)} trials")
        part = bar.add_task("trial", now="")

        def watch(trial: "Trial", epochs: float, loss: float, accuracy: float) -> None:
            of = trial.recipe.training.epochs
            now = f"epoch {int(epochs) + 1}/{of}, loss {loss:.3f}, accuracy {accuracy:.1%}"
            bar.update(part, completed=epochs, total=of, now=now)
            bar.update(whole, completed=len(results) + epochs / of)

        for result in run_sweep(planned, data, out, device=device, restart=restart, watch=watch):
            results.append(result)
            bar.update(whole, completed=len(results), now=f"{len(results)}/{len(planned)} trials")
            line = _line(result, short, len(results), len(planned))
            bar.console.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)
    return results


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last part of each dotted key, the whole key where another one ends alike."""
    ends = Counter(key.rpartition(".")[2] for key in keys)
    return {key: key.rpartition(".")[2] if ends[key.rpartition(".")[2]] == 1 else key for key in keys}


def _words(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _score(result: "Result") -> str:
    if result.score is None:
        return "failed"
    by = result.trial.recipe.training.select_by
    return f"{result.score:.2%}" if by == "accuracy" else f"{result.score:.4g}"


def _line(result: "Result", short: Mapping[str, str], number: int, of: int) -> str:
    values = ", ".join(f"{short[key]} {_words(value)}" for key, value in result.trial.values.items())
    by = result.trial.recipe.training.select_by
    told = f"failed: {result.failed}" if result.failed else f"{by} {_score(result)}, {_epochs(result)}"
    return f"trial {number:>3}/{of}  {values}  {told}, {result.seconds:.0f} s"


def _epochs(result: "Result") -> str:
    return f"epoch {result.best_epoch} of {result.epochs}"


def _print_table(sweep: "Sweep", results: "Sequence[Result]") -> None:
    """Print the best trials, and what they were compared on."""
    from rich.console import Console
    from rich.table import Table

    from inspect_fer.training.sweep_run import ranked

    by, short = sweep.base.training.select_by, short_names(sweep.grid)
    others = [name for name in ("accuracy", "macro_f1", "loss") if name != by]
    table = Table("", *short.values(), by, *others, "best epoch", "seconds")
    for number, result in enumerate(ranked(results)[:SHOWN], 1):
        entry = (f"{result.best[f'select_{name}']:.4g}" if f"select_{name}" in result.best else "" for name in others)
        values = (_words(result.trial.values[key]) for key in short)
        epochs = "" if result.failed else _epochs(result).removeprefix("epoch ")
        table.add_row(str(number), *values, _score(result), *entry, epochs, f"{result.seconds:.0f}")
    console = Console(markup=False, emoji=False, highlight=False)
    console.width = console.width if console.is_terminal else max(console.width, 140)
    console.print(table)
    failed = sum(bool(result.failed) for result in results)
    more = f", {SHOWN} of them here, all in results.csv" if len(results) > SHOWN else ""
    trouble = f"; {failed} failed, results.csv says why" if failed else ""
    typer.echo(f"{len(results)} trials{more}{trouble}. Compared by {by} on the selection split.")
    if len({result.faces for result in results}) > 1:
        typer.echo("Not all trials were scored on as many faces, so their scores compare only in part.", err=True)


def _effects(sweep: "Sweep", results: "Sequence[Result]") -> "Figure":
    """A panel for each key that has more than one value."""
    from inspect_fer.render.effects import effects_figure
    from inspect_fer.training.sweep import Range
    from inspect_fer.training.sweep_run import ranked

    order = ranked(results)
    short = short_names(sweep.grid)
    values = {short[key]: [result.trial.values[key] for result in order] for key in sweep.grid}
    varied = {name: found for name, found in values.items() if any(value != found[0] for value in found)}
    log = [short[key] for key, tried in sweep.grid.items() if isinstance(tried, Range) and tried.log]
    scores = [result.score for result in order]
    return effects_figure(varied or values, scores, score=sweep.base.training.select_by, log=log)


def _best(trial: "Trial", data: str, out: Path, device: str, licence: str) -> "ModelCard":
    """Write the best trial's network, scored on the test split; one that is there already is not scored again.

    licence: "" leaves that of a network that is there already
    """
    from inspect_fer.models.checkpoint import load, read_card, save
    from inspect_fer.training.sweep_run import best_network

    path = out / "best.safetensors"
    if path.is_file():
        try:
            card = read_card(path)
        except CheckpointError as problem:
            raise CheckpointError(f"{problem} Delete it, and the best trial is scored again.") from problem
        if card.recipe == json.loads(json.dumps(trial.recipe.as_dict())):
            typer.echo(f"The best trial, {trial.key}, was scored before: {json.dumps(card.scores)}")
            if licence not in {"", card.licence}:
                card = replace(card, licence=licence)
                save(replace(load(path), card=card), path, half=True)
            return card
    typer.echo(f"The best trial, {trial.key}, alone is scored on the test split, once.")
    model, scores = scored(best_network(trial, data, out, device=device), trial.recipe, data, device)
    model = replace(model, card=replace(model.card, licence=licence))
    save(model, path, half=True)
    print_scores(scores, "test split" if "test" in model.card.scores else "selection split")
    return read_card(path)
