"""What a folder holds already: whether a run may be put there, and whether it goes on with what is asked for now."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from inspect_fer.errors import RunError
from inspect_fer.files import LOCK, try_writing
from inspect_fer.runs.folder import beside, header_of
from inspect_fer.runs.group import Group
from inspect_fer.runs.manifest import read_manifest
from inspect_fer.runs.plan import Manifest, as_plain, contents
from inspect_fer.runs.work import readable
from inspect_fer.schema import Samples

OTHER = "Name another folder, or replace the whole run (--force)."


def require_writable(folder: Path) -> None:
    """Raise RunError, before any work, where no folder can be made or nothing written."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "may not be written to" if there.is_dir() else "is no folder"
        raise RunError(f"{folder} cannot be written: {there} {why}. Name another folder.")
    try:
        try_writing(folder / "run.json")
    except OSError as problem:  # such as /proc, which says of itself that root may write to it
        raise RunError(f"{folder} cannot be written: {problem.strerror}. Name another folder.") from problem


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Raise RunError where a run cannot be written: something else is there, or a run that is not to be replaced."""
    there = folder.exists() and (not folder.is_dir() or any(map(_is_somebodys, folder.iterdir())))
    if there and overwrite and not (folder / "run.json").is_file():
        raise RunError(f"{folder} is there already and holds no run; only runs are replaced. Name another folder.")
    if there and not overwrite:
        raise RunError(f"{folder} is there already. Name another folder, or overwrite a run (--force).")


def _is_somebodys(path: Path) -> bool:
    """Whether this is more than what a killed process left of a file that it was writing."""
    return path.name != LOCK and not (path.name.startswith(".") and path.suffix == ".part")


def place_for(folder: Path, *, overwrite: bool) -> Path:
    """Where to work: aside where a run is to be replaced, so that it stays until the new one is whole.

    Raises RunError where nothing can be written, or what is to be replaced is no run.
    """
    require_writable(folder)
    if not overwrite or not folder.exists():
        return folder
    require_free(folder, overwrite=True)
    return beside(folder)


def require_same(where: Path, now: Manifest, faces: Samples, shard: int | None, *, clear: bool) -> None:
    """Raise RunError where something else is; clear: remove it instead, where it was begun aside."""
    try:
        kept(where, now, faces, shard)
    except RunError:
        if not clear:
            raise
        shutil.rmtree(where)


def kept(where: Path, now: Manifest, faces: Samples, shard: int | None) -> Manifest | None:
    """The manifest that is there, if it is of the same network and samples, with the places where they lie now.

    Raises RunError for another one's.
    """
    if not (where / "run.json").is_file():
        require_free(where, overwrite=False)
        return None
    held = Manifest.from_dict(read_manifest(where))
    dataset = as_plain(now.dataset)
    other = {
        "network": held.model["sha256"] != now.model["sha256"],
        "preprocessing": as_plain(held.card.as_dict()) != as_plain(now.card.as_dict()),
        f"number of samples ({held.samples:,}, not {now.samples:,})": held.samples != now.samples,
        f"dataset ({_named(held.dataset)}, not {_named(dataset)})": _source(held.dataset) != _source(dataset)
        and not _has_moved(where, held, dataset, faces),
        f"size of a shard ({held.shard:,}, not {shard or held.shard:,})": held.shard != (shard or held.shard),
    }
    if any(other.values()):
        what = next(words for words, differs in other.items() if differs)
        raise RunError(f"{where} holds a run of another {what}. {OTHER}")
    origin = now.model["origin"] or held.model["origin"]
    where_now = dataset if "spec" in dataset and "spec" in held.dataset else held.dataset
    return replace(held, model={**held.model, "origin": origin}, dataset=where_now)


def made_otherwise(where: Path, held: Manifest, group: Group, *, replacing: bool) -> list[str]:
    """Methods with maps that are there, made with other options than are asked for now.

    Raises RunError where there are any, unless what is there was begun aside and may be replaced.
    """
    words = {name: held.differences(name, group) for name in group.methods}
    there = [
        name for name, found in words.items() if found and any((where / path).is_file() for path in held.paths()[name])
    ]
    if there and not replacing:
        raise RunError(f"{where} holds {', '.join(there)} made otherwise ({words[there[0]]}). {OTHER}")
    return there


def _named(dataset: Mapping[str, Any]) -> str:
    options = dataset.get("options") or {}
    words = "".join(f", {name} {value}" for name, value in {"split": dataset.get("split"), **options}.items() if value)
    return f"{dataset['spec']}{words}" if "spec" in dataset else "samples of none"


def _source(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dataset.get(name) for name in ("spec", "split", "options", "sha256")}


def _has_moved(where: Path, held: Manifest, dataset: Mapping[str, Any], faces: Samples) -> bool:
    """Whether these are the same samples in another place, by all shards, or by the first where they stay on disk."""
    numbers = range(held.shards if isinstance(faces.pixels, torch.Tensor) else 1)
    found = {number: header_of(where / held.path("", number)).get("contents") for number in numbers}
    return (
        all(dataset[name] == held.dataset.get(name) for name in ("sha256", "counts"))
        and any(found.values())
        and all(each in {None, contents(readable(faces[held.rows(number)])[0])} for number, each in found.items())
    )
