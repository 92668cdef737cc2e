"""The experiments of the source reports: recipes with what was printed for them, and the data that they need."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from inspect_fer.datasets import DATASETS
from inspect_fer.datasets.spec import Part, split_spec
from inspect_fer.errors import ConfigError, RunError
from inspect_fer.lookup import lookup
from inspect_fer.training.config import Published, Recipe
from inspect_fer.training.log import write_aside
from inspect_fer.training.recipes import readable_recipes

SOURCES = {
    "000": "LeNet, ResNet-18 and 34 and MobileNetV2 on FER2013 and FER+",
    "001": "a Keras CNN, and MobileNetV2 from ImageNet weights",
    "002": "a LeNet-like CNN, also on equal classes",
    "003": "a preliminary report, and GiMeFive (arXiv:2402.15662)",
    "004": "three small CNNs",
    "khaireddin-chen": "the paper that 001 builds on (arXiv:2105.03588)",
    "ferplus": "the paper that gave FER+ its votes (arXiv:1608.01041)",
}

SHOWN = (
    *(
        "recipe",
        "state",
        "published",
        "accuracy",
        "views",
        "accuracy_views",
        "exact_set",
        "n",
        "split",
        "select_accuracy",
    ),
    *("protocol", "ours", "mistake", "says"),
)
"""The columns of reproduce.md; reproduce.csv has all."""


@dataclass(frozen=True)
class Experiment:
    """A recipe of a source, by its name."""

    name: str
    recipe: Recipe
    published: Published

    @property
    def printed(self) -> str:
        """The figures of the source, in percent."""
        return ", ".join(f"{split} {score:g}" for split, score in self.published.scores.items())

    @property
    def ours(self) -> str:
        """How we measure, in one sentence."""
        plan, options = self.recipe.data, self.recipe.training
        learnt = [split for split in (plan.select, plan.test) if plan.train == "all" or split in plan.train.split("+")]
        apart = ", ".join(f"{name}={value}" for name, value in plan.scoring.items())
        return (
            f"Best of {options.epochs} epochs by {options.select_by} on {plan.select}, measured on {plan.test}"
            + (f" ({apart})" if apart else "")
            + (f"; {' and '.join(learnt)} {'were' if len(learnt) > 1 else 'was'} learnt from too." if learnt else ".")
        )

    def missing(self, parts: Mapping[str, Part]) -> list[str]:
        """The kinds of datasets that it needs and that are not among the parts."""
        return [kind for kind in self.recipe.data.kind.split("+") if kind not in parts]

    def spec(self, parts: Mapping[str, Part]) -> str:
        """The name of its data, put together from the parts."""
        return "+".join(str(parts[kind]) for kind in self.recipe.data.kind.split("+"))

    def trained_like(self, other: "Experiment") -> bool:
        """Whether a training of the other is a training of this one."""
        ours, theirs = (replace(each.recipe, note="", published=None) for each in (self, other))
        return ours == theirs


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment.

    says: which data are missing, or what went wrong
    scores: n, accuracy, macro_f1 and for sigmoid outputs exact_set, of "select" and "test" in the recipe's views; where
        these are not "single", of "test, single" as well
    """

    experiment: Experiment
    state: Literal["not run", "trained", "evaluated", "no data", "no checkpoint", "failed"]
    says: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float = 0.0

    def row(self) -> dict[str, str]:
        """Everything as words, scores in percent; accuracy and n are of the test split."""
        each, views = self.experiment, self.experiment.recipe.training.views
        test, chosen = self.scores.get("test", {}), self.scores.get("select", {})
        single = self.scores.get("test, single", test)
        return {
            "recipe": each.name,
            "source": each.published.source,
            "item": each.published.item,
            "network": each.recipe.network.architecture,
            "data": each.recipe.data.kind,
            "state": self.state,
            "published": each.printed,
            "split": each.recipe.data.test,
            "n": f"{test['n']:.0f}" if test else "",
            "accuracy": _percent(single.get("accuracy")),
            "views": views,
            "accuracy_views": _percent(test.get("accuracy")),
            "macro_f1": _percent(test.get("macro_f1")),
            "exact_set": _percent(test.get("exact_set")),
            "select_accuracy": _percent(chosen.get("accuracy")),
            "protocol": each.published.protocol,
            "ours": each.ours,
            "mistake": each.published.mistake,
            "says": self.says,
        }


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def experiments(source: str = "all", only: Iterable[str] = ()) -> list[Experiment]:
    """The experiments of a source, or of "all"; only some of them, by name, where asked. Raises UnknownNameError."""
    lookup({**SOURCES, "all": ""}, source, "source")
    recipes = readable_recipes()
    found = [Experiment(name, recipe, recipe.published) for name, recipe in recipes.items() if recipe.published]
    known = {each.name: each for each in found if source in {"all", each.published.source}}
    return [lookup(known, name, "experiment") for name in only] or list(known.values())


def parts_of(data: Iterable[str]) -> dict[str, Part]:
    """Where each kind of dataset lies, from names such as "fer2013:fer2013.csv".

    Raises DataError, UnknownNameError, or ConfigError where a kind is named twice.
    """
    parts = [part for spec in data for part in split_spec(spec, DATASETS)]
    found: dict[str, Part] = {}
    for part in parts:
        lookup(DATASETS, part.kind, "dataset")
        if part.kind in found:
            raise ConfigError(f"Name each kind of dataset once; {part.kind} is {found[part.kind]} and {part}.")
        found[part.kind] = part
    return found


def make_folder(folder: Path) -> None:
    """Make a folder for results where there is none. Raises RunError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder} cannot be made a folder: {problem.strerror}. Name another --out.") from problem


def write_tables(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write reproduce.csv and reproduce.md. Raises RunError where they cannot be written."""
    make_folder(folder)
    rows = [outcome.row() for outcome in outcomes]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_aside(folder / "reproduce.csv", text.getvalue().encode())
    write_aside(folder / "reproduce.md", markdown(SHOWN, rows).encode())


def markdown(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *([row[name].replace("|", "\\|") for name in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def recipes_page() -> str:
    """The page recipes/README.md, which lists all recipes that come with the package."""
    printed = {each.name: each for each in experiments()}
    own = [
        {"recipe": name, "network": recipe.network.architecture, "data": recipe.data.kind or "any", "note": recipe.note}
        for name, recipe in readable_recipes().items()
        if name not in printed
    ]
    theirs = [Outcome(each, "not run").row() for each in printed.values()]
    return PAGE.format(
        own=markdown(("recipe", "network", "data", "note"), own),
        theirs=markdown(("recipe", "network", "data", "published", "mistake"), theirs),
    )


PAGE = """# Recipes

One TOML file an experiment: `inspect-fer train --recipe NAME --data KIND:PATH --out FILE.safetensors`. A file with
`base = "NAME"` holds what differs from that recipe; the files in `common/` are bases only. `inspect-fer recipes NAME`
prints one.

## Ours

One for each network, on FER2013 or any other dataset.

{own}
## The sources'

What was printed, in percent by the source's own name of the split, and what is wrong with it. The recipes do it right:
they choose the epoch on a selection split and report another. `inspect-fer reproduce` trains them and sets our figures
beside; how each figure was measured stands in the recipe, at `protocol`.

{theirs}"""
