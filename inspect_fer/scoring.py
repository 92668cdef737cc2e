"""Score picture files: they are read in threads ahead of the network, and what cannot be read is set aside."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from inspect_fer.errors import DataError
from inspect_fer.faces import crop_face
from inspect_fer.images import SUFFIXES, image_files, read_image
from inspect_fer.predict import predict
from inspect_fer.schema import Classifier, Prediction, Tick

BATCH, AHEAD, THREADS = 64, 4, 2
"""Pictures at a time (more would not fit the cache), batches read ahead, and threads that read."""


@dataclass(frozen=True)
class Scored:
    """What a network said of picture files: ids are file names below their folder; left_out: the reason by file."""

    prediction: Prediction
    left_out: dict[str, str]

    def table(self, digits: int | None = None) -> pd.DataFrame:
        """One row a picture, one column a class: probabilities, in full or as text of so many decimals.

        Networks with sigmoid outputs have a column "emotions" as well, names with ";" between: see `emotions`.
        """
        values = self.prediction.probabilities.numpy()
        shown = values if digits is None else np.char.mod(f"%.{digits}f", values)
        columns: dict[str, Any] = {"file": self.prediction.ids}
        columns |= {name: shown[:, k] for k, name in enumerate(self.prediction.class_names)}
        if self.prediction.output == "sigmoid":
            columns["emotions"] = [";".join(found) for found in emotions(self.prediction)]
        return pd.DataFrame(columns)


def emotions(prediction: Prediction) -> list[tuple[str, ...]]:
    """Per sample the classes whose probability lies above the threshold, the most probable one where none does."""
    chosen = prediction.probabilities > prediction.threshold
    chosen[torch.arange(len(prediction)), prediction.predicted] |= ~chosen.any(dim=1)
    return [tuple(np.array(prediction.class_names)[row].tolist()) for row in chosen.numpy()]


def pictures_in(folder: Path, *, recursive: bool = True) -> list[Path]:
    """The picture files of a folder, sorted, with those of the folders below it unless told otherwise; not hidden ones.

    Raises DataError for what is no folder or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Name one that holds pictures.")
    among = image_files(folder) if recursive else (path for path in sorted(folder.iterdir()) if _is_picture(path))
    found = [path for path in among if path.is_file()]
    if not found:
        where = "in or below" if recursive else "directly in"
        raise DataError(f"There is no picture {where} {folder}. Pictures end in {', '.join(sorted(SUFFIXES))}.")
    return found


def score_files(
    model: Classifier, folder: Path, paths: Sequence[Path], *, crop: bool = False, tick: Tick | None = None
) -> Scored:
    """Ask a network about picture files below a folder, as its card says they are read.

    crop: find the largest face in each picture; a picture without one is left out

    Raises DataError when no picture can be read, or when the network does not take squares.
    """
    channels, height, width = model.card.input_size
    if height != width:
        raise DataError(f"Pictures are read as squares; this network takes {height} x {width}.")
    read = partial(_read, size=model.card.read_size or height, channels=channels, crop=crop)
    answers: list[Tensor] = []
    names: list[str] = []
    left_out: dict[str, str] = {}
    for start, batch in _read_ahead(read, paths, threads=1 if crop else THREADS):  # OpenCV's detector is not shared
        pixels = []
        for path, found in zip(paths[start:], batch, strict=False):
            name = path.relative_to(folder).as_posix()
            if isinstance(found, Tensor):
                pixels.append(found)
                names.append(name)
            else:
                left_out[name] = str(found)
        if pixels:
            answers.append(predict(model, torch.stack(pixels), batch_size=BATCH).logits)
        if tick:
            tick(start + len(batch), len(paths))
    if not answers:
        first = next(iter(left_out.values()), "there are none")
        raise DataError(f"None of the {len(paths):,} pictures of {folder} could be read. The first: {first}")
    card, unknown = model.card, torch.full((len(names),), -1)
    answer = Prediction(tuple(names), torch.cat(answers), unknown, card.class_names, card.output, card.threshold)
    return _finite(answer, left_out)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read(path: Path, *, size: int, channels: int, crop: bool) -> Tensor | DataError:
    """A picture as (C, size, size) uint8, or why there is none."""
    try:
        if crop:
            return crop_face(read_image(path), size=size, channels=channels, name=str(path))
        return read_image(path, size=size, channels=channels)
    except DataError as problem:
        return problem


def _read_ahead(
    read: Callable[[Path], Tensor | DataError], paths: Sequence[Path], *, threads: int
) -> Iterator[tuple[int, list[Tensor | DataError]]]:
    """Yield where a batch starts and what was read of it, while the next ones are being read."""
    waiting: deque[tuple[int, list[Future[Tensor | DataError]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(paths), BATCH):
            waiting.append((start, [pool.submit(read, path) for path in paths[start : start + BATCH]]))
            if len(waiting) > AHEAD:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())


def _done(start: int, batch: list[Future[Tensor | DataError]]) -> tuple[int, list[Tensor | DataError]]:
    return start, [found.result() for found in batch]


def _finite(answer: Prediction, left_out: dict[str, str]) -> Scored:
    """Move answers that are no numbers to what is left out."""
    kept = answer.logits.isfinite().all(dim=1)
    ids = np.array(answer.ids, dtype=object)
    for name in ids[~kept.numpy()]:
        left_out[name] = f"the network's answer to {name} is not a number"
    few = replace(answer, ids=tuple(ids[kept.numpy()]), logits=answer.logits[kept], labels=answer.labels[kept])
    return Scored(few, left_out)
