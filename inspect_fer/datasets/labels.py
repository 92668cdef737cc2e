"""Labels of one dataset in the class order of another, of a network, or in a view of the emotions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from inspect_fer.emotions import CANONICAL, VIEWS, canonical, regrouping, relabelling
from inspect_fer.errors import DataError, SplitError
from inspect_fer.lookup import lookup, no_such_name
from inspect_fer.schema import Samples


def labelled_as(samples: Samples, class_names: tuple[str, ...]) -> Samples:
    """Number the labels by `class_names`, matched by canonical emotion name; a class missing there becomes -1.

    Votes and planted truth move along. Raises DataError when no class is common to both, naming the view that would
    help.
    """
    if class_names == samples.class_names:
        return samples
    table = relabelling(samples.class_names, class_names)
    if samples.class_names and max(table) < 0:  # pictures without class folders have no names
        asked, held = ", ".join(class_names), ", ".join(samples.class_names)
        raise DataError(
            f"The classes asked for are {asked}; the dataset holds {held}: no class in common."
            + _view_of(class_names, samples.class_names)
        )
    return _renumbered(samples, table, class_names)


def viewed(samples: Samples, classes: str | Sequence[str]) -> Samples:
    """Keep the rows of some classes, under the names and ids of a view.

    classes: a name in VIEWS, or class names in the order that their ids shall have, as a list or joined by commas

    The label decides which class of the view a row belongs to; rows of other classes are dropped and counted,
    unlabelled rows stay. Votes for classes of the view are added up and scaled to one. Raises DataError for an unknown
    class or where no row is left, UnknownNameError for an unknown view.
    """
    view = _view(classes)
    _require_known((name for members in view.values() for name in members), samples.class_names)
    table = regrouping(samples.class_names, view)
    ids = torch.tensor([*table, 0])  # the last entry keeps -1
    few = samples[(ids[samples.labels] >= 0).nonzero().flatten()]
    if not len(few):
        held = ", ".join(name for name, count in samples.counts().items() if count) or "nothing"
        raise SplitError(f"None of the classes {', '.join(view)} is among these samples; they show {held}.")
    counts = samples.counts()
    gone = {
        f"{name}: not one of the classes asked for": counts[name]
        for name, index in zip(samples.class_names, table, strict=True)
        if index < 0 and counts[name]
    }
    seen = _renumbered(few, table, tuple(view))
    votes = None if seen.votes is None else seen.votes / seen.votes.sum(1, keepdim=True).clamp(min=1e-12)
    return replace(seen, votes=votes, dropped={**samples.dropped, **gone})


def names_in_view(classes: str | Sequence[str]) -> tuple[str, ...]:
    """The class names of a view, in the order of their ids."""
    return tuple(_view(classes))


def _view_of(asked: Sequence[str], held: Sequence[str]) -> str:
    """Advice to read the dataset in a view, where a view of what it holds has the classes asked for; else ""."""
    for name, view in VIEWS.items():
        if set(map(canonical, asked)) == set(view) and max(regrouping(held, view)) >= 0:
            return f" They are those of the view {name}: read the dataset with ?classes={name} behind its name."
    return ""


def _view(classes: str | Sequence[str]) -> Mapping[str, Sequence[str]]:
    names = classes.split(",") if isinstance(classes, str) else list(classes)
    if len(names) == 1:
        return lookup(VIEWS, names[0], "view of the classes")
    found = {canonical(name): (canonical(name),) for name in names}
    if len(found) < len(names):
        raise DataError(f"Classes are named once each, not {', '.join(names)}.")
    return found


def _require_known(classes: Iterable[str], held: Iterable[str]) -> None:
    """A view may name classes that a dataset lacks, but no others than emotions and the dataset's own."""
    known = dict.fromkeys([*CANONICAL, *map(canonical, held)])
    strange = next((name for name in classes if name not in known), None)
    if strange is not None:
        raise DataError(no_such_name(strange, known, "class"))


def _renumbered(samples: Samples, table: Sequence[int], class_names: tuple[str, ...]) -> Samples:
    """Give labels, votes and planted truth other ids: `table` holds one for each class of the samples, -1 for none."""
    ids = torch.tensor([*table, -1])  # the last entry keeps -1 as it is
    votes, truth = samples.votes, dict(samples.truth)
    if votes is not None:
        known = ids[:-1] >= 0
        votes = torch.zeros(len(samples), len(class_names)).index_add(1, ids[:-1][known], votes[:, known])
    if "label" in truth:
        truth["label"] = ids[truth["label"]]
    return replace(samples, labels=ids[samples.labels], class_names=class_names, votes=votes, truth=truth)
