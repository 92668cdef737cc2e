"""A run on disk.

FOLDER/
  run.json                     what the run is of and how it is cut: written first, see plan.py
  answers/shard-00000...       logits, labels and features of the penultimate layer; what could not be read, and why
  maps/METHOD/LAYER/shard-...  raw maps, see shards.py
  predictions.parquet          one row a sample: id, label, predicted, confidence, a logit for each class; written last
  metrics.json                 every score
  times.jsonl                  how long each shard took; all else has the same bytes whenever and wherever it was made
  pixels.safetensors           the faces, only when they belong to no dataset that could be read again
  index.html                   the report, when one was made
"""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from inspect_fer.datasets import samples_for
from inspect_fer.errors import DataError, RunError
from inspect_fer.files import write_whole
from inspect_fer.metrics import evaluate
from inspect_fer.runs.plan import (
    SHARD,
    Group,
    Manifest,
    begun,
    contents,
    pixels_hash,
    place_of,
    read_manifest,
    write_json,
)
from inspect_fer.runs.shards import about
from inspect_fer.runs.store import StoredMaps, read_answers, read_features, write_answers, write_maps
from inspect_fer.schema import Classifier, Explanation, Prediction, Run, Samples

STALE = 3600.0
"""Seconds after which a half-written file has no writer any more."""


def save_run(
    folder: str | Path,
    model: Classifier,
    faces: Samples,
    prediction: Prediction,
    explanations: Explanation | Mapping[str, Explanation] | None = None,
    *,
    command: str | None = None,
    overwrite: bool = False,
) -> Run:
    """Write what was computed already as a run, and open it.

    explanations: of the samples or of some of them, one or several by name
    command: what made it, by default this process's command line
    Raises RunError when the folder is taken (and not `overwrite`) or cannot be written; nothing is left half done.
    """
    folder = Path(folder)
    require_free(folder, overwrite=overwrite)
    if isinstance(explanations, Explanation):
        explanations = {str(explanations.method["name"]): explanations}
    _require_one_set(faces, prediction, explanations or {})
    aside = folder.with_name(f".{folder.name}.{time.time_ns()}.part")
    manifest = begun(model, faces, shard=SHARD, threads=torch.get_num_threads(), command=command or " ".join(sys.argv))
    try:
        _save(aside, manifest, faces, prediction, explanations or {})
        take_place(aside, folder)
    except OSError as problem:
        raise RunError(f"{folder} cannot be written: {problem}. What was there before is untouched.") from problem
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return open_run(folder)


