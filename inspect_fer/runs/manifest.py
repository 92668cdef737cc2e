"""Read `run.json`, and say in words what is wrong with it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inspect_fer.errors import FerError, RunError
from inspect_fer.runs.plan import SCHEMA, Manifest
from inspect_fer.schema import ModelCard

KINDS: dict[str, type] = {
    **dict.fromkeys(("versions", "model", "card", "dataset"), dict),
    **dict.fromkeys(("schema", "samples", "shard", "threads"), int),
    **dict.fromkeys(("command", "made", "device"), str),
    "groups": list,
}
"""What a manifest says at least."""
REPLACE = "Start the run again with --force, which replaces it."


def read_manifest(folder: Path) -> dict[str, Any]:
    """`run.json` as it is, fit for `Manifest.from_dict`.

    Raises RunError when it is missing, damaged, or of another version.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"{folder} holds no run (no run.json). `inspect-fer run` or `inspect-fer explain` makes one.")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunError(f"{folder} is damaged: run.json is not whole. {REPLACE}") from problem
    values: dict[str, Any] = read if isinstance(read, dict) else {}
    odd = _odd_kinds(values)
    if not {"schema", "versions"} & set(odd) and values["schema"] != SCHEMA:
        schema, made_by = values["schema"], values["versions"].get("inspect-fer", "?")
        what = "Update inspect_fer" if schema > SCHEMA else f"Make it again: {values.get('command', 'inspect-fer run')}"
        raise RunError(
            f"{folder} was written by inspect-fer {made_by} as schema {schema}; this version reads schema {SCHEMA}. "
            f"{what}."
        )
    odd = odd or _odd_entries(values)
    if odd:
        raise RunError(f"{folder} is damaged: what run.json says of {odd[0]} is missing or makes no sense. {REPLACE}")
    return values


def _odd_kinds(values: Mapping[str, Any]) -> list[str]:
    return [name for name, kind in KINDS.items() if not isinstance(values.get(name), kind)]


def _odd_entries(values: Mapping[str, Any]) -> list[str]:
    """What cannot be made use of, where all is of the right kind."""
    small = [name for name in ("shard", "threads") if values[name] < 1]
    tried: dict[str, Callable[[], Any]] = {
        "model": lambda: values["model"]["sha256"] + values["model"]["origin"],
        "card": lambda: ModelCard.from_dict(values["card"]),
        "dataset": lambda: values["dataset"].get("spec", "") + "",
        "groups": lambda: (Manifest.from_dict(values).paths(), [_told(group) for group in values["groups"]]),
    }
    return small or [name for name, use in tried.items() if not _works(use)]


def _told(group: Mapping[str, Any]) -> list[str]:
    entries = group["methods"].values()
    return [
        *dict(group["options"] or {}),
        *(entry["folder"] + entry["layer"] + entry["method"]["name"] for entry in entries),
    ]


def _works(use: Callable[[], Any]) -> bool:
    try:
        use()
    except (FerError, KeyError, TypeError, ValueError, AttributeError):
        return False
    return True
