"""`internals`."""

from pathlib import Path
from typing import Annotated

import typer

from inspect_fer.cli.terminal import Model, Split, progress
from inspect_fer.errors import ConfigError
from inspect_fer.lookup import lookup

What = Annotated[
    str,
    typer.Option(
        help="layers (a list), filters, weights, activations, contributions, gates, switched-off, exciting, "
        "concepts, visualise."
    ),
]
USES: dict[str, tuple[str, ...]] = {
    "layers": (),
    "filters": ("layer", "out"),
    "weights": ("layer", "out"),
    "activations": ("layer", "out"),
    "contributions": ("layer", "channels", "out"),
    "gates": ("out",),
    "switched-off": ("layer", "channels", "out"),
    "exciting": ("layer", "channels", "out"),
    "concepts": ("layer", "count", "out"),
    "visualise": ("layer", "channels", "out"),
}
"""Which of these options a view heeds."""

EXAMPLES = (
    "inspect-fer internals --model demo --what contributions --data synthetic:20",
    "inspect-fer internals --model demo --what concepts --data synthetic:60 --count 4",
)


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("internals", epilog="\n\n".join(EXAMPLES))(internals)


def internals(
    model: Model,
    what: What = "layers",
    layer: Annotated[
        str | None,
        typer.Option(help="Which layer; for activations, exciting and visualise also logits, before the softmax."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="KIND:PATH of the faces to look at.")] = None,
    split: Split = "test",
    sample: Annotated[int, typer.Option(min=0, help="Which of the faces, where one is looked at.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Search so many faces for exciting ones, or for concepts.")] = 1000,
    target: Annotated[
        str, typer.Option(help="Classes that channels contribute to: predicted, label, all, or one by name or id.")
    ] = "predicted",
    channels: Annotated[str | None, typer.Option(help="Which channels, such as 0,3,8-11.")] = None,
    count: Annotated[int | None, typer.Option(help="How many concepts, 2 to 64; 5 without it.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a feature visualisation.")] = 100,
    seed: Annotated[int, typer.Option(help="Where a feature visualisation begins.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A .png file; by default reports/internals/MODEL-WHAT.png.")
    ] = None,
) -> None:
    """Look inside a network: weights, activations, what channels do for classes, what excites them, concepts."""
    from inspect_fer.cli.inside import VIEWS, Asked, layer_table
    from inspect_fer.models.checkpoint import load
    from inspect_fer.render import png_bytes

    refuse_unused(what, layer=layer, channels=channels, count=count, out=out)
    file = out or Path("reports") / "internals" / f"{Path(model).stem}-{what}.png"
    if file.suffix.lower() != ".png":
        raise ConfigError(f"A picture is written as PNG; call it {file.with_suffix('.png')}.")
    if what == "layers":
        layer_table(load(model))
        return
    with progress() as track:
        asked = Asked(
            load(model),
            layer,
            data,
            split,
            sample,
            limit,
            target,
            channels,
            5 if count is None else count,
            steps,
            seed,
            track(what),
        )
        picture = png_bytes(VIEWS[what](asked))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture)
    typer.echo(str(file))


def refuse_unused(what: str, **given: object) -> None:
    """Raise ConfigError for an option that the view would pass over, UnknownNameError where there is no such view."""
    used = lookup(USES, what, "view")
    idle = [name for name, value in given.items() if value is not None and name not in used]
    if idle:
        able = [view for view, names in USES.items() if idle[0] in names]
        raise ConfigError(f"The view {what!r} takes no --{idle[0]}; these do: {', '.join(able)}.")
