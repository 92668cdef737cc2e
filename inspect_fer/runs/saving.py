"""What was computed already, written as a run."""

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from inspect_fer.errors import RunError
from inspect_fer.runs.faces import store_faces
from inspect_fer.runs.folder import finish, open_run, take_place
from inspect_fer.runs.group import Group
from inspect_fer.runs.plan import SHARD, Manifest, begun, contents, place_of, write_json
from inspect_fer.runs.standing import require_free
from inspect_fer.runs.store import write_answers, write_maps
from inspect_fer.schema import Classifier, Explanation, Prediction, Run, Samples


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
            write_maps(folder / manifest.path(name, number), why.of(rows), made_of)
    finish(folder, manifest)


def _require_one_set(faces: Samples, prediction: Prediction, explanations: Mapping[str, Explanation]) -> None:
    strange = [name for name, why in explanations.items() if not set(why.ids) <= set(faces.ids)]
    if prediction.ids != faces.ids or strange:
        raise RunError(f"{strange[0] if strange else 'The prediction'} is of other samples than the faces of the run.")
