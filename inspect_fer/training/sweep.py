"""Sweeps on disk: TOML files with a recipe and what to try on it. An unknown key is an error."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inspect_fer.errors import ConfigError
from inspect_fer.lookup import no_such_name
from inspect_fer.shipped import shipped_folders
from inspect_fer.training.config import Recipe
from inspect_fer.training.recipes import PARTS, read_recipe, read_toml, recipe_from, recipe_paths

SWEPT = {name: PARTS[name] for name in ("data", "network", "training", "augment", "finetune")}
OWN = ("search", "trials", "seed", "note")


@dataclass(frozen=True)
class Range:
    """Numbers to draw from, both ends included. log: each order of magnitude equally often; integer: whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if not all(type(end) in {int, float} and math.isfinite(end) for end in ends) or not self.low < self.high:
            raise ConfigError(f"A range is from a number to a larger one, not from {self.low!r} to {self.high!r}.")
        if type(self.log) is not bool or type(self.integer) is not bool:
            raise ConfigError("log and integer are true or false.")
        if self.log and self.low <= 0:
            raise ConfigError(f"A range with log = true begins above 0, not at {self.low:g}.")
        if self.integer and not all(float(end).is_integer() for end in ends):
            raise ConfigError(f"A range with integer = true has whole ends, not {self.low:g} and {self.high:g}.")

    def draw(self, generator: np.random.Generator) -> float:
        """One number, to four digits."""
        half = 0.5 if self.integer else 0.0
        low, high = self.low - half, self.high + half
        drawn = math.exp(generator.uniform(math.log(low), math.log(high))) if self.log else generator.uniform(low, high)
        number = min(max(round(drawn) if self.integer else float(f"{drawn:.4g}"), self.low), self.high)
        return int(number) if self.integer else float(number)


@dataclass(frozen=True)
class Sweep:
    """A recipe and what is tried on it.

    grid: by dotted key, such as "training.learning_rate", the values to try, or a range to draw from
    search: "grid" tries every combination, "random" as many different ones as `trials`, drawn with `seed`
    """

    base: Recipe
    grid: Mapping[str, Sequence[Any] | Range]
    search: Literal["grid", "random"] = "grid"
    trials: int = 20
    seed: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        if self.search not in {"grid", "random"}:
            raise ConfigError(no_such_name(str(self.search), ("grid", "random"), "search"))
        for name, least in (("trials", 1), ("seed", 0)):
            if type(getattr(self, name)) is not int or getattr(self, name) < least:
                raise ConfigError(f"{name} is a whole number from {least} on, not {getattr(self, name)!r}.")
        if not self.grid:
            raise ConfigError('A sweep needs a part [grid], such as "training.learning_rate" = [0.1, 0.01].')
        for key, values in self.grid.items():
            self._check_key(key)
            if isinstance(values, Range) and self.search == "grid":
                raise ConfigError(
                    f'{key} is a range, which search = "random" or --trials draws from; list its values for a grid.'
                )
            if not isinstance(values, Range) and not values:
                raise ConfigError(f"{key} has no values to try.")

    def _check_key(self, key: str) -> None:
        """Raise ConfigError for a key that is none of a recipe's, or that cannot be swept."""
        part, _, rest = key.partition(".")
        known = {f"{name}.{entry.name}" for name, kind in SWEPT.items() for entry in fields(kind)}
        if not (key in known or (part in SWEPT and not rest) or rest.startswith("options.")):
            near = sorted(name for name in known if name.startswith(f"{part}.")) or sorted(known)
            raise ConfigError(no_such_name(key, near, "key of a recipe"))
        below = [other for other in self.grid if other.startswith(f"{key}.")]
        if below:
            raise ConfigError(f"{key} and {below[0]} cannot both be swept: the one holds the other.")


def sweep_paths() -> dict[str, Path]:
    """The sweeps that come with the package, and those of INSPECT_FER_HOME, by name."""
    folders = reversed(shipped_folders("recipes"))
    return {path.stem: path for folder in folders for path in sorted((folder / "sweeps").glob("*.toml"))}


def read_sweep(name_or_path: str | Path, *, trials: int | None = None) -> Sweep:
    """Read a sweep by its name or from a TOML file. Raises ConfigError naming what is wrong in it.

    trials: draw so many at random, whatever the file says of its search
    """
    path = sweep_paths().get(str(name_or_path), Path(name_or_path))
    if not path.is_file() and not path.suffix and len(path.parts) == 1:
        raise ConfigError(no_such_name(str(name_or_path), sweep_paths(), "sweep"))
    if not path.is_file():
        raise ConfigError(f"There is no sweep {path}; `inspect-fer sweep --list` lists those by name.")
    values = read_toml(path) | ({"search": "random", "trials": trials} if trials else {})
    try:
        return sweep_from(values, folder=path.parent)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from problem


def sweep_from(values: Mapping[str, Any], *, folder: Path = Path()) -> Sweep:
    """Build a sweep from the plain values of its file; a recipe is looked for beside it, in `folder`."""
    own = {name: values[name] for name in OWN if name in values}
    inline = {name: part for name, part in values.items() if name not in {*own, "recipe", "grid"}}
    unknown = [name for name in inline if name not in PARTS]
    if unknown:
        raise ConfigError(no_such_name(unknown[0], ["recipe", "grid", *OWN, *PARTS], "part of a sweep"))
    if "recipe" in values and inline:
        raise ConfigError(f"A sweep names a recipe or holds one; this has a recipe and a part [{next(iter(inline))}].")
    if not isinstance(values.get("grid", {}), Mapping):
        raise ConfigError(f"[grid] must be a table of keys, not {values['grid']!r}.")
    base = _recipe(str(values["recipe"]), folder) if "recipe" in values else recipe_from(inline)
    return Sweep(base, dict(_flat(values.get("grid", {}))), **own)


def _recipe(name: str, folder: Path) -> Recipe:
    named = name in recipe_paths() or (not Path(name).suffix and len(Path(name).parts) == 1)
    return read_recipe(name if named else folder / name)


def _flat(grid: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Sequence[Any] | Range]]:
    """The entries of [grid] by dotted key; `training.epochs` without quotes is a table within a table."""
    for name, values in grid.items():
        key = f"{above}{name}"
        if isinstance(values, list):
            yield key, tuple(values)
        elif isinstance(values, Mapping) and {"low", "high"} & values.keys():
            yield key, _range(key, values)
        elif isinstance(values, Mapping):
            yield from _flat(values, f"{key}.")
        else:
            raise ConfigError(f"{key} must be a list of values or a range {{ low = 0.1, high = 1 }}, not {values!r}.")


def _range(key: str, values: Mapping[str, Any]) -> Range:
    known = [entry.name for entry in fields(Range)]
    for name in values:
        if name not in known:
            raise ConfigError(no_such_name(name, known, f"key of the range of {key}"))
    try:
        return Range(**values)
    except TypeError as problem:
        raise ConfigError(f"The range of {key} needs both low and high.") from problem
    except ConfigError as problem:
        raise ConfigError(f"{key}: {problem}") from problem
