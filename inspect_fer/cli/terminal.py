"""What commands share: progress bars, tables, options."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspect_fer.emotions import relabelling
from inspect_fer.errors import TargetError
from inspect_fer.lookup import no_such_name

if TYPE_CHECKING:
    from inspect_fer.schema import Samples, Tick

Model = Annotated[str, typer.Option("--model", "-m", help="A published network's name, or a checkpoint file.")]
Data = Annotated[str, typer.Option("--data", "-d", help="KIND:PATH, such as fer2013:fer2013.csv or synthetic:500.")]
Split = Annotated[str, typer.Option(help="train, select, test, all, or one of the dataset's own names.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take only so many samples.")]


@contextmanager
def progress() -> Iterator[Callable[[str], "Tick"]]:
    """Show progress bars on stderr; gives a function that starts one and returns its tick(done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def track(name: str) -> "Tick":
            task = bars.add_task(name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield track


def counted(number: int, thing: str) -> str:
    """A number of things in words: "1 face", "1,200 faces"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def first(faces: "Samples", limit: int | None) -> "Samples":
    """The first `limit` samples, all of them without one."""
    return faces if limit is None else faces[:limit]


def target_of(words: str, class_names: tuple[str, ...]) -> Any:
    """`--targets`: predicted, label, all, the id of a class, or its name."""
    if words in {"predicted", "label", "all"}:
        return words
    if re.fullmatch(r"-?\d+", words):
        return int(words)
    (target,) = relabelling([words], class_names)
    if target < 0:
        raise TargetError(no_such_name(words, ["predicted", "label", "all", *class_names], "target"))
    return target


def print_scores(scores: dict[str, Any], title: str) -> None:
    """Print the scores of a prediction as a table, the majority-class baseline beside."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console, baseline = Console(), scores["baseline"]
    if not scores["n"]:
        console.print(f"{title}: {counted(scores['unlabelled'], 'face')} without a known label, nothing to score.")
        return
    macro = scores["averages"]["macro"]
    console.print(
        f"[bold]{title}[/]: accuracy [bold]{scores['accuracy']:.2%}[/] of {counted(scores['n'], 'face')} "
        f"(always {baseline['class']}: {baseline['accuracy']:.2%}), balanced accuracy "
        f"{scores['balanced_accuracy']:.2%} ({baseline['balanced_accuracy']:.2%}), macro F1 {macro['f1']:.3f} "
        f"({baseline['macro_f1']:.3f}), top-2 {scores['top2']:.2%}, calibration error {scores['ece']:.3f}"
    )
    table = Table("class", *(("precision", "recall", "F1", "support")))
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {**scores["per_class"], **{f"{name} average": row for name, row in scores["averages"].items()}}
    for name, row in rows.items():
        values = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(escape(name), *values, f"{row['support']:,}" if "support" in row else "")
    console.print(table)
    if "sets" in scores and scores["sets"]["n"]:
        console.print(f"Sets above the threshold: {scores['sets']['exact_set']:.2%} exactly right.")


def default_out(kind: str, model: str) -> Path:
    """Where a run goes when no --out is given."""
    return Path("reports") / f"{kind}-{Path(model).stem}"
