"""A run on disk: written aside, renamed when whole.

FOLDER/
  run.json                     schema number, network, dataset, methods with their options, command, versions
  predictions.parquet          one row a sample: id, label, predicted, confidence, a logit for each class
  metrics.json                 every score
  maps/METHOD/LAYER/           raw maps, see store.py
  pixels.safetensors           the faces, only when they belong to no dataset that could be read again
  index.html                   the report, when one was made
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspect_fer.datasets import samples_for
from inspect_fer.errors import DataError, RunError
from inspect_fer.metrics import evaluate
from inspect_fer.models.checkpoint import fingerprint
from inspect_fer.runs.store import read_maps, write_maps
from inspect_fer.schema import Classifier, Explanation, ModelCard, Prediction, Run, Samples

SCHEMA = 1
LIBRARIES = ("inspect-fer", "torch", "torchvision", "numpy")


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
    """Write a run and open it.

    explanations: of the samples or of some of them, one or several by name
    command: what made it, by default this process's command line
    Raises RunError when the folder is taken (and not `overwrite`) or cannot be written; nothing is left half done.
    """
    folder = Path(folder)
    require_free(folder, overwrite=overwrite)
    if isinstance(explanations, Explanation):
        explanations = {str(explanations.method["name"]): explanations}
    _require_one_set(faces, prediction, explanations or {})
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(aside, model, faces, prediction, explanations or {}, command or " ".join(sys.argv))
        _take_place(aside, folder)
    except OSError as problem:
        raise RunError(f"{folder} cannot be written: {problem}. What was there before is untouched.") from problem
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return open_run(folder)


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Raise RunError where a run cannot be written: something else is there, or a run that is not to be replaced."""
    if folder.exists() and not (overwrite and _replaceable(folder)):
        raise RunError(f"{folder} is there already. Name another folder, or overwrite a run (--force).")


def _require_one_set(faces: Samples, prediction: Prediction, explanations: Mapping[str, Explanation]) -> None:
    strange = [name for name, why in explanations.items() if not set(why.ids) <= set(faces.ids)]
    if prediction.ids != faces.ids or strange:
        raise RunError(f"{strange[0] if strange else 'The prediction'} is of other samples than the faces of the run.")


def _replaceable(folder: Path) -> bool:
    """Only a run or an empty folder is ever replaced."""
    return (folder / "run.json").is_file() or (folder.is_dir() and not any(folder.iterdir()))


def _write(
    folder: Path,
    model: Classifier,
    faces: Samples,
    prediction: Prediction,
    explanations: Mapping[str, Explanation],
    command: str,
) -> None:
    folder.mkdir(parents=True)
    methods = {}
    for name, explanation in explanations.items():
        place = Path("maps") / _slug(name) / _slug(explanation.layer or "input")
        methods[name] = {"folder": place.as_posix(), **write_maps(folder / place, explanation)}
    manifest = {
        "schema": SCHEMA,
        "model": {"origin": model.origin, "sha256": fingerprint(model.network), "parameters": _size(model)},
        "card": model.card.as_dict(),
        "dataset": {
            **faces.source,
            "counts": faces.counts(),
            "dropped": dict(faces.dropped),
            "sha256": _digest(faces),
        },
        "methods": methods,
        "command": command,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(model.device),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }
    _write_json(folder / "run.json", manifest)
    _write_json(folder / "metrics.json", evaluate(prediction))
    _prediction_table(prediction).to_parquet(folder / "predictions.parquet", index=False)
    if "spec" not in faces.source:
        truth = {f"truth.{name}": values for name, values in faces.truth.items()}
        save_file(
            {"pixels": faces.pixels[:].contiguous(), "labels": faces.labels, **truth}, folder / "pixels.safetensors"
        )


def _digest(faces: Samples) -> str | None:
    """SHA-256 of the pixels, None where they stay on disk."""
    if not isinstance(faces.pixels, Tensor):
        return None
    return hashlib.sha256(faces.pixels.contiguous().numpy().data).hexdigest()


def _size(model: Classifier) -> int:
    return sum(weights.numel() for weights in model.network.parameters())


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+=_-]+", "-", name).strip("-.") or "unnamed"


def _prediction_table(prediction: Prediction) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "id": prediction.ids,
        "label": prediction.labels.numpy(),
        "predicted": prediction.predicted.numpy(),
        "confidence": prediction.confidence.numpy(),
    }
    logits = prediction.logits.numpy()
    return pd.DataFrame(columns | {f"logit_{name}": logits[:, k] for k, name in enumerate(prediction.class_names)})


def _take_place(aside: Path, folder: Path) -> None:
    """Rename, moving an older run out of the way first and deleting it last."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    try:
        aside.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def open_run(folder: str | Path) -> Run:
    """Open a run. Raises RunError when it is missing, damaged, or of a later version."""
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise RunError(f"{folder} holds no run (no run.json). `inspect-fer run` or `inspect-fer explain` makes one.")
    try:
        manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if manifest["schema"] > SCHEMA:
            made_by = manifest["versions"]["inspect-fer"]
            raise RunError(
                f"{folder} was written by inspect-fer {made_by}; this version reads schema {SCHEMA}. Update."
            )
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        prediction = _read_prediction(folder, ModelCard.from_dict(manifest["card"]))
        explanations = {name: read_maps(folder / entry["folder"], entry) for name, entry in manifest["methods"].items()}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{folder} is damaged: {problem!r}. Make the run again.") from problem
    return Run(folder, manifest, prediction, explanations, metrics)


def _read_prediction(folder: Path, card: ModelCard) -> Prediction:
    table = pd.read_parquet(folder / "predictions.parquet")
    return Prediction(
        ids=tuple(table["id"]),
        logits=torch.tensor(table[[f"logit_{name}" for name in card.class_names]].to_numpy("float32")),
        labels=torch.tensor(table["label"].to_numpy("int64")),
        class_names=card.class_names,
        output=card.output,
        threshold=card.threshold,
    )


def faces_of(run: Run) -> Samples:
    """Read the run's faces again, in its order, labelled as its network. Raises DataError where they have gone."""
    card = ModelCard.from_dict(run.manifest["card"])
    stored = run.folder / "pixels.safetensors"
    if not stored.is_file():
        dataset = run.manifest["dataset"]
        faces = samples_for(card, dataset["spec"], dataset["split"], **dataset["options"]).find(run.prediction.ids)
        if dataset.get("sha256") not in {None, _digest(faces)}:
            raise DataError(
                f"The faces of {run.folder} are no longer those of {dataset['spec']}. If they were edited on purpose, "
                "save the run with replace(faces, source={}), which keeps them in it."
            )
        return faces
    try:
        tensors = load_file(stored)
    except SafetensorError as problem:
        raise RunError(f"{stored} is damaged: {problem}. Make the run again.") from problem
    truth = {name.removeprefix("truth."): values for name, values in tensors.items() if name.startswith("truth.")}
    return Samples(run.prediction.ids, tensors["pixels"], tensors["labels"], card.class_names, truth=truth)


def run_folders(parent: Path) -> list[Path]:
    """The runs directly below a folder, the newest first."""
    found = [path.parent for path in parent.glob("*/run.json") if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda folder: (folder / "run.json").stat().st_mtime, reverse=True)
