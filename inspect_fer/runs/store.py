"""Maps on disk: float16 at native resolution, one float32 scale a map, with ids, targets and a checksum."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inspect_fer.errors import RunError
from inspect_fer.schema import Explanation, Footprint

SHARD = "shard-00000"


def write_maps(folder: Path, explanation: Explanation) -> dict[str, Any]:
    """Write an explanation into `folder`; returns its entry of the manifest, which `read_maps` takes."""
    folder.mkdir(parents=True)
    maps = explanation.maps
    scales = maps.nan_to_num(0, 0, 0).abs().amax(dim=(2, 3))
    scales[scales == 0] = 1
    np.save(folder / f"{SHARD}.npy", (maps / scales[..., None, None]).half().numpy())
    np.save(folder / f"{SHARD}.scale.npy", scales.numpy())
    contents = {
        "ids": explanation.ids,
        "targets": explanation.targets.tolist(),
        "confidence": None if explanation.confidence is None else explanation.confidence.tolist(),
        "sha256": {part: _sha256(folder / part) for part in (f"{SHARD}.npy", f"{SHARD}.scale.npy")},
    }
    (folder / f"{SHARD}.json").write_text(json.dumps(contents))
    return {
        "method": dict(explanation.method),
        "layer": explanation.layer,
        "input_size": explanation.input_size,
        "footprint": asdict(explanation.footprint),
        "class_free": explanation.class_free,
        "relative": explanation.relative,
        "fusion": explanation.fusion,
        "deviation": explanation.deviation,
        "same_as": explanation.same_as,
        "broken_layer": explanation.broken_layer,
    }


def read_maps(folder: Path, entry: Mapping[str, Any]) -> Explanation:
    """Read an explanation back. Raises RunError when a file is missing or differs from its checksum."""
    try:
        contents = json.loads((folder / f"{SHARD}.json").read_text())
        for part, checksum in contents["sha256"].items():
            if _sha256(folder / part) != checksum:
                raise RunError(f"{folder / part} is damaged (checksum differs). Make the run again.")
        maps, scales = (torch.from_numpy(np.load(folder / f"{SHARD}{part}.npy")) for part in ("", ".scale"))
    except (OSError, ValueError, KeyError) as problem:
        raise RunError(f"The maps in {folder} cannot be read: {problem}. Make the run again.") from problem
    windows = {axis: tuple((start, stop) for start, stop in entry["footprint"][axis]) for axis in ("rows", "columns")}
    channels, height, width = entry["input_size"]
    return Explanation(
        ids=tuple(contents["ids"]),
        maps=maps.float() * scales[..., None, None],
        targets=torch.tensor(contents["targets"], dtype=torch.int64),
        method=entry["method"],
        layer=entry["layer"],
        input_size=(channels, height, width),
        footprint=Footprint(**windows),
        class_free=entry["class_free"],
        relative=entry.get("relative", False),
        fusion=entry.get("fusion", ""),
        confidence=None if contents.get("confidence") is None else torch.tensor(contents["confidence"]),
        deviation=entry.get("deviation"),
        same_as=tuple(entry.get("same_as", ())),
        broken_layer=entry.get("broken_layer", ""),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
