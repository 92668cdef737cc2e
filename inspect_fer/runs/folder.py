"""A run on disk.

FOLDER/
  run.json                     what the run is of and how it is cut: written first, see plan.py
  answers/shard-00000...       logits, labels and features of the penultimate layer; what could not be read, and why
  maps/METHOD/LAYER/shard-...  raw maps, see shards.py
  metrics.json                 the scores of all samples together; what belongs to a shard stands in its header
  predictions.parquet          one row a sample: id, label, predicted, confidence, a logit for each class; written last
  times.jsonl                  how long each shard took; all else has the same bytes whenever and wherever it was made
  pixels.safetensors           the faces, only when they belong to no dataset that could be read again
  index.html                   the report, when one was made
  .lock                        held by the process that writes run.json; empty, and free when that process has ended
"""

import json
import shutil
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from inspect_fer.errors import RunError
from inspect_fer.files import alone, write_whole
from inspect_fer.metrics import evaluate
from inspect_fer.runs.manifest import read_manifest
from inspect_fer.runs.plan import Manifest, write_json
from inspect_fer.runs.shards import about
from inspect_fer.runs.store import StoredMaps, glance, read_answers, read_features
from inspect_fer.schema import Prediction, Run

STALE = 3600.0
"""Seconds after which a half-written file has no writer any more."""
ON = "Start the same run again: it goes on."
ANEW = "Start the same run again: it writes them anew."


