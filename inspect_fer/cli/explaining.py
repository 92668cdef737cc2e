"""`evaluate`, `explain`, `run`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.cli.terminal import (
    Data,
    Force,
    Limit,
    Model,
    Split,
    default_out,
    first,
    print_scores,
    progress,
    target_of,
)

if TYPE_CHECKING:
    from inspect_fer.schema import ModelCard, Samples

Targets = Annotated[str, typer.Option(help="Classes to explain: predicted, label, all, or a class by name or id.")]
Layer = Annotated[str | None, typer.Option(help="What CAM methods read; by default what the network's card names.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("evaluate", epilog="inspect-fer evaluate --model demo --data synthetic:500")(evaluate_network)
    app.command("explain", epilog="inspect-fer explain --model demo --data synthetic:20 --method grad-cam")(
        explain_faces
    )
    app.command(
        "run", epilog="inspect-fer run --model demo --data synthetic:500 --methods grad-cam --out reports/first"
    )(run_dataset)


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
    method: Annotated[list[str] | None, typer.Option(help="Repeat for several; grad-cam by default.")] = None,
    targets: Targets = "predicted",
    layer: Layer = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="By default reports/explain-MODEL, replaced each time.")
    ] = None,
    *,
    crop: Annotated[bool, typer.Option("--crop", help="Find the largest face in each picture file.")] = False,
    force: Force = False,
) -> None:
    """Explain a few faces: a run folder with a picture of the maps for each method in it."""
    from inspect_fer.models.checkpoint import load
    from inspect_fer.render import overlay
    from inspect_fer.runs import make_run

    network = load(model)
    faces = first(_faces(network.card, data, split, files, crop=crop), limit)
    folder = out or default_out("explain", model)
    with progress() as track:
        run = make_run(
            folder,
            network,
            faces,
            method or ["grad-cam"],
            targets=target_of(targets, network.card.class_names),
            layer=layer,
            overwrite=force or out is None,
            track=track,
        )
    for name, explanation in run.explanations.items():
        picture = run.folder / f"{name}.png"
        overlay(faces, explanation).save(picture)
        typer.echo(str(picture))
    typer.echo(f"{len(run)} faces in {run.folder}. See them: inspect-fer dashboard {run.folder}")


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


def run_dataset(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")],
    methods: Annotated[str, typer.Option(help="Methods, with commas between.")] = "grad-cam",
    split: Split = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Explain only so many; all are predicted.")] = None,
    targets: Targets = "predicted",
    layer: Layer = None,
    *,
    force: Force = False,
) -> None:
    """Evaluate and explain a split of a dataset into one run folder."""
    from inspect_fer.datasets import samples_for
    from inspect_fer.models.checkpoint import load
    from inspect_fer.runs import make_run

    network = load(model)
    faces = samples_for(network.card, data, split)
    chosen = [name.strip() for name in methods.split(",") if name.strip()]
    with progress() as track:
        run = make_run(
            out,
            network,
            faces,
            chosen,
            targets=target_of(targets, network.card.class_names),
            layer=layer,
            limit=limit,
            overwrite=force,
            track=track,
        )
    print_scores(dict(run.metrics), f"{Path(model).stem} on {data.partition(':')[0]}, {split}")
    typer.echo(f"{len(run)} faces, {len(chosen)} methods: {run.folder}")
