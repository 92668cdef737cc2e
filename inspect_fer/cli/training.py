"""`train`, `recipes`, `curves`, `import`."""

import json
import shutil
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspect_fer.cli.terminal import Data, Force, print_scores, progress
from inspect_fer.errors import CheckpointError, ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspect_fer.schema import Classifier
    from inspect_fer.training import Epoch, Recipe


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        "train", epilog="inspect-fer train --recipe baseline --data fer2013:fer2013.csv --out mine.safetensors"
    )(train_network)
    app.command("recipes", epilog="inspect-fer recipes")(list_recipes)
    app.command("curves", epilog="inspect-fer curves checkpoints/baseline.safetensors --out curves.png")(draw_curves)
    app.command("import", epilog="inspect-fer import net.pth --card card.json --out net.safetensors")(import_network)


def train_network(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name, or a TOML file.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint to write.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    licence: Annotated[str, typer.Option(help="Put into the model card.")] = "",
    *,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train anew: forget an earlier training, and replace its checkpoint.")
    ] = False,
) -> None:
    """Train a network, keep its best epoch, and report it on the test split.

    A training that was stopped goes on after its last whole epoch. State and log lie beside the checkpoint, in
    NAME.training. The best epoch is chosen on the selection split (PublicTest); the test split (PrivateTest) is used
    once, at the end. One that is stopped, by Ctrl-C or a loss that is no number, leaves its best network in
    NAME.best.safetensors. Several GPUs: torchrun --nproc-per-node 4 -m inspect_fer train ... --device cuda
    """
    from inspect_fer.models.checkpoint import save
    from inspect_fer.training import read_recipe
    from inspect_fer.training.distributed import is_first, leave

    _require_suffix(out)
    _require_free(out, again=out.with_suffix(".training").is_dir() or restart, option="--restart")
    plan = read_recipe(recipe)
    best = _best(_epochs(plan, data, out.with_suffix(".training"), device, restart=restart), plan, out)
    if is_first():
        best, scores = scored(best, plan, data, device)
        save(replace(best, card=replace(best.card, licence=licence)), out, half=True)
        print_scores(scores, "test split" if "test" in best.card.scores else "selection split")
        typer.echo(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")
    leave()


def _require_suffix(out: Path) -> None:
    if not out.name or out.name == "..":
        raise CheckpointError("Checkpoints are .safetensors files; name one, such as --out mine.safetensors.")
    if out.suffix != ".safetensors":
        raise CheckpointError(f"Checkpoints are .safetensors files; name --out {out.with_suffix('.safetensors')}.")


def _require_free(out: Path, *, again: bool, option: str) -> None:
    if out.is_dir():
        raise CheckpointError(f"{out} is a folder. Name another --out.")
    if out.exists() and not again:
        raise CheckpointError(f"{out} is there already. Name another --out, or replace it with {option}.")


def _best(epochs: "Iterator[Epoch]", plan: "Recipe", out: Path) -> "Classifier":
    """The best network of a training; one that stops too early leaves what it has beside the log."""
    from inspect_fer.training.distributed import is_first

    last: deque[Epoch] = deque(maxlen=1)
    try:
        last.extend(epochs)
    except (ConfigError, KeyboardInterrupt) as problem:
        kept = _keep(last[0].classifier, plan, out) if last and is_first() else ""
        if isinstance(problem, ConfigError):
            raise ConfigError(f"{problem} {kept}".rstrip()) from problem
        if is_first():
            done = f"stopped after epoch {last[0].number + 1}" if last else "stopped before an epoch was whole"
            typer.echo(f"{done}; the same command, without --restart, goes on. {kept}".rstrip(), err=True)
        raise typer.Exit(130) from problem
    return last[0].classifier


def _keep(model: "Classifier", plan: "Recipe", out: Path) -> str:
    """Write the best network of a training that did not end, never over one that did; say where it is."""
    from inspect_fer.models.checkpoint import read_card, save
    from inspect_fer.training.selection import best_epoch

    path, history = out.with_suffix(".best.safetensors"), model.card.history
    if path.is_file() and read_card(path).scores:
        return ""
    note = f"{model.card.note} Stopped after epoch {len(history)} of {plan.training.epochs}, not scored.".strip()
    save(replace(model, card=replace(model.card, note=note)), path, half=True)
    return f"The best network so far, of epoch {best_epoch(history, plan) + 1}, is in {path}."


def _epochs(plan: "Recipe", data: str, folder: Path, device: str, *, restart: bool) -> "Iterator[Epoch]":
    """Train with a progress bar, a line an epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from inspect_fer.training import train
    from inspect_fer.training.data import look_ahead, read_split
    from inspect_fer.training.distributed import is_first

    faces, select = (read_split(plan, data, role) for role in ("train", "select"))
    if restart or not (folder / "state.pt").is_file():
        look_ahead(plan, data)
    watch = read_split(plan, data, "test") if plan.data.watch_test else None
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, quiet=not is_first()), transient=True) as bar:
        task = bar.add_task("training", total=plan.training.epochs * len(faces), now="")
        finished = 0

        def step(done: int, of: int, loss: float, accuracy: float) -> None:
            bar.update(task, completed=finished * of + done, now=f"loss {loss:.3f}, accuracy {accuracy:.1%}")

        for epoch in train(plan, faces, select, folder, watch=watch, device=device, restart=restart, step=step):
            finished = epoch.number + 1
            bar.console.print(_line(epoch, plan.training.epochs), soft_wrap=True, highlight=False)
            yield epoch
        if finished < plan.training.epochs:
            bar.console.print(f"stopped: no better {plan.training.select_by} for {plan.training.patience} epochs")


def _line(epoch: "Epoch", of: int) -> str:
    entry = epoch.entry
    return (
        f"epoch {epoch.number + 1:>3}/{of}  loss {entry['loss']:.3f}  accuracy {entry['accuracy']:.1%}  "
        f"selection: loss {entry['select_loss']:.3f}  accuracy {entry['select_accuracy']:.2%}  "
        f"macro F1 {entry['select_macro_f1']:.3f}  {entry['seconds']:.0f} s{'  best' * epoch.best}"
    )


def scored(model: "Classifier", plan: "Recipe", data: str, device: str = "cpu") -> "tuple[Classifier, dict[str, Any]]":
    """Close a training with a progress bar; return the network and its scores on the test split, or the selection's."""
    from inspect_fer.datasets import DATASETS
    from inspect_fer.datasets.spec import split_spec
    from inspect_fer.training.data import read_split, readable, shared_roles
    from inspect_fer.training.finish import finished

    splits = {}
    for role in ("select", "test"):
        try:
            splits[role] = readable(read_split(plan, data, role))
        except DataError as problem:  # a split that is not there or damaged is no reason to lose the network
            typer.echo(f"not scored on the {role} split: {problem}", err=True)
    if not splits:
        raise DataError(f"{data} cannot be read any more. The training is kept; start again when it is back.")
    with progress() as track:
        model, scores = finished(model, plan, splits, device=device, track=track)
    kinds = "+".join(part.kind for part in split_spec(data, DATASETS))
    note = " ".join([model.card.note, *shared_roles(plan, data)])
    model = replace(model, card=replace(model.card, dataset=kinds, note=note))
    return model, next(scores[role] for role in ("test", "select", *scores) if role in scores)


def list_recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe's file, and those it builds on.")] = None,
) -> None:
    """List the recipes that come with the package, with the figures, in percent, that a source published."""
    from inspect_fer.training.recipes import readable_recipes, with_bases

    if name is not None:
        for path in with_bases(name):
            typer.echo(f"# {path.name}\n{path.read_text(encoding='utf-8').rstrip()}\n")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000
    rows = [("recipe", "network", "data", "published, in percent", "note")]
    for known, plan in readable_recipes().items():
        figures = plan.published.scores if plan.published else {}
        scores = ", ".join(f"{split} {score:g}" for split, score in figures.items())
        kinds = plan.data.kind.count("+") + 1
        data = f"{kinds} datasets" if kinds > 2 else plan.data.kind or "any"
        rows.append((known, plan.network.architecture, data, scores, plan.note))
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    for row in rows:
        cells = (f"{cell:<{wide}}  " for cell, wide in zip(row, widths, strict=False))
        typer.echo(f"{''.join(cells)}{row[-1]}"[:width].rstrip())
    typer.echo("\n`inspect-fer recipes NAME` shows one; docs/training.md says what the keys mean.")


