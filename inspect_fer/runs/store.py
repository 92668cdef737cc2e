"""What a shard holds: the maps of one method, or the network's answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspect_fer.errors import RunError
from inspect_fer.runs.shards import AGAIN, about, packed, read_shard, unpacked, write_shard
from inspect_fer.schema import Explanation, Footprint, ModelCard, Prediction

KEPT = ("layer", "input_size", "class_free", "relative", "fusion", "deviation", "same_as", "broken_layer")


def write_maps(path: Path, explanation: Explanation, made_of: Mapping[str, Any]) -> None:
    """Write the maps of some samples; made_of: what they follow from, for whoever asks whether they still hold."""
    tensors = {**packed(explanation.maps), "targets": explanation.targets}
    kept = {name: getattr(explanation, name) for name in KEPT}
    words = {"ids": explanation.ids, "method": dict(explanation.method), "footprint": asdict(explanation.footprint)}
    write_shard(path, tensors, {**kept, **words, **made_of})


def read_maps(paths: Sequence[Path]) -> Explanation:
    """One explanation of the samples of several shards, without their confidence. Raises RunError for a damaged one."""
    parts = [_read_part(path) for path in paths]
    first = parts[0]
    deviations = [part.deviation for part in parts if part.deviation is not None]
    return replace(
        first,
        ids=tuple(name for part in parts for name in part.ids),
        maps=torch.cat([part.maps for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        deviation=max(deviations, default=None),
        same_as=tuple(name for name in first.same_as if all(name in part.same_as for part in parts)),
        broken_layer=next((part.broken_layer for part in parts if part.broken_layer), ""),
    )


def _read_part(path: Path) -> Explanation:
    tensors, header = read_shard(path)
    try:
        windows = {name: tuple(map(tuple, header["footprint"][name])) for name in ("rows", "columns")}
        kept = {name: header[name] for name in KEPT}
        kept |= {name: tuple(kept[name]) for name in ("input_size", "same_as")}
        return Explanation(
            ids=tuple(header["ids"]),
            maps=unpacked(tensors),
            targets=tensors["targets"],
            method=header["method"],
            footprint=Footprint(**windows),
            **kept,
        )
    except KeyError as problem:
        raise RunError(f"{path} lacks {problem}. {AGAIN}") from problem


def write_answers(
    path: Path, prediction: Prediction, features: Tensor, unreadable: Mapping[str, str], made_of: Mapping[str, Any]
) -> None:
    """Write what the network answered, the features (N, D) behind the answers, and why samples are missing."""
    tensors = {"logits": prediction.logits, "labels": prediction.labels, "features": features.half()}
    write_shard(path, tensors, {"ids": prediction.ids, "unreadable": dict(unreadable), **made_of})


def read_answers(paths: Sequence[Path], card: ModelCard) -> tuple[Prediction, dict[str, str]]:
    """The answers of all shards, and the samples that could not be read, with the reason."""
    parts = [read_shard(path) for path in paths]
    prediction = Prediction(
        tuple(name for _, header in parts for name in header["ids"]),
        torch.cat([tensors["logits"] for tensors, _ in parts]),
        torch.cat([tensors["labels"] for tensors, _ in parts]),
        card.class_names,
        card.output,
        card.threshold,
    )
    return prediction, {name: why for _, header in parts for name, why in header["unreadable"].items()}


def read_features(paths: Sequence[Path]) -> Tensor:
    """The features behind the answers, (N, D) float32."""
    parts = [read_shard(path)[0]["features"].float() for path in paths]
    return torch.cat([part for part in parts if len(part)] or parts[:1])


HELD = 2
"""Methods whose maps stay in memory once they have been read."""


class StoredMaps(Mapping[str, Explanation]):
    """The explanations of a run, each read from its shards when it is asked for; the last ones are held."""

    def __init__(self, places: Mapping[str, Sequence[Path]], prediction: Prediction) -> None:
        self.places, self.prediction = dict(places), prediction
        self._rows = {name: row for row, name in enumerate(prediction.ids)}
        self._read: dict[str, Explanation] = {}
        for path in (path for paths in self.places.values() for path in paths):
            about(path)  # a missing or foreign file is told at once, what its checksum hides when it is read

    def __getitem__(self, name: str) -> Explanation:
        if name not in self._read:
            found = self._sure(read_maps(self.places[name]))
            self._read = dict([*self._read.items(), (name, found)][-HELD:])
        return self._read[name]

    def parts(self, name: str) -> Iterator[Explanation]:
        """The explanation of one shard after the other, of which none is held."""
        return (self._sure(read_maps([path])) for path in self.places[name])

    def _sure(self, found: Explanation) -> Explanation:
        rows = torch.tensor([self._rows[sample] for sample in found.ids], dtype=torch.int64)
        return replace(found, confidence=self.prediction.confidence[rows])

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