def _save(
    folder: Path, manifest: Manifest, faces: Samples, prediction: Prediction, explanations: Mapping[str, Explanation]
) -> None:
    """Cut what was computed into shards."""
    entries = {
        name: {"method": dict(why.method), "layer": why.layer, "folder": place_of(name, why.layer)}
        for name, why in explanations.items()
    }
    manifest = replace(manifest, groups=(Group(entries, None),))
    write_json(folder / "run.json", manifest.as_dict())
    store_faces(folder, faces)
    for number in range(manifest.shards):
        part = faces[manifest.rows(number)]
        held, own = contents(part), set(part.ids)
        answer = replace(prediction, ids=part.ids, logits=prediction.logits[manifest.rows(number)], labels=part.labels)
        made_of = {"essence": manifest.essence(""), "contents": held}
        write_answers(folder / manifest.path("", number), answer, torch.empty(len(part), 0), {}, made_of)
        for name, why in explanations.items():
            rows = [row for row, sample in enumerate(why.ids) if sample in own]
            made_of = {"essence": manifest.essence(name), "contents": held}
            if rows:
                write_maps(folder / manifest.path(name, number), why.of(rows), made_of)
    finish(folder, manifest)


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Raise RunError where a run cannot be written: something else is there, or a run that is not to be replaced."""
    there = folder.exists() and (not folder.is_dir() or any(map(_is_somebodys, folder.iterdir())))
    if there and not (overwrite and (folder / "run.json").is_file()):
        raise RunError(f"{folder} is there already. Name another folder, or overwrite a run (--force).")


def _is_somebodys(path: Path) -> bool:
    """Whether this is more than what a killed process left of a file that it was writing."""
    return not (path.name.startswith(".") and path.suffix == ".part")


def _require_one_set(faces: Samples, prediction: Prediction, explanations: Mapping[str, Explanation]) -> None:
    strange = [name for name, why in explanations.items() if not set(why.ids) <= set(faces.ids)]
    if prediction.ids != faces.ids or strange:
        raise RunError(f"{strange[0] if strange else 'The prediction'} is of other samples than the faces of the run.")


def store_faces(folder: Path, faces: Samples) -> None:
    """Keep the faces in the run where they belong to no dataset."""
    if "spec" not in faces.source:
        truth = {f"truth.{name}": values.contiguous() for name, values in faces.truth.items()}
        tensors = {"pixels": faces.pixels[:].contiguous(), "labels": faces.labels, **truth}
        write_whole(folder / "pixels.safetensors", save(tensors, {"ids": json.dumps(faces.ids)}))


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


def missing(folder: Path, manifest: Manifest) -> list[Path]:
    """The shards that are not there, or that are of another network or other options."""
    essences = {name: manifest.essence(name) for name in manifest.paths()}
    return [
        folder / path
        for name, paths in manifest.paths().items()
        for path in paths
        if not _is_of(folder / path, essences[name])
    ]


def _is_of(path: Path, essence: str) -> bool:
    try:
        return bool(about(path).get("essence") == essence)
    except RunError:
        return False


def finish(folder: Path, manifest: Manifest) -> None:
    """Gather the answers of all shards into tables, and score them."""
    prediction, unreadable = read_answers([folder / path for path in manifest.paths()[""]], manifest.card)
    if unreadable:
        write_json(folder / "run.json", {**manifest.as_dict(), "unreadable": unreadable})
    write_json(folder / "metrics.json", evaluate(prediction))
    table = BytesIO()
    prediction_table(prediction).to_parquet(table, index=False)
    write_whole(folder / "predictions.parquet", table.getvalue())
    for path in folder.rglob(".*.part"):
        if time.time() - path.stat().st_mtime > STALE:
            path.unlink(missing_ok=True)


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
    """Open a run. Raises RunError when it is missing, unfinished, damaged, or of another version."""
    folder = Path(folder)
    values = read_manifest(folder)
    try:
        manifest = Manifest.from_dict(values)
        if not (folder / "predictions.parquet").is_file():
            raise RunError(f"{unfinished(folder, manifest)} Start the same run again: it goes on.")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        prediction = _read_prediction(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{folder} is damaged: {problem!r}. Make the run again.") from problem
    stored = {name: [folder / path for path in paths] for name, paths in manifest.paths().items() if name}
    return Run(folder, values, prediction, StoredMaps(stored, prediction), metrics)


def unfinished(folder: Path, manifest: Manifest) -> str:
    """How far a run has come."""
    total, lacking = sum(map(len, manifest.paths().values())), len(missing(folder, manifest))
    return f"{folder} is not finished: {total - lacking} of {total} shards are there."


def _read_prediction(folder: Path, manifest: Manifest) -> Prediction:
    table, card = pd.read_parquet(folder / "predictions.parquet"), manifest.card
    return Prediction(
        ids=tuple(table["id"]),
        logits=torch.tensor(table[[f"logit_{name}" for name in card.class_names]].to_numpy("float32")),
        labels=torch.tensor(table["label"].to_numpy("int64")),
        class_names=card.class_names,
        output=card.output,
        threshold=card.threshold,
    )


def features_of(run: Run) -> Tensor:
    """The features of the penultimate layer, (N, D) float32 of float16, in the order of the prediction."""
    return read_features([run.folder / path for path in Manifest.from_dict(run.manifest).paths()[""]])


def faces_of(run: Run) -> Samples:
    """Read the run's faces again, in its order, labelled as its network. Raises DataError where they have gone."""
    return samples_of(run.folder, Manifest.from_dict(run.manifest)).find(run.prediction.ids)


def samples_of(folder: Path, manifest: Manifest) -> Samples:
    """All that a run is of, labelled as its network. Raises DataError where they are not the same any more."""
    stored, dataset = folder / "pixels.safetensors", manifest.dataset
    if stored.is_file():
        return _stored_faces(stored, manifest)
    faces = samples_for(manifest.card, dataset["spec"], dataset["split"], **dataset["options"])
    if len(faces) < manifest.samples:
        raise DataError(f"{dataset['spec']} has {len(faces)} samples now, of {manifest.samples} in {folder}.")
    faces = faces[: manifest.samples]
    if dataset.get("sha256") not in {None, pixels_hash(faces)}:
        raise DataError(
            f"The faces of {folder} are no longer those of {dataset['spec']}. If they were edited on purpose, save the "
            "run with replace(faces, source={}), which keeps them in it."
        )
    return faces


def _stored_faces(path: Path, manifest: Manifest) -> Samples:
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            ids = tuple(json.loads(file.metadata()["ids"]))
    except (SafetensorError, OSError, KeyError, ValueError) as problem:
        raise RunError(f"{path} is damaged: {problem}. Make the run again.") from problem
    truth = {name.removeprefix("truth."): values for name, values in tensors.items() if name.startswith("truth.")}
    return Samples(ids, tensors["pixels"], tensors["labels"], manifest.card.class_names, truth=truth)


def run_folders(parent: Path) -> list[Path]:
    """The runs directly below a folder, the newest first."""
    found = _visible(parent.glob("*/run.json"))
    return sorted(found, key=lambda folder: (folder / "run.json").stat().st_mtime, reverse=True)


def _visible(manifests: Iterable[Path]) -> list[Path]:
    return [path.parent for path in manifests if not path.parent.name.startswith(".")]