def draw_curves(
    model: Annotated[str, typer.Argument(help="A published network's name, or a checkpoint file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write: .png, .svg or .pdf.")],
) -> None:
    """Draw a network's training curves: loss and accuracy on each split, and where fine-tuning began."""
    from inspect_fer.models.checkpoint import find_checkpoint, read_card
    from inspect_fer.render.figures import curves_figure

    card = read_card(find_checkpoint(model))
    if not card.history:
        raise CheckpointError(f"{model} carries no training history.")
    if out.suffix not in {".png", ".svg", ".pdf"}:
        raise ConfigError(f"Curves are drawn as .png, .svg or .pdf, not {out.name}.")
    curves_figure(card.history).savefig(out, dpi=200)
    typer.echo(str(out))


def import_network(
    weights: Annotated[Path, typer.Argument(help="A .pt or .pth state dict.")],
    card: Annotated[Path, typer.Option(help="The model card as JSON; docs/adding.md has an example.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint to write.")],
    *,
    force: Force = False,
) -> None:
    """Turn a foreign state dict and a model card into a checkpoint. The file is read without running any code."""
    from inspect_fer.models.checkpoint import load, save
    from inspect_fer.schema import ModelCard

    _require_suffix(out)
    _require_free(out, again=force, option="--force")
    try:
        values = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise CheckpointError(f"{card} cannot be read as a model card in JSON: {problem}.") from problem
    save(load(weights, card=ModelCard.from_dict(values)), out)
    typer.echo(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")
