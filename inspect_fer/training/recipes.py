"""Recipes on disk: TOML files, read into the dataclasses of `config`. An unknown key is an error."""

import json
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from inspect_fer.errors import ConfigError
from inspect_fer.lookup import no_such_name
from inspect_fer.shipped import shipped_folders
from inspect_fer.training.config import Augment, Data, Finetune, Network, Published, Recipe, Training

Section = TypeVar("Section")

PARTS: dict[str, type] = {
    "data": Data,
    "network": Network,
    "training": Training,
    "augment": Augment,
    "finetune": Finetune,
    "published": Published,
}


def recipe_paths() -> dict[str, Path]:
    """The recipes that come with the package, and those of INSPECT_FER_HOME, by name; those of the sources last."""
    folders = [folder / part for part in (".", "sources") for folder in reversed(shipped_folders("recipes"))]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by its name or from a TOML file. Raises ConfigError naming what is wrong in it.

    A file with `base = "NAME"` holds what is different from that recipe; NAME may also be a path from the file.
    """
    path = recipe_paths().get(str(name_or_path), Path(name_or_path))
    try:
        recipe = recipe_from(_with_base(path))
        _require_reached(recipe)
    except ConfigError as problem:
        raise problem if str(path) in str(problem) else ConfigError(f"{path}: {problem}") from problem
    return recipe


def _require_reached(recipe: Recipe) -> None:
    """Raise ConfigError for a step of the learning rate that would come after the end."""
    last = recipe.finetune.epoch if recipe.finetune else recipe.training.epochs
    if recipe.training.milestones and recipe.training.milestones[-1] >= last:
        raise ConfigError(
            f"The milestone {recipe.training.milestones[-1]} is never reached in {last} epochs; leave it out."
        )


def readable_recipes() -> dict[str, Recipe]:
    """All recipes by name, but for broken ones, of which it warns."""
    found = {}
    for name in recipe_paths():
        try:
            found[name] = read_recipe(name)
        except ConfigError as problem:
            warnings.warn(f"A recipe is left out: {problem}", stacklevel=2)
    return found


def with_bases(name_or_path: str | Path) -> list[Path]:
    """The file of a recipe and those that it builds on, the nearest first. Raises ConfigError as `read_recipe` does."""
    read_recipe(name_or_path)
    found = [recipe_paths().get(str(name_or_path), Path(name_or_path))]
    while base := read_toml(found[-1]).get("base"):
        found.append(_base_of(found[-1], base))
    return found


def _base_of(path: Path, name: str) -> Path:
    by_name = not Path(name).suffix and len(Path(name).parts) == 1
    return recipe_paths().get(name, Path(name) if by_name else (path.parent / name).resolve())


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a file over those of its base; figures a source published are never taken from another recipe."""
    if path in above:
        raise ConfigError(f"{path} is its own base, by way of {', '.join(map(str, above))}.")
    values = read_toml(path)
    if "base" not in values:
        return values
    name = values.pop("base")
    _check("base", name, str)
    base = _with_base(_base_of(path, name), (*above, path))
    base.pop("published", None)
    own, network = values.get("network"), base.get("network", {})
    if isinstance(own, Mapping) and own.get("architecture") not in {None, network.get("architecture")}:
        network.pop("options", None)  # another network's options are not its own
    return merged(base, values)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` over it, tables within tables alike."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises ConfigError, naming the recipes there are, when it cannot be."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path} is not UTF-8, as TOML is: {problem.reason}.") from problem
    except RecursionError as problem:
        raise ConfigError(f"{path} is nested too deeply to be a recipe.") from problem
    except OSError as problem:
        if not path.suffix and len(path.parts) == 1:
            raise ConfigError(no_such_name(str(path), list(recipe_paths()), "recipe")) from problem
        near = f" Did you mean {path.stem!r}?" if path.stem in recipe_paths() else ""
        raise ConfigError(
            f"There is no readable recipe {path}; `inspect-fer recipes` lists those by name.{near}"
        ) from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{path} is not TOML: {problem}.") from problem


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from plain values, as in `Recipe.as_dict`."""
    unknown = [name for name in values if name not in {*PARTS, "note"}]
    if unknown:
        raise ConfigError(no_such_name(unknown[0], [*PARTS, "note"], "part of a recipe"))
    if "network" not in values:
        raise ConfigError("A recipe needs a part [network] with an architecture.")
    built: dict[str, Any] = {name: _section(kind, values[name], name) for name, kind in PARTS.items() if name in values}
    note = values.get("note", "")
    _check("note", note, str)
    recipe = Recipe(**built, note=note)
    _check_together(recipe)
    return recipe


def _check_together(recipe: Recipe) -> None:
    """Raise ConfigError for parts that are right by themselves and do not fit together."""
    network, data = recipe.network, recipe.data
    taken = {"channels", "classes", "size"} & set(network.options)
    if taken:
        raise ConfigError(f"network.options cannot hold {min(taken)!r}: it follows from [network] and the data.")
    if data.size is not None and data.size < network.size:
        raise ConfigError(f"data.size, {data.size}, must not be below network.size, {network.size}.")
    if recipe.finetune and recipe.finetune.epoch >= recipe.training.epochs:
        raise ConfigError(f"Fine-tuning cannot begin after epoch {recipe.finetune.epoch} of {recipe.training.epochs}.")
    try:
        json.dumps(recipe.as_dict())
    except TypeError as problem:
        raise ConfigError(f"A recipe holds numbers, words, yes or no, lists and tables alone: {problem}.") from problem


def _section(kind: type[Section], values: Any, name: str) -> Section:
    if not isinstance(values, Mapping):
        raise ConfigError(f"[{name}] must be a table of keys, not {values!r}.")
    types = get_type_hints(kind)
    entries = fields(kind)  # type: ignore[arg-type]  # every part is a dataclass
    known = [entry.name for entry in entries]
    for key, value in values.items():
        if key not in known:
            raise ConfigError(no_such_name(key, known, f"key of [{name}]"))
        _check(f"{name}.{key}", value, types[key])
    needed = [entry.name for entry in entries if entry.default is MISSING and entry.default_factory is MISSING]
    if missing := [key for key in needed if key not in values]:
        raise ConfigError(f"[{name}] is incomplete: it needs {' and '.join(missing)} as well.")
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return kind(**{**values, **lists})


def _check(key: str, value: Any, wanted: Any) -> None:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise ConfigError(no_such_name(str(value), get_args(wanted), f"choice for {key}"))
        return
    if get_origin(wanted) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{key} must be a list, not {value!r}.")
        for part in value:
            _check(key, part, get_args(wanted)[0])
        return
    kinds = get_args(wanted) if isinstance(wanted, UnionType) else (get_origin(wanted) or wanted,)
    allowed = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
        named = " or ".join(kind.__name__ for kind in kinds if kind is not NoneType)
        raise ConfigError(f"{key} must be {named}, not {value!r}.")
    if get_args(wanted)[1:] == (float,):
        for name, part in value.items():
            _check(f"{key}.{name}", part, float)
