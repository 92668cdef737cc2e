"""From a name to the thing it stands for."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar
from urllib.parse import parse_qsl

from inspect_fer.errors import UnknownNameError

Thing = TypeVar("Thing")

MOST = 40
"""So many choices are named, no more."""


def lookup(table: Mapping[str, Thing], name: str, kind: str) -> Thing:
    """Return `table[name]`. Raises UnknownNameError with the nearest name and every choice."""
    if isinstance(name, str) and name in table:
        return table[name]
    raise UnknownNameError(no_such_name(name, table, kind))


def options_in(query: str) -> list[tuple[str, str]]:
    """OPTION=VALUE&... as pairs; unlike in an address, + stands for itself, as names, splits and numbers hold it."""
    return parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)


def no_such_name(name: object, names: Iterable[str], kind: str) -> str:
    """Say that no `kind` is called `name`, which one is nearest, and what there is; of many, the first ones."""
    choices = list(names)
    near = _nearest(name, choices) if isinstance(name, str) else None
    hint = f" Did you mean {near!r}?" if near else ""
    more = f" and {len(choices) - MOST} more" if len(choices) > MOST else ""
    return f"No {kind} is called {name!r}.{hint} Choose from: {', '.join(choices[:MOST])}{more}."


def _nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that begins as the name does, else the most similar, else one that ends so; capitals do not count."""
    plain = {choice.lower(): choice for choice in choices}
    said = name.strip().lower()
    begun, ended = ([word for word in plain if said and part(word, said)] for part in (str.startswith, str.endswith))
    near = begun or get_close_matches(said, plain, n=1) or ended
    return plain[near[0]] if near else None
