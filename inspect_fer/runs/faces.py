"""The faces of a run: read again from their dataset, or kept beside the answers where they belong to none."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from inspect_fer.datasets import samples_for
from inspect_fer.errors import DataError, RunError
from inspect_fer.files import write_whole
from inspect_fer.runs.plan import Manifest, pixels_hash
from inspect_fer.schema import Run, Samples

MOVED = "If they have moved, start the same run with --data KIND:PATH of where they lie: it takes note of it."


def faces_of(run: Run, spec: str | None = None) -> Samples:
    """Read the run's faces again, in its order, labelled as its network. Raises DataError where they have gone.

    spec: where the dataset lies now, KIND:PATH, when it has moved
    """
    return samples_of(run.folder, Manifest.from_dict(run.manifest), spec).find(run.prediction.ids)


def samples_of(folder: Path, manifest: Manifest, spec: str | None = None) -> Samples:
    """All that a run is of, labelled as its network. Raises DataError where they are not the same any more."""
    stored, dataset = folder / "pixels.safetensors", manifest.dataset
    if stored.is_file():
        return _stored_faces(stored, manifest)
    spec = spec or dataset.get("spec")
    if spec is None:
        raise DataError(f"{folder} kept its faces in pixels.safetensors, which has gone. Make the run again.")
    try:
        faces = samples_for(manifest.card, spec, dataset.get("split", "test"), **dataset.get("options", {}))
    except DataError as problem:
        raise DataError(f"The faces of {folder} cannot be read: {problem} {MOVED}") from problem
    if len(faces) < manifest.samples:
        raise DataError(f"{spec} has {len(faces)} samples now, of {manifest.samples} in {folder}.")
    faces = faces[: manifest.samples]
    if dataset.get("sha256") not in {None, pixels_hash(faces)}:
        raise DataError(
            f"The faces of {folder} are no longer those of {spec}. If they were edited on purpose, save the "
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


def store_faces(folder: Path, faces: Samples) -> None:
    """Keep the faces in the run where they belong to no dataset."""
    if "spec" not in faces.source:
        truth = {f"truth.{name}": values.contiguous() for name, values in faces.truth.items()}
        tensors = {"pixels": faces.pixels[:].contiguous(), "labels": faces.labels, **truth}
        write_whole(folder / "pixels.safetensors", save(tensors, {"ids": json.dumps(faces.ids)}))
