"""Weights from files. Nothing is ever unpickled."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from inspect_fer.errors import CheckpointError

FOREIGN = frozenset({".pt", ".pth", ".bin", ".ckpt"})


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file or of a state dict that torch saved, by name.

    Raises CheckpointError for a file that is missing, damaged, or does not load without running code.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There are no weights {path.absolute()}; name the file at `weights` in the options of [network]."
        )
    if path.suffix in FOREIGN:
        return read_foreign(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as problem:
        raise CheckpointError(f"{path} is not a whole safetensors file: {problem}.") from problem


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Read a state dict that torch saved, with weights-only loading. Raises CheckpointError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on old formats
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises whatever a hostile file makes it stumble over
        raise CheckpointError(
            f"{path} is not a state dict that loads without running code. Nothing of it was run; save the network's "
            "state_dict() where it was made."
        ) from problem
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path} holds something other than a state dict of tensors.")
    return {str(name).removeprefix("module."): value for name, value in loaded.items()}
