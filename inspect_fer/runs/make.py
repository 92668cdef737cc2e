"""From a network and samples to a run in one call."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

import torch

from inspect_fer.explain import Options, explain
from inspect_fer.explain.method import Method
from inspect_fer.predict import predict
from inspect_fer.runs.folder import require_free, save_run
from inspect_fer.schema import Classifier, Run, Samples, Tick

Track = Callable[[str], Tick]
"""Starts a progress bar of that name."""


def make_run(
    folder: str | Path,
    model: Classifier,
    faces: Samples,
    methods: Mapping[str, Method] | Sequence[str | Method],
    *,
    limit: int | None = None,
    command: str | None = None,
    overwrite: bool = False,
    track: Track = lambda _: lambda _done, _total: None,
    **options: Unpack[Options],
) -> Run:
    """Predict all samples, explain them (the first `limit` of them), and write the run.

    options: what `explain` takes. Raises what `predict`, `explain` and `save_run` raise.
    """
    require_free(Path(folder), overwrite=overwrite)  # said before the work, not after it
    answer = predict(model, faces, tick=track("predicting"))
    explained = faces if limit is None else faces[torch.arange(min(limit, len(faces)))]
    options["tick"] = track("explaining")
    maps = explain(model, explained, methods, **options) if methods else {}
    return save_run(folder, model, faces, answer, maps, command=command, overwrite=overwrite)
