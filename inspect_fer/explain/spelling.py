"""A method with its options in one word: NAME?OPTION=VALUE&..., as datasets are spelt."""

from ast import literal_eval
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from inspect_fer.errors import ConfigError
from inspect_fer.explain.method import Method, configured
from inspect_fer.lookup import lookup, options_in

WORDS: dict[str, Any] = {"true": True, "yes": True, "false": False, "no": False, "none": None}


def kinds_of(wanted: Any) -> list[Any]:
    """The types, words and None that an annotation allows."""
    if get_origin(wanted) is Literal:
        return list(get_args(wanted))
    if get_args(wanted) and get_origin(wanted) not in (tuple, list, dict):
        return [part for inner in get_args(wanted) for part in kinds_of(inner)]
    return [None if wanted is NoneType else get_origin(wanted) or wanted]


def spelt(words: str, methods: Mapping[str, type[Method]]) -> Method:
    """The method of "grad-cam" or "occlusion?window=4&fill=mean". Raises UnknownNameError and ConfigError."""
    name, _, query = words.strip().partition("?")
    kind, options = lookup(methods, name, "method"), {}
    hints = get_type_hints(kind)
    for option, text in options_in(query):
        if option in options:
            raise ConfigError(f"The option {option} of {name} is given twice in {words!r}; give it once.")
        options[option] = _value(text, name, option, hints[option]) if option in hints else text
    return configured(kind, name, options)


def _value(text: str, method: str, option: str, wanted: Any) -> Any:
    """What a text means where an option wants something of this type. Raises ConfigError where it fits none."""
    kinds = kinds_of(wanted)
    for value in (*_read(text), text):
        if any(_is(value, kind) for kind in kinds):
            return value
    said = " or ".join(kind.__name__ if isinstance(kind, type) else repr(kind) for kind in kinds)
    raise ConfigError(f"The option {option} of {method} is {said}, not {text!r}.")


def _read(text: str) -> list[Any]:
    if text.lower() in WORDS:
        return [WORDS[text.lower()]]
    try:
        return [literal_eval(text)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that it may raise
        return []


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a type, or is this word or None; a whole number is a number as well, yes and no are not."""
    if not isinstance(kind, type):
        return value is kind or (isinstance(kind, str) and value == kind)
    numeric = isinstance(value, bool) and kind in (int, float)
    return not numeric and isinstance(value, (int, float) if kind is float else kind)
