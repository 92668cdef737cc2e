"""A run in one line, also of one that is unfinished or cannot be read."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inspect_fer.errors import FerError
from inspect_fer.runs.folder import missing, shards_there
from inspect_fer.runs.manifest import read_manifest
from inspect_fer.runs.plan import Manifest


@dataclass(frozen=True)
class Summary:
    """What a list of runs says of each; problem: why there is no accuracy. size: bytes of all its files.

    faces: of the dataset, less those that the run could not read or answer
    """

    name: str
    network: str
    dataset: str
    faces: int
    accuracy: float | None
    methods: tuple[str, ...]
    size: int
    made: str
    problem: str = ""


def summary(folder: Path) -> Summary:
    """Read what is said of a run, without its answers and maps."""
    size = sum(map(_size, folder.rglob("*")))
    try:
        values = read_manifest(folder)
        manifest = Manifest.from_dict(values)
    except FerError as problem:
        return Summary(folder.name, "?", "?", 0, None, (), size, "", str(problem).removeprefix(f"{folder} "))
    dataset = str(manifest.dataset.get("spec", "kept in the run"))
    done = (folder / "predictions.parquet").is_file()
    accuracy = None
    with suppress(OSError, ValueError, KeyError):
        accuracy = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["accuracy"] if done else None
    lacking = missing(folder, manifest)
    return Summary(
        folder.name,
        Path(str(manifest.model["origin"])).stem or manifest.card.architecture,
        dataset,
        manifest.samples - len(values.get("unreadable", {})),
        accuracy,
        tuple(name for name in manifest.paths() if name),
        size,
        str(manifest.made.get("made", ""))[:10],
        f"unfinished: {shards_there(manifest, lacking)}" if lacking or not done else "",
    )


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # half-written, and renamed meanwhile
        return path.stat().st_size if path.is_file() else 0
    return 0
