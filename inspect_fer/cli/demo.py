"""`demo`: two networks on synthetic faces, one of which cheats; everything that is shown is computed."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspect_fer.cli.showing import Port, require_port, serve
from inspect_fer.cli.terminal import progress

if TYPE_CHECKING:
    from inspect_fer.schema import Classifier, Explanation, Prediction, Run, Samples

FACES = "synthetic:280?seed=11&wrong_labels=0.06&watermark=happiness"
NETWORKS = {"demo": "demo", "demo-watermark": "demo_watermark"}
MARKED = "happiness"
CORNER = 16
"""Side of the corner in pixels: two cells of Grad-CAM, whose peak lies one cell inwards of the mark of 7 x 7."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("demo", epilog="inspect-fer demo --no-serve")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the runs.")] = Path("reports"),
    port: Port = 8501,
    *,
    serve_it: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the dashboard afterwards.")] = True,
) -> None:
    """See it all on synthetic faces: an honest network, one that cheats, planted wrong labels, reports, dashboard."""
    from inspect_fer.report import write_report
    from inspect_fer.runs import faces_of

    if serve_it:
        require_port(port)
    for folder, network in NETWORKS.items():
        run = _run(out / folder, network)
        faces = faces_of(run)
        _tell(network, run, faces)
        typer.echo(f"  report: {write_report(run, faces)}")
    if serve_it:
        serve(out / "demo", port)


def _run(folder: Path, network: str) -> "Run":
    """The run of a network, made now unless it was made before with the same weights."""
    from inspect_fer.datasets import samples_for
    from inspect_fer.errors import RunError
    from inspect_fer.models.checkpoint import fingerprint, load
    from inspect_fer.runs import make_run, open_run

    model = load(network)
    with suppress(RunError):  # not there yet, or damaged: it is made now
        run = open_run(folder)
        if run.manifest["model"]["sha256"] == fingerprint(model.network) and run.manifest["dataset"]["spec"] == FACES:
            return run
    with progress() as track:
        return make_run(
            folder,
            model,
            samples_for(model.card, FACES),
            ["grad-cam", "occlusion"],
            targets="all",
            command="inspect-fer demo",
            overwrite=True,
            track=track,
        )


def _tell(name: str, run: "Run", faces: "Samples") -> None:
    """Say what the run shows, in figures."""
    model_is = "honest" if name == "demo" else "cheats"
    typer.echo(f"\n{name} ({model_is}): accuracy {run.metrics['accuracy']:.1%} of {run.metrics['n']} synthetic faces")
    found, planted = found_wrong_labels(run.prediction, faces)
    typer.echo(f"  planted wrong labels among the {planted} most certain mistakes: {found}")
    for method, explanation in run.explanations.items():
        hits, chance = corner_hits(explanation, faces)
        typer.echo(
            f"  {method}: on {hits:.0%} of the marked faces the strongest evidence for {MARKED} lies in the {CORNER} x "
            f"{CORNER} pixels of the marked corner ({chance:.0%} by chance)"
        )


def found_wrong_labels(prediction: "Prediction", faces: "Samples") -> tuple[int, int]:
    """Of the P planted wrong labels, how many are among the P mistakes with the largest loss; and P."""
    planted = faces.labels != faces.truth["label"]
    count = int(planted.sum())
    return int(planted[prediction.loss.nan_to_num(0).topk(count).indices].sum()), count


def corner_hits(explanation: "Explanation", faces: "Samples", side: int = CORNER) -> tuple[float, float]:
    """Pointing game (Zhang et al., ECCV 2016, arXiv:1608.00507) over the marked faces.

    Returns the share of maps for the marked class whose peak lies in the bottom right corner, side x side pixels, and
    the corner's share of the area.
    """
    target = faces.class_names.index(MARKED)
    maps = explanation.upsampled()[:, target][faces.truth["watermark"]]
    height, width = maps.shape[1:]
    peak = maps.flatten(1).argmax(1)
    inside = (peak // width >= height - side) & (peak % width >= width - side)
    return float(inside.float().mean()), side * side / (height * width)


def accuracy_on_marked(model: "Classifier", watermark: str | None) -> float:
    """Accuracy on the unseen faces of the marked class, with the mark or the same faces without it."""
    from inspect_fer.datasets import samples
    from inspect_fer.predict import predict

    faces = samples("synthetic:1400", "test", watermark=watermark, watermark_share=1.0)
    chosen = faces[faces.labels == faces.class_names.index(MARKED)]
    return float((predict(model, chosen).predicted == chosen.labels).float().mean())
