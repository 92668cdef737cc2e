"""`evaluate`, `explain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.cli.asking import Asked, DryRun, Fusion, Layers, Memory, Precision, Targets, print_worth
from inspect_fer.cli.terminal import (
    Data,
    Force,
    Limit,
    Model,
    Split,
    counted,
    default_out,
    first,
    print_scores,
    progress,
    target_of,
)

if TYPE_CHECKING:
    from inspect_fer.schema import ModelCard, Samples


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("evaluate", epilog="inspect-fer evaluate --model demo --data synthetic:500")(evaluate_network)
    app.command("explain", epilog="inspect-fer explain --model demo --data synthetic:20 --method grad-cam")(
        explain_faces
    )


def evaluate_network(
    model: Model,
    data: Data,
    split: Split = "test",
    views: Annotated[
        str, typer.Option(help="single, flip (with the mirror image) or ten-crop; their answers are averaged.")
    ] = "single",
    limit: Limit = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print every score as JSON.")] = False,
) -> None:
    """Score a network on a split of a dataset, with the majority-class baseline beside every figure."""
    from inspect_fer.datasets import samples_for
    from inspect_fer.metrics import evaluate
    from inspect_fer.models.checkpoint import load
    from inspect_fer.predict import predict

    network = load(model)
    faces = first(samples_for(network.card, data, split, whole=True), limit)
    with progress() as track:
        scores = evaluate(predict(network, faces, views=views, tick=track("predicting")))
    if as_json:
        typer.echo(json.dumps(scores, indent=1))
    else:
        seen = "" if views == "single" else f", {views}"
        print_scores(scores, f"{Path(model).stem} on {data.partition(':')[0]}, {split}{seen}")


def explain_faces(
    model: Model,
    files: Annotated[list[Path] | None, typer.Argument(help="Pictures of faces, instead of --data.")] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="KIND:PATH of a dataset.")] = None,
    split: Split = "test",
    limit: Annotated[int, typer.Option(min=1, help="Explain so many samples.")] = 20,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Repeat for several; all for every one; options as in occlusion?window=4. [default: grad-cam]"
        ),
    ] = None,
    targets: Targets = "predicted",
    layer: Layers = None,
    fusion: Fusion = "mean",
    precision: Precision = "exact",
    memory: Memory = "1GB",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="By default reports/explain-MODEL, replaced each time.")
    ] = None,
    *,
    crop: Annotated[bool, typer.Option("--crop", help="Find the largest face in each picture file.")] = False,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Explain a few faces: a run folder with a picture of the maps for each method in it."""
    from inspect_fer.models.checkpoint import load
    from inspect_fer.render import overlay

    network = load(model)
    faces = first(_faces(network.card, data, split, files, crop=crop), limit)
    folder = out or default_out("explain", model)
    target = target_of(targets, network.card.class_names)
    asked = Asked.of(
        method or ["grad-cam"], targets=target, layer=layer, fusion=fusion, precision=precision, memory=memory
    )
    if dry_run:
        asked.forecast(network, faces)
        return
    run = asked.run(folder, network, faces, overwrite=force or out is None, every_class=True)
    for name, explanation in run.explanations.items():
        picture = run.folder / f"{name}.png"
        overlay(faces, explanation).save(picture)
        typer.echo(str(picture))
    print_worth(run.explanations)
    typer.echo(f"{counted(len(run), 'face')} in {run.folder}. See them: inspect-fer dashboard {run.folder}")


def _faces(card: "ModelCard", data: str | None, split: str, files: list[Path] | None, *, crop: bool) -> "Samples":
    from inspect_fer.datasets import labelled_as, load_files, samples_for
    from inspect_fer.errors import DataError
    from inspect_fer.faces import load_photos

    if (data is None) == (not files):
        raise DataError("Name either picture files or a dataset with --data.")
    if data is not None:
        return samples_for(card, data, split)
    channels, size, _ = card.input_size
    read = load_photos if crop else load_files
    return labelled_as(read(files or [], size=size, channels=channels), card.class_names)
