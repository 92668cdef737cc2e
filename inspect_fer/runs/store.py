"""What a shard holds: the maps of one method, or the network's answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspect_fer.errors import RunError
from inspect_fer.runs.shards import AGAIN, Tensors, packed, peek, read_shard, unpacked, write_shard
from inspect_fer.schema import Explanation, Footprint, ModelCard, Prediction

KEPT = ("layer", "input_size", "class_free", "relative", "fusion", "deviation", "same_as", "broken_layer")


def write_maps(path: Path, explanation: Explanation, made_of: Mapping[str, Any]) -> None:
    """Write the maps of some samples; made_of: what they follow from, for whoever asks whether they still hold."""
    tensors = {**packed(explanation.maps), "targets": explanation.targets}
    if explanation.turned is not None:
        tensors["turned"] = explanation.turned
    kept = {name: getattr(explanation, name) for name in KEPT}
    words = {"ids": explanation.ids, "method": dict(explanation.method), "footprint": asdict(explanation.footprint)}
    write_shard(path, tensors, {**kept, **words, **made_of})


def read_maps(paths: Sequence[Path]) -> Explanation:
    """One explanation of the samples of several shards, without their confidence. Raises RunError for a damaged one."""
    return joined([_read_part(path) for path in paths])


def joined(parts: Sequence[Explanation]) -> Explanation:
    """One explanation of the samples of several parts, without their confidence."""
    first = parts[0]
    turned = [part.turned for part in parts if part.turned is not None]  # a shard of before may lack them
    deviations = [part.deviation for part in parts if part.deviation is not None]
    return replace(
        first,
        confidence=None,
        ids=tuple(name for part in parts for name in part.ids),
        maps=torch.cat([part.maps for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        turned=torch.cat(turned) if len(turned) == len(parts) else None,
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
            turned=tensors.get("turned"),
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
    parts = [_answered(path) for path in paths]
    prediction = Prediction(
        tuple(name for _, header in parts for name in header["ids"]),
        torch.cat([tensors["logits"] for tensors, _ in parts]),
        torch.cat([tensors["labels"] for tensors, _ in parts]),
        card.class_names,
        card.output,
        card.threshold,
    )
    return prediction, {name: why for _, header in parts for name, why in header["unreadable"].items()}


def _answered(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """A shard of answers; samples whose answer is not a number are among those that could not be read."""
    return _finite(*read_shard(path))


def _finite(tensors: Tensors, header: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    finite = tensors["logits"].isfinite().all(dim=1)
    told = list(zip(header["ids"], finite.tolist(), strict=True))
    header["ids"] = [name for name, is_number in told if is_number]
    header["unreadable"] |= {name: NO_NUMBER for name, is_number in told if not is_number}
    return {name: values[finite] for name, values in tensors.items()}, header


def glance(path: Path) -> tuple[tuple[str, ...], Tensor, Tensor] | None:
    """Ids, logits and labels of a shard of answers, without a look at its checksum; nothing where it cannot be read."""
    try:
        tensors, header = _finite(*peek(path, ("logits", "labels")))
    except (RunError, KeyError, ValueError, IndexError):
        return None
    return tuple(header["ids"]), tensors["logits"], tensors["labels"]


def read_features(paths: Sequence[Path]) -> Tensor:
    """The features behind the answers, (N, D) float32; D is 0 where a shard has none."""
    parts = [_answered(path)[0]["features"].float() for path in paths]
    held = [part for part in parts if len(part)] or parts[:1]
    return torch.cat([part[:, : min(part.shape[1] for part in held)] for part in held])


NO_NUMBER = "the network's answer is not a number"
HELD = 2
"""Methods whose maps stay in memory once they have been read."""


class StoredMaps(Mapping[str, Explanation]):
    """The explanations of a run, each read from its shards when it is asked for; the last ones are held."""

    def __init__(self, places: Mapping[str, Sequence[Path]], prediction: Prediction) -> None:
        self.places, self.prediction = dict(places), prediction
        self._rows = {name: row for row, name in enumerate(prediction.ids)}
        self._read: dict[str, Explanation] = {}

    def __getitem__(self, name: str) -> Explanation:
        if name not in self._read:
            found = self._sure(read_maps(self._there(name)))
            self._read = dict([*self._read.items(), (name, found)][-HELD:])
        return self._read[name]

    def parts(self, name: str) -> Iterator[Explanation]:
        """The explanation of one shard after the other, of which none is held."""
        return (self._sure(read_maps([path])) for path in self._there(name))

    def _there(self, name: str) -> list[Path]:
        """The shards of a method; of samples none of which could be read there is none."""
        return [path for path in self.places[name] if path.is_file()]

    def _sure(self, found: Explanation) -> Explanation:
        """With confidences, less the samples whose answer is not a number."""
        found = found.of([row for row, sample in enumerate(found.ids) if sample in self._rows])
        rows = torch.tensor([self._rows[sample] for sample in found.ids], dtype=torch.int64)
        return replace(found, confidence=self.prediction.confidence[rows])

    def __contains__(self, name: object) -> bool:
        return name in self.places  # no map is read for that

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
