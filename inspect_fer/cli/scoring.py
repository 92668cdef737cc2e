"""`score`."""

from pathlib import Path
from typing import Annotated

import typer

from inspect_fer.cli.terminal import Force, progress
from inspect_fer.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("score", epilog="inspect-fer score FOLDER --out scores.csv --model demo")(score_folder)


def score_folder(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures of faces.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV file to write.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A published network's name, or a checkpoint file.")
    ] = "baseline",
    digits: Annotated[
        int | None, typer.Option("--round", min=0, max=17, help="Decimals of a probability. [default: in full]")
    ] = None,
    *,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Take the folders below it as well.")
    ] = True,
    crop: Annotated[bool, typer.Option("--crop", help="Find the largest face in each picture.")] = False,
    force: Force = False,
) -> None:
    """Write what a network says of every picture in a folder: a row a picture, a column of probabilities a class.

    Networks trained on votes get a column of the emotions above their threshold as well.
    """
    from inspect_fer.files import aside, try_writing
    from inspect_fer.models.checkpoint import load
    from inspect_fer.scoring import pictures_in, score_files

    if out.is_dir() or (out.exists() and not force):
        raise ConfigError(f"{out} is there already. Name another file{'' if out.is_dir() else ', or use --force'}.")
    paths, network = pictures_in(folder, recursive=recursive), load(model)
    try_writing(out)  # said before the work, not after ten thousand pictures
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress() as track:
        scored = score_files(network, folder, paths, crop=crop, tick=track("scoring"))
    with aside(out) as part:
        scored.table(digits).to_csv(part, index=False, lineterminator="\n", errors="surrogateescape")
    for reason in scored.left_out.values():
        typer.echo(f"left out: {reason}", err=True)
    if scored.left_out:
        typer.echo(f"{len(scored.left_out):,} of {len(paths):,} pictures could not be scored.", err=True)
    found = scored.prediction
    typer.echo(f"{len(found):,} pictures, {len(found.class_names)} classes, network {Path(model).stem}: {out}")
