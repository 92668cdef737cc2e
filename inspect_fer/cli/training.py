"""`train`, `recipes`, `import`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspect_fer.cli.terminal import Data, Force, print_scores, progress
from inspect_fer.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from inspect_fer.schema import Classifier
    from inspect_fer.training import Epoch, Recipe


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(
        "train", epilog="inspect-fer train --recipe baseline --data fer2013:fer2013.csv --out mine.safetensors"
    )(train_network)
    app.command("recipes", epilog="inspect-fer recipes")(list_recipes)
    app.command("import", epilog="inspect-fer import net.pth --card card.json --out net.safetensors")(import_network)


def train_network(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name, or a TOML file.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint to write.")],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    licence: Annotated[str, typer.Option(help="Put into the model card.")] = "",
    *,
    restart: Annotated[bool, typer.Option("--restart", help="Forget an earlier, unfinished training.")] = False,
) -> None:
    """Train a network, keep its best epoch, and report it on the test split.

    A training that was stopped goes on after its last whole epoch. State and log lie beside the checkpoint, in
    NAME.training. The best epoch is chosen on the selection split (PublicTest); the test split (PrivateTest) is used
    once, at the end.
    """
    from inspect_fer.models.checkpoint import save
    from inspect_fer.training import read_recipe

    _require_suffix(out)
    _require_free(out, again=out.with_suffix(".training").is_dir() or restart, option="--restart")
    plan = read_recipe(recipe)
    best = _train(plan, data, out.with_suffix(".training"), device, restart=restart)
    best, scores = _scored(_as_stored(best), data, plan.training.select_by)
    save(replace(best, card=replace(best.card, licence=licence)), out, half=True)
    print_scores(scores, "test split" if "test" in best.card.scores else "selection split")
    typer.echo(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")


def _require_suffix(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise CheckpointError(f"Checkpoints are .safetensors files; name --out {out.with_suffix('.safetensors')}.")


def _require_free(out: Path, *, again: bool, option: str) -> None:
    if out.exists() and not again:
        raise CheckpointError(f"{out} is there already. Name another --out, or replace it with {option}.")


def _train(plan: "Recipe", data: str, folder: Path, device: str, *, restart: bool) -> "Classifier":
    """Train with a progress bar, a line an epoch; return the best network."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from inspect_fer.datasets import samples
    from inspect_fer.training import train

    network = plan.network
    faces, select = (
        samples(data, split, size=network.size, channels=network.channels) for split in ("train", "select")
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=plan.training.epochs * len(faces), now="")
        finished = 0

        def step(done: int, of: int, loss: float, accuracy: float) -> None:
            bar.update(task, completed=finished * of + done, now=f"loss {loss:.3f}, accuracy {accuracy:.1%}")

        for epoch in train(plan, faces, select, folder, device=device, restart=restart, step=step):
            finished, best = epoch.number + 1, epoch.classifier
            bar.console.print(_line(epoch, plan.training.epochs), soft_wrap=True, highlight=False)
    return best


def _line(epoch: "Epoch", of: int) -> str:
    entry = epoch.entry
    return (
        f"epoch {epoch.number + 1:>3}/{of}  loss {entry['loss']:.3f}  accuracy {entry['accuracy']:.1%}  "
        f"selection: loss {entry['select_loss']:.3f}  accuracy {entry['select_accuracy']:.2%}  "
        f"macro F1 {entry['select_macro_f1']:.3f}  {entry['seconds']:.0f} s{'  best' * epoch.best}"
    )


def _as_stored(model: "Classifier") -> "Classifier":
    """Round the weights to half precision, so that what is scored is what is written."""
    for tensor in model.network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return model


def _scored(model: "Classifier", data: str, select_by: str) -> "tuple[Classifier, dict[str, Any]]":
    """Write the scores on the selection and the test split into the card; return the latter in full as well."""
    from datetime import date

    from inspect_fer.datasets import samples_for
    from inspect_fer.metrics import evaluate
    from inspect_fer.predict import predict

    scores = {}
    with progress() as track:
        for split in ("select", "test"):
            try:
                faces = samples_for(model.card, data, split)
            except DataError as problem:  # a dataset without this split is no reason to lose the network
                typer.echo(f"not scored on the {split} split: {problem}", err=True)
                continue
            answer = evaluate(predict(model, faces, tick=track(split)))
            if answer["n"]:
                found = scores[split] = answer
    kept = {
        split: {
            "n": found["n"],
            "accuracy": round(found["accuracy"], 5),
            "balanced_accuracy": round(found["balanced_accuracy"], 5),
            "macro_f1": round(found["averages"]["macro"]["f1"], 5),
        }
        for split, found in scores.items()
    }
    note = f"{model.card.note} Best epoch by {select_by} on the selection split.".strip()
    card = replace(model.card, scores=kept, dataset=data.partition(":")[0], date=date.today().isoformat(), note=note)
    return replace(model, card=card), found


def list_recipes() -> None:
    """List the recipes that come with the package."""
    from inspect_fer.training import read_recipe, recipe_paths

    for name in recipe_paths():
        typer.echo(f"{name:<18} {read_recipe(name).note}")


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
