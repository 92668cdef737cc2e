"""A shard on disk: the tensors of some samples in one safetensors file, with what they are in its header.

Maps are float16 at their own resolution with one float32 scale a map; logits are float32, features float16. A shard is
written aside and renamed when whole; the header's checksum is over the tensors, so that damage shows.
"""

import hashlib
import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from inspect_fer.errors import RunError
from inspect_fer.files import write_whole

AGAIN = "Start the same run again: what is damaged or missing is made again, the rest is kept."
Tensors = dict[str, Tensor]


def write_shard(path: Path, tensors: Tensors, about: Mapping[str, Any]) -> None:
    """Write tensors and what they are. Equal contents make equal files. Raises OSError where there is no room."""
    whole = {name: values.contiguous() for name, values in tensors.items()}
    words = json.dumps({**about, "sha256": checksum(whole)}, sort_keys=True)
    write_whole(path, save(whole, {"shard": words}))


def about(path: Path) -> dict[str, Any]:
    """What the header says. Raises RunError for what is no shard."""
    return _opened(path, ())[1]


def peek(path: Path, names: Container[str]) -> tuple[Tensors, dict[str, Any]]:
    """Some tensors and the header, the checksum not looked at. Raises RunError for what is no shard."""
    return _opened(path, names)


def read_shard(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and header. Raises RunError where the file is missing, cut short, or not what its checksum says."""
    tensors, header = _opened(path)
    if checksum(tensors) != header.get("sha256"):
        raise RunError(f"{path} is damaged (checksum differs). {AGAIN}")
    return tensors, header


def _opened(path: Path, names: Container[str] | None = None) -> tuple[Tensors, dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = json.loads(file.metadata()["shard"])
            read = [name for name in file.keys() if names is None or name in names]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in read}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{path} cannot be read: {problem}. {AGAIN}") from problem
    return tensors, header


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and values."""
    digest = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.contiguous().numpy().data)
    return digest.hexdigest()


def packed(maps: Tensor) -> Tensors:
    """Maps (N, T, h, w) float32 as float16, each divided by its largest size, which is kept as its scale."""
    scales = maps.nan_to_num(0, 0, 0).abs().amax(dim=(2, 3))
    scales[scales == 0] = 1
    return {"maps": (maps / scales[..., None, None]).half(), "scales": scales}


def unpacked(tensors: Mapping[str, Tensor]) -> Tensor:
    """The maps again, float32."""
    return tensors["maps"].float() * tensors["scales"][..., None, None]
