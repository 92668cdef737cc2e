"""The training log on disk: history, every epoch's logits of every training sample, and the state to resume from.

FOLDER/
  recipe.json        the recipe and what it is trained on; another recipe never meets this log
  history.json       one entry an epoch
  ids.json           the training samples, in the order of the logits
  logits/0000.npy    (N, K) float16, as seen while training (augmented, mixed where asked, with dropout)
  state.pt           network, best network, optimiser and schedule after the last whole epoch
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from inspect_fer.errors import RunError
from inspect_fer.files import aside


class Restorable(Protocol):
    """Goes back to an earlier state."""

    def restore(self, stored: dict[str, Any], /) -> None:
        """Take over what was stored."""


@dataclass(frozen=True)
class TrainingLog:
    """A training that was read back: ids, logits (E, N, K) float16, history with one entry an epoch."""

    ids: tuple[str, ...]
    logits: np.ndarray[Any, np.dtype[np.float16]]
    history: list[dict[str, float]]


def read_log(folder: Path) -> TrainingLog:
    """Read the log of a training. Raises RunError when there is none."""
    history = read_history(folder)
    try:
        logits = [np.load(_logits(folder, epoch)) for epoch in range(len(history))]
        return TrainingLog(tuple(json.loads((folder / "ids.json").read_text())), np.stack(logits), history)
    except (OSError, ValueError) as problem:
        raise RunError(f"{folder} holds a damaged training log: {problem}.") from problem


def read_history(folder: Path) -> list[dict[str, float]]:
    """Read the history alone. Raises RunError when there is none."""
    try:
        history: list[dict[str, float]] = json.loads((folder / "history.json").read_text())
    except (OSError, ValueError) as problem:
        raise RunError(f"{folder} holds no training log: {problem}.") from problem
    return history


def begin(folder: Path, made_of: Mapping[str, Any], ids: tuple[str, ...], *, restart: bool = False) -> None:
    """Make the folder, or check that what it holds is the same training. Raises RunError when it is another."""
    stored = folder / "recipe.json"
    text = json.dumps(made_of, indent=2, sort_keys=True)
    begun = (folder / "state.pt").is_file()
    if begun and not restart and not _says(stored, text):
        raise RunError(f"{folder} holds a training of another recipe or dataset. Add --restart, or name another --out.")
    if restart or not begun:
        for old in (folder / "state.pt", folder / "history.json", *(folder / "logits").glob("*.npy")):
            old.unlink(missing_ok=True)
        (folder / "logits").mkdir(parents=True, exist_ok=True)
        write_aside(folder / "ids.json", json.dumps(ids).encode())
        write_aside(stored, text.encode())


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False


def load_state(folder: Path) -> dict[str, Any] | None:
    """The state after the last whole epoch, None before the first."""
    path = folder / "state.pt"
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for a damaged file
        raise RunError(f"{path} is damaged. Add --restart to train from the beginning.") from problem
    return state


def restore(folder: Path, state: Restorable, stored: dict[str, Any]) -> None:
    """Put a stored state back. Raises RunError when it is of something else."""
    try:
        state.restore(stored)
    except (KeyError, ValueError, RuntimeError, TypeError) as problem:
        raise RunError(
            f"{folder / 'state.pt'} is of something else. Add --restart to train from the beginning."
        ) from problem


def write_epoch(folder: Path, state: Mapping[str, Any], logits: torch.Tensor) -> None:
    """Store an epoch; the state comes last, because it is what a resumed training believes."""
    history = state["history"]
    with _aside(_logits(folder, len(history) - 1)) as part, part.open("wb") as file:
        np.save(file, logits.half().numpy())
    write_aside(folder / "history.json", json.dumps(history, indent=1).encode())
    with _aside(folder / "state.pt") as part:
        torch.save(dict(state), part)


def write_aside(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or not there."""
    with _aside(path) as part:
        part.write_bytes(content)


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well; the old file stays when it did not."""
    try:
        with aside(path) as part:
            yield part
    except (OSError, RuntimeError) as problem:  # torch.save says "RuntimeError" when the disk is full
        raise RunError(
            f"{path} cannot be written: {problem}. Is the disk full? What was whole before is kept; started again, the "
            "training goes on there."
        ) from problem


def _logits(folder: Path, epoch: int) -> Path:
    return folder / "logits" / f"{epoch:04d}.npy"
