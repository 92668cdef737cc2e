"""How a dataset is named: KIND:PATH?OPTION=VALUE&..., several of them joined by "+" (grammar: docs/datasets.md)."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from inspect_fer.datasets.splits import FER2013_SPLITS, OTHER_NAMES, ROLES, WHOLE_TRAIN
from inspect_fer.errors import ConfigError, DataError
from inspect_fer.lookup import no_such_name
from inspect_fer.schema import Samples

Load = Callable[..., Samples]

SHARED: dict[str, Any] = {"size": int, "channels": int, "classes": str | Sequence[str], **dict.fromkeys(ROLES, str)}
"""The options of every dataset, beside its own."""

OF_THE_WHOLE = ("size", "channels", "classes")
"""Written behind the last of several datasets, these hold for all."""

NO_PART = "none"
YES_OR_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class Part(NamedTuple):
    """One dataset of a name: KIND:PLACE?QUERY. The place is a folder or file, a number for synthetic."""

    kind: str
    place: Path | int
    query: str

    def __str__(self) -> str:
        """Write it as it can be read from any folder."""
        return f"{self.kind}:{self.place}" + (f"?{self.query}" if self.query else "")


def split_spec(spec: str, kinds: Collection[str]) -> list[Part]:
    """Take a name apart, at each "+" that a kind and a colon follow. Raises DataError where it is none."""
    known = "|".join(map(re.escape, kinds))
    return [_part(text) for text in re.split(rf"\+(?=(?:{known}):)", spec)]


def _part(text: str) -> Part:
    kind, colon, rest = text.partition(":")
    where, _, query = rest.partition("?")
    if not colon or not where:
        raise DataError(f"A dataset is named KIND:PATH, such as fer2013:fer2013.csv or synthetic:500, not {text!r}.")
    if kind != "synthetic":
        return Part(kind, Path(where).expanduser().absolute(), query)
    if not where.isdecimal():
        raise DataError(f"synthetic:N draws N faces; {where!r} is not a number.")
    return Part(kind, int(where), query)


def own_options(load: Load) -> dict[str, Any]:
    """The options that a loader takes, with their types."""
    parameters, types = inspect.signature(load).parameters.values(), get_type_hints(load)
    return {
        parameter.name: types[parameter.name] for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    }


def no_option(name: str, known: Iterable[str], kind: str) -> ConfigError:
    """Say that a dataset of this kind has no such option."""
    return ConfigError(no_such_name(name, dict.fromkeys(known), f"option of {kind}"))


def written(part: Part, known: Mapping[str, Any]) -> dict[str, Any]:
    """The options behind a dataset's name, as what it takes: a number, yes or no, a word, words with commas."""
    found = {}
    for name, text in parse_qsl(part.query.replace("+", "%2B"), keep_blank_values=True):
        if name not in known:
            raise no_option(name, known, part.kind)
        try:
            found[name] = _value(text, known[name])
        except (ValueError, KeyError) as problem:
            kinds = "yes or no" if isinstance(problem, KeyError) else "a number"
            raise ConfigError(f"The option {name} of {part.kind} is {kinds}, not {text!r}.") from problem
    return found


def _value(text: str, wanted: Any) -> int | float | str | list[str]:
    parts = {wanted, *get_args(wanted)}
    if bool in parts:
        return YES_OR_NO[text.lower()]
    if int in parts:
        return int(text)
    if float in parts:
        return float(text)
    several = any(get_origin(part) is Sequence for part in parts) and (str not in parts or "," in text)
    return text.split(",") if several else text


def cast(split: str, chosen: Mapping[str, Any], kind: str) -> str | None:
    """Which of a dataset's own splits play what is asked for, where `chosen` gives "train" and so on to others.

    Returns None where the dataset takes no part. Raises ConfigError where it would be trained on and chosen or
    reported on with the same rows.
    """
    roles = {role: str(chosen[role]) for role in ROLES if role in chosen}
    played = {role: _covered(roles.get(role, role)) for role in ROLES}
    shared = played["train"] & (played["select"] | played["test"])
    if roles and shared:
        role = next(role for role in ("select", "test") if played["train"] & played[role])
        said = "&".join(f"{name}={value}" for name, value in roles.items())
        raise ConfigError(
            f"With {said} the splits train and {role} of {kind} share rows ({', '.join(sorted(shared))}). Give each "
            f"other rows, or {role}={NO_PART}."
        )
    names = [roles.get(OTHER_NAMES.get(name.lower(), name), name) for name in split.split("+")]
    return "+".join(name for name in names if name != NO_PART) or None


def _covered(splits: str) -> set[str]:
    """Which thirds of a dataset these splits hold: roles, as far as their names tell."""
    groups = {"all": set(ROLES), NO_PART: set[str](), **{name: set(held) for name, held in WHOLE_TRAIN.items()}}
    groups |= {name: {role} for name, role in zip(FER2013_SPLITS, ROLES, strict=True)}
    names = (OTHER_NAMES.get(name.lower(), name) for name in splits.split("+"))
    return {role for name in names for role in groups.get(name, {name})}
