"""From a name to the thing it stands for."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from inspect_fer.errors import UnknownNameError

Thing = TypeVar("Thing")


def lookup(table: Mapping[str, Thing], name: str, kind: str) -> Thing:
    """Return `table[name]`. Raises UnknownNameError with the nearest name and every choice."""
    if name in table:
        return table[name]
    raise UnknownNameError(no_such_name(name, table, kind))


def no_such_name(name: str, names: Iterable[str], kind: str) -> str:
    """Say that no `kind` is called `name`, which one is nearest, and what there is."""
    choices = list(names)
    near = get_close_matches(name, choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"No {kind} is called {name!r}.{hint} Choose from: {', '.join(choices)}."
