"""How maps are asked for on the command line, what they are going to take, and what is said of them afterwards."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from inspect_fer.cli.terminal import counted, progress

if TYPE_CHECKING:
    from inspect_fer.errors import FerError
    from inspect_fer.explain.cost import Forecast
    from inspect_fer.schema import Classifier, Explanation, Run, Samples

Targets = Annotated[str, typer.Option(help="Classes to explain: predicted, label, all, or a class by name or id.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", help="What CAM methods read, by default what the network's card names; repeat to fuse."),
]
Fusion = Annotated[str, typer.Option(help="How the maps of several layers become one: mean, max or product.")]
Precision = Annotated[
    str,
    typer.Option(help="exact, or fast: half precision where the processor is faster at it; says how far it is off."),
]
Memory = Annotated[str, typer.Option(help="How much the tensors of the passes may take at a time, such as 512MB.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and do nothing.")]
ALL = "all"


@dataclass(frozen=True)
class Asked:
    """Methods and what `explain` is told with them; refused: what the network did not allow, where all were wanted."""

    methods: list[str]
    options: dict[str, Any]
    refused: dict[str, "FerError"] = field(default_factory=dict)

    @classmethod
    def of(cls, methods: Sequence[str], **options: Any) -> "Asked":
        """Take the command line at its word: "all" stands for every method that the network allows.

        Raises what `chosen` raises, before any work, and ConfigError for "all" beside others.
        """
        from inspect_fer.errors import ConfigError
        from inspect_fer.explain import METHODS, chosen

        wanted = [ALL if name.lower() == ALL else name for name in methods]
        if ALL in wanted and len(wanted) > 1:
            raise ConfigError("The method all stands alone: it is every method that the network allows.")
        if wanted != [ALL]:
            chosen(wanted)
            return cls(wanted, options)
        asked = cls(list(METHODS), options)
        asked.options["refuse"] = asked.refused.__setitem__
        return asked

    def forecast(self, model: "Classifier", faces: "Samples") -> None:
        """Print what it is going to take. Raises what the run would raise of a method, as far as a few images tell."""
        from inspect_fer.explain import forecast

        told = forecast(model, faces, self.methods, **self.options)
        if "refuse" not in self.options:
            for problem in told.refused.values():
                raise problem
        print_forecast(told)

    def run(self, folder: Path, model: "Classifier", faces: "Samples", **choices: Any) -> "Run":
        """Make the whole run; see `part`."""
        return cast("Run", self.part(folder, model, faces, **choices))

    def part(self, folder: Path, model: "Classifier", faces: "Samples", **choices: Any) -> "Run | None":
        """Make the run, or a share of it, with progress bars, and say on stderr what was gained and left out."""
        from inspect_fer.explain.incremental.gain import gain_in_words, measuring
        from inspect_fer.runs import make_part

        with progress() as track, measuring() as measured:
            run = make_part(folder, model, faces, self.methods, track=track, **choices, **self.options)
        if said := gain_in_words(measured):
            typer.echo(f"occlusion: {said}", err=True)
        for name, problem in self.refused.items():
            typer.echo(f"left out: {name}: {problem}", err=True)
        for name, problem in (run.manifest.get("unreadable", {}) if run else {}).items():
            typer.echo(f"not read: {name}: {problem}", err=True)
        return run


def print_forecast(forecast: "Forecast") -> None:
    """A table of what each method takes: passes an image, seconds and memory in all."""
    from rich.console import Console
    from rich.table import Table

    from inspect_fer.explain.budget import in_words
    from inspect_fer.explain.cost import in_time

    classes = f"{forecast.targets} classes" if forecast.targets > 1 else "1 class"
    images, about = counted(forecast.images, "image"), "about " if forecast.seconds >= 1 else ""
    each = " each" if forecast.images > 1 else ""
    table = Table("method", "forward passes", "backward passes", "seconds", "memory")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {"one pass for all": forecast.shared, **forecast.methods}
    for name, cost in rows.items():
        most = "up to " if cost.passes.at_most else ""
        passes = (f"{most}{cost.passes.forward:,.0f}", f"{cost.passes.backward:,.0f}")
        table.add_row(name, *passes, _seconds(cost.seconds), in_words(cost.bytes) if cost.bytes else "not known")
    console = Console()
    console.print(table)
    for name, cost in forecast.methods.items():
        if cost.note:
            console.print(f"{name}: {cost.note}", highlight=False, markup=False)
    for name, problem in forecast.refused.items():
        console.print(f"left out: {name}: {problem}", highlight=False, markup=False)
    memory = f", {in_words(forecast.bytes)} at a time" if forecast.bytes else ""
    console.print(
        f"{images}, {classes}{each}: {about}{in_time(forecast.seconds)}{memory}. Passes are for each image.",
        highlight=False,
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2f}" if seconds >= 0.01 else "< 0.01"


def print_worth(explanations: Mapping[str, "Explanation"]) -> None:
    """A line for each method of which there is something to be said; stored maps are read a shard at a time."""
    from inspect_fer.runs.store import StoredMaps

    for name in explanations:
        parts = explanations.parts(name) if isinstance(explanations, StoredMaps) else [explanations[name]]
        remarks = _remarks(parts)
        if remarks:
            typer.echo(f"{name}: {'; '.join(remarks)}")


def _remarks(parts: Iterable["Explanation"]) -> list[str]:
    count: Counter[str] = Counter()
    same: set[str] | None = None
    deviations = []
    for part in parts:
        for code, found in enumerate(part.health.flatten().long().bincount().tolist()):
            count[part.words(code)] += found
        same = set(part.same_as) if same is None else same & set(part.same_as)
        deviations += [] if part.deviation is None else [part.deviation]
    said = [f"{found} of {count.total()} maps: {remark}" for remark, found in count.most_common() if remark and found]
    if count["sign turned"]:
        said.append("there a negative logit turned what is for the class and against it, scale=magnitude keeps both")
    if same:
        said.append(f"the same maps, up to a factor, as {', '.join(sorted(same))}")
    if deviations:
        said.append(f"half precision is {max(deviations):.2%} off")
    return said
