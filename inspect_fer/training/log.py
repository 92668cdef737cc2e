"""The training log on disk: history, every epoch's logits of every training sample, and the state to resume from.

FOLDER/
  recipe.json        the recipe and what it is trained on; another recipe never meets this log
  history.json       one entry an epoch
  ids.json           the training samples, in the order of the logits
  logits/0000.npy    (N, K) float16, as seen while training (augmented, mixed where asked, with dropout)
  state.pt           network, best network, optimiser and schedule after the last whole epoch, and whose they are
"""

import hashlib
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
    begun = (folder / "state.pt").is_file()
    if begun and not restart and (other := _difference(stored, made_of)):
        raise _another(folder, other)
    for part in (*folder.glob(".*.part"), *folder.glob("logits/.*.part")):
        part.unlink(missing_ok=True)  # a training that was killed while it wrote has left it
    if restart or not begun:
        for old in (folder / "state.pt", folder / "history.json", *(folder / "logits").glob("*.npy")):
            old.unlink(missing_ok=True)
        (folder / "logits").mkdir(parents=True, exist_ok=True)
        write_aside(folder / "ids.json", json.dumps(ids).encode())
        write_aside(stored, json.dumps(made_of, indent=2, sort_keys=True).encode())


def mark_of(made_of: Mapping[str, Any]) -> str:
    """What tells the state of one training from another's."""
    return hashlib.sha256(json.dumps(_entries(made_of), sort_keys=True).encode()).hexdigest()


def _another(folder: Path, how: str) -> RunError:
    return RunError(f"{folder} holds another training: {how}. Add --restart, or name another --out.")


def _difference(path: Path, made_of: Mapping[str, Any]) -> str:
    """The first entry in which a stored recipe.json differs from this one, "" where they are the same."""
    try:
        before, now = _entries(json.loads(path.read_text(encoding="utf-8"))), _entries(made_of)
    except (OSError, ValueError, AttributeError):
        return f"its {path.name} is damaged"
    pairs = {key: (before.get(key, "nothing"), now.get(key, "nothing")) for key in {**before, **now}}
    return next(
        (f"{key.removeprefix('recipe.')} {old} -> {new}" for key, (old, new) in pairs.items() if old != new), ""
    )


def _entries(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Everything in nested tables as JSON, by dotted key."""
    found: dict[str, str] = {}
    for name, value in values.items():
        key = f"{above}{name}"
        found |= _entries(value, f"{key}.") if isinstance(value, Mapping) else {key: json.dumps(value)}
    return found


def load_state(folder: Path, mark: str) -> dict[str, Any] | None:
    """The state after the last whole epoch, None before the first. Raises RunError where it is not of this training."""
    path = folder / "state.pt"
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for a damaged file
        raise RunError(f"{path} is damaged. Add --restart to train from the beginning.") from problem
    if state.get("mark", mark) != mark:  # states of earlier versions bear none
        raise _another(folder, f"two were begun there at once, and {path.name} is the other one's")
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
        reason = f": {problem.strerror or problem}" if isinstance(problem, OSError) else ""
        begun = any((above / "state.pt").is_file() for above in path.parents[:2])
        kept = " What was whole before is kept; started again, the training goes on there." if begun else ""
        raise RunError(f"{path} cannot be written{reason}. Is the disk full?{kept}") from problem


def _logits(folder: Path, epoch: int) -> Path:
    return folder / "logits" / f"{epoch:04d}.npy"
