"""How a dataset is named: KIND:PATH?OPTION=VALUE&..., several of them joined by "+" (grammar: docs/datasets.md)."""

import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

from inspect_fer.datasets.splits import FER2013_SPLITS, OTHER_NAMES, ROLES, WHOLE_TRAIN
from inspect_fer.errors import ConfigError, DataError, UnknownNameError
from inspect_fer.lookup import no_such_name, options_in
from inspect_fer.schema import Samples

Load = Callable[..., Samples]

SHARED: dict[str, Any] = {"size": int, "channels": int, "classes": str | Sequence[str], **dict.fromkeys(ROLES, str)}
"""The options of every dataset, beside its own."""

OF_THE_WHOLE = ("size", "channels", "classes")
"""Written behind the last of several datasets, these hold for all."""

NO_PART = "none"
WORDS = {int: "a whole number", float: "a number", bool: "yes or no", str: "a word", Sequence[str]: "a list of words"}
"""What the values of options are called."""

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
    """Take a name apart, at each "+" that a kind and a colon follow.

    Raises DataError where it is none, UnknownNameError where a word much like a kind follows the "+".
    """
    known = "|".join(map(re.escape, kinds))
    return [_part(text, kinds) for text in re.split(rf"\+(?=(?:{known}):)", spec)]


def _part(text: str, kinds: Collection[str]) -> Part:
    kind, colon, rest = text.partition(":")
    where, _, query = rest.partition("?")
    if not colon or not where:
        raise DataError(f"A dataset is named KIND:PATH, such as fer2013:fer2013.csv or synthetic:500, not {text!r}.")
    typo = _typo(query, kinds) or _typo(where, kinds)
    if typo and (typo in query or not Path(where).expanduser().exists()):
        raise UnknownNameError(no_such_name(typo, kinds, "dataset"))
    if kind != "synthetic":
        return Part(kind, Path(where).expanduser().absolute(), query)
    if not where.isdecimal():
        raise DataError(f"synthetic:N draws N faces; {where!r} is not a number.")
    return Part(kind, int(where), query)


def _typo(text: str, kinds: Collection[str]) -> str:
    """The first word between a "+" and a colon that is nearly a kind, or ""."""
    return next((word for word in re.findall(r"\+(\w+):", text) if get_close_matches(word.lower(), kinds, n=1)), "")


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
    for name, text in options_in(part.query):
        if name not in known:
            raise no_option(name, known, part.kind)
        found[name] = required(name, _value(text, _kinds(known[name])), known[name], part.kind)
    return found


def required(name: str, value: Any, wanted: Any, kind: str) -> Any:
    """The value as it is. Raises ConfigError where a dataset of this kind takes another type for the option."""
    kinds = _kinds(wanted)
    if not any(_is(value, each) for each in kinds):
        said = " or ".join(WORDS[each] for each in WORDS if each in kinds)
        raise ConfigError(f"The option {name} of {kind} is {said}, not {value!r}.")
    return value


def _kinds(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)


def _is(value: Any, kind: Any) -> bool:
    if kind == Sequence[str]:
        return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)
    if kind in {int, float}:
        finite = isinstance(value, Integral) or (kind is float and isinstance(value, Real) and math.isfinite(value))
        return finite and not isinstance(value, bool)
    return isinstance(value, kind)


def _value(text: str, kinds: Collection[Any]) -> Any:
    """What a text means where one of these types is wanted; the text itself where it is none of them."""
    if bool in kinds:
        return YES_OR_NO.get(text.lower(), text)
    number = next((kind for kind in (int, float) if kind in kinds), None)
    if number is not None:
        try:
            return number(text)
        except ValueError:
            return text
    several = Sequence[str] in kinds and (str not in kinds or "," in text)
    return text.split(",") if several else text


def played(split: str, chosen: Mapping[str, Any]) -> str | None:
    """Which of a dataset's own splits play what is asked for, where `chosen` gives "train" and so on to others.

    Returns None where the dataset takes no part.
    """
    names = [chosen.get(OTHER_NAMES.get(name.lower(), name), name) for name in split.split("+")]
    return "+".join(name for name in names if name != NO_PART) or None


def require_apart(chosen: Mapping[str, Any], kind: str) -> None:
    """Raise ConfigError where roles are given to splits so that a role shares rows with what is trained on."""
    given = {role: chosen[role] for role in ROLES if role in chosen}
    roles = {role: given.get(role, role) for role in ROLES}
    shared = overlap(roles["train"], f"{roles['select']}+{roles['test']}")
    if given and shared:
        role = next(role for role in ("select", "test") if overlap(roles["train"], roles[role]))
        said = "&".join(f"{name}={value}" for name, value in given.items())
        raise ConfigError(
            f"With {said} the splits train and {role} of {kind} share rows ({', '.join(shared)}). Give each other "
            f"rows, or {role}={NO_PART}."
        )


def overlap(splits: str, others: str) -> list[str]:
    """Which thirds of a dataset, as roles, are held both by these splits and by the others, as far as names tell."""
    return sorted(_covered(splits) & _covered(others))


def _covered(splits: str) -> set[str]:
    groups = {"all": set(ROLES), NO_PART: set[str](), **{name: set(held) for name, held in WHOLE_TRAIN.items()}}
    groups |= {name: {role} for name, role in zip(FER2013_SPLITS, ROLES, strict=True)}
    names = (OTHER_NAMES.get(name.lower(), name) for name in splits.split("+"))
    return {role for name in names for role in groups.get(name, {name})}
