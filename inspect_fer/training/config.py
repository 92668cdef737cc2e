"""Recipes: what to train and how, as frozen dataclasses read from TOML. An unknown key is an error."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from inspect_fer.errors import ConfigError
from inspect_fer.lookup import no_such_name
from inspect_fer.shipped import shipped_folders

Section = TypeVar("Section")


@dataclass(frozen=True)
class Network:
    """Which network is built."""

    architecture: str
    size: int = 48
    channels: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Augment:
    """Random changes to the training images; every sample draws its own.

    flip: probability of a mirror image
    shift: up to this share of the side, both ways; rotate: up to so many degrees; scale: by up to this share
    erase: probability of a grey rectangle over 2 to 20 % of the area
    """

    flip: float = 0.5
    shift: float = 0.1
    rotate: float = 10.0
    scale: float = 0.1
    erase: float = 0.0

    def __post_init__(self) -> None:
        _between(self, {"flip": 1, "shift": 1, "rotate": 180, "scale": 0.9, "erase": 1})


def _between(section: object, limits: Mapping[str, float]) -> None:
    for name, most in limits.items():
        if not 0 <= getattr(section, name) <= most:
            raise ConfigError(f"{name} must be from 0 to {most:g}, not {getattr(section, name)}.")


@dataclass(frozen=True)
class Training:
    """How the network learns.

    loss: "cross-entropy" on labels, or "bce" on votes, which makes a network with sigmoid outputs
    schedule: of the learning rate, which is its peak
    select_by: the score on the selection split that chooses the best epoch
    precision: "bfloat16", "float32", or "auto": bfloat16 where the processor multiplies it faster
    """

    epochs: int = 30
    batch_size: int = 128
    loss: Literal["cross-entropy", "bce"] = "cross-entropy"
    label_smoothing: float = 0.0
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    select_by: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, not {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate must be above 0 and finite, not {self.learning_rate}.")
        _between(self, {"weight_decay": 1e6, "label_smoothing": 1, "momentum": 1, "seed": 2**31})


@dataclass(frozen=True)
class Recipe:
    """One experiment: network, training, augmentation, and a note for people."""

    network: Network
    training: Training = field(default_factory=Training)
    augment: Augment = field(default_factory=Augment)
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self)


def recipe_paths() -> dict[str, Path]:
    """The recipes that come with the package, and those of INSPECT_FER_HOME, by name."""
    return {
        path.stem: path for folder in reversed(shipped_folders("recipes")) for path in sorted(folder.glob("*.toml"))
    }


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by its name or from a TOML file. Raises ConfigError naming what is wrong in it."""
    path = recipe_paths().get(str(name_or_path), Path(name_or_path))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        known = ", ".join(recipe_paths()) or "none"
        raise ConfigError(f"There is no readable recipe {path}. Recipes by name: {known}.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{path} is not TOML: {problem}.") from problem
    try:
        return recipe_from(values)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from problem


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values, as in `Recipe.as_dict`."""
    parts = {"network": Network, "training": Training, "augment": Augment}
    unknown = [name for name in values if name not in {*parts, "note"}]
    if unknown:
        raise ConfigError(no_such_name(unknown[0], [*parts, "note"], "part of a recipe"))
    if "network" not in values:
        raise ConfigError("A recipe needs a part [network] with an architecture.")
    built: dict[str, Any] = {name: _section(kind, values[name], name) for name, kind in parts.items() if name in values}
    return Recipe(**built, note=str(values.get("note", "")))


def _section(kind: type[Section], values: Any, name: str) -> Section:
    if not isinstance(values, Mapping):
        raise ConfigError(f"[{name}] must be a table of keys, not {values!r}.")
    types = get_type_hints(kind)
    known = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]  # every part is a dataclass
    for key, value in values.items():
        if key not in known:
            raise ConfigError(no_such_name(key, known, f"key of [{name}]"))
        _check(f"{name}.{key}", value, types[key])
    try:
        return kind(**values)
    except TypeError as problem:
        raise ConfigError(f"[{name}] is incomplete: {problem}.") from problem


def _check(key: str, value: Any, wanted: Any) -> None:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise ConfigError(no_such_name(str(value), get_args(wanted), f"choice for {key}"))
        return
    kinds = get_args(wanted) if isinstance(wanted, UnionType) else (get_origin(wanted) or wanted,)
    allowed = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
        raise ConfigError(f"{key} must be {' or '.join(kind.__name__ for kind in kinds)}, not {value!r}.")