def take_place(aside: Path, folder: Path) -> None:
    """Rename, moving an older run out of the way first and deleting it last."""
    old = folder.with_name(f".{folder.name}.{time.time_ns()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        aside.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def remove(folder: Path) -> None:
    """Remove a run with all of its parts that are still aside. Raises OSError with the run whole where it cannot go."""
    folder = folder.resolve()
    old = folder.with_name(f".{folder.name}.{time.time_ns()}.old")
    folder.rename(old)
    for path in (old, beside(folder)):
        shutil.rmtree(path, ignore_errors=True)


def beside(folder: Path) -> Path:
    """Where a run is made that is to replace another."""
    return folder.with_name(f".{folder.name}.new")


def missing(folder: Path, manifest: Manifest) -> dict[str, int]:
    """How many shards of each method ("": answers) are lacking; only those of which there are."""
    return {name: len(numbers) for name, numbers in lacking_shards(folder, manifest).items() if numbers}


def lacking_shards(folder: Path, manifest: Manifest) -> dict[str, list[int]]:
    """Which shards of each method ("": answers) are not there, of something else, or of too few samples."""
    paths = manifest.paths()
    unread = [len(header_of(folder / path).get("unreadable", ())) for path in paths[""]]
    return {
        name: [n for n, path in enumerate(places) if _lacks(folder / path, manifest, name, n, unread[n])]
        for name, places in paths.items()
    }


def _lacks(path: Path, manifest: Manifest, name: str, number: int, unread: int) -> bool:
    header = header_of(path)
    asked = 0 if manifest.group(name).options is None else manifest.explained(name, number)
    if not header:
        return not 0 < asked <= unread  # of samples none of which can be read there is no shard
    return header.get("essence") != manifest.essence(name) or len(header.get("ids", ())) + unread < asked


def header_of(path: Path) -> dict[str, Any]:
    """What a shard says of itself; nothing where there is none."""
    try:
        return about(path)
    except RunError:
        return {}


def finish(folder: Path, manifest: Manifest) -> None:
    """Gather the answers of all shards into tables, and score them."""
    prediction, unreadable = read_answers([folder / path for path in manifest.paths()[""]], manifest.card)
    with alone(folder):  # another process may have put methods beside
        values = read_manifest(folder)
        told = {name: value for name, value in values.items() if name != "unreadable"}
        told |= {"unreadable": unreadable} if unreadable else {}
        if told != values:
            write_json(folder / "run.json", told)
    write_json(folder / "metrics.json", evaluate(prediction))
    table = BytesIO()
    prediction_table(prediction).to_parquet(table, index=False)
    write_whole(folder / "predictions.parquet", table.getvalue())
    for path in folder.rglob(".*.part"):
        with suppress(FileNotFoundError):  # its writer has just renamed it
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def prediction_table(prediction: Prediction) -> pd.DataFrame:
    """One row a sample: id, label, predicted, confidence, a logit for each class."""
    columns: dict[str, Any] = {
        "id": prediction.ids,
        "label": prediction.labels.numpy(),
        "predicted": prediction.predicted.numpy(),
        "confidence": prediction.confidence.numpy(),
    }
    logits = prediction.logits.numpy()
    return pd.DataFrame(columns | {f"logit_{name}": logits[:, k] for k, name in enumerate(prediction.class_names)})


def open_run(folder: str | Path) -> Run:
    """Open a run; methods whose maps are not all there are left out, with a warning.

    Raises RunError when it is missing, unfinished, damaged, of another version, or says otherwise than its shards.
    """
    folder = Path(folder)
    values = read_manifest(folder)
    manifest = Manifest.from_dict(values)
    lacking = missing(folder, manifest)
    unfinished = f"{folder} is not finished: {shards_there(manifest, lacking)} are there."
    if not (folder / "predictions.parquet").is_file():
        raise RunError(f"{unfinished} {ON}")
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        prediction = _read_prediction(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{folder} is damaged: predictions.parquet or metrics.json is not whole. {ANEW}") from problem
    left_out = ", ".join(filter(None, lacking))
    if left_out:
        warnings.warn(f"{unfinished} Left out: {left_out}. {ON}", stacklevel=2)
    stored = {name: [folder / path for path in paths] for name, paths in manifest.paths().items()}
    places = {
        name: paths for name, paths in stored.items() if name and name not in lacking and any(map(Path.is_file, paths))
    }
    return Run(folder, values, prediction, StoredMaps(places, prediction), metrics)


def shards_there(manifest: Manifest, lacking: Mapping[str, int]) -> str:
    """How far a run has come; lacking: what `missing` says of it."""
    total = sum(map(len, manifest.paths().values()))
    return f"{total - sum(lacking.values())} of {total} shards"


def _read_prediction(folder: Path, manifest: Manifest) -> Prediction:
    """What the table says. Raises RunError where the shards of answers, which have checksums, say otherwise."""
    table, card = pd.read_parquet(folder / "predictions.parquet"), manifest.card
    prediction = Prediction(
        ids=tuple(table["id"]),
        logits=torch.tensor(table[[f"logit_{name}" for name in card.class_names]].to_numpy("float32")),
        labels=torch.tensor(table["label"].to_numpy("int64")),
        class_names=card.class_names,
        output=card.output,
        threshold=card.threshold,
    )
    confidence = torch.tensor(table["confidence"].to_numpy("float32"))
    derived = {
        "predicted": torch.tensor(table["predicted"].to_numpy("int64")).equal(prediction.predicted),
        "confidence": confidence.allclose(prediction.confidence, atol=1e-5),
        "id, label or logits": _agrees(prediction, folder, manifest),
    }
    odd = next((words for words, agrees in derived.items() if not agrees), None)
    if odd:
        raise RunError(f"{folder} is damaged: the {odd} in predictions.parquet is not what its answers say. {ANEW}")
    return prediction


def _agrees(prediction: Prediction, folder: Path, manifest: Manifest) -> bool:
    """Whether a prediction is what those shards of answers say that can be read."""
    rows = {name: row for row, name in enumerate(prediction.ids)}
    told = [found for path in manifest.paths()[""] if (found := glance(folder / path)) is not None]
    for ids, logits, labels in told:
        if not rows.keys() >= set(ids):
            return False
        held = torch.tensor([rows[name] for name in ids], dtype=torch.int64)
        if not (prediction.logits[held].equal(logits) and prediction.labels[held].equal(labels)):
            return False
    return len(told) < manifest.shards or len(prediction) == sum(len(ids) for ids, *_ in told)


def features_of(run: Run) -> Tensor:
    """The features of the penultimate layer, (N, D) float32 of float16, in the order of the prediction.

    Raises RunError where there are none: the answers were given, or no linear layer makes them.
    """
    found = read_features([run.folder / path for path in Manifest.from_dict(run.manifest).paths()[""]])
    if len(found) and not found.shape[1]:
        raise RunError(
            f"{run.folder} holds no features: its answers were given to save_run, or its network does not make them "
            "with a linear layer. `inspect-fer run` into another folder keeps features."
        )
    return found


def run_folders(parent: Path) -> list[Path]:
    """The runs directly below a folder, the newest first."""
    found = _visible(parent.glob("*/run.json"))
    return sorted(found, key=lambda folder: (folder / "run.json").stat().st_mtime, reverse=True)


def _visible(manifests: Iterable[Path]) -> list[Path]:
    return [path.parent for path in manifests if not path.parent.name.startswith(".")]
