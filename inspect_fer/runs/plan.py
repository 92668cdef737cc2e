"""What a run is to hold: its manifest, written before the work, from which any process can do a part of it."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from inspect_fer.files import write_whole
from inspect_fer.internals import layer_rows
from inspect_fer.models.checkpoint import fingerprint
from inspect_fer.runs.group import Group, brief
from inspect_fer.schema import Classifier, ModelCard, Samples

SCHEMA = 2
LIBRARIES = ("inspect-fer", "torch", "torchvision", "numpy")
ANSWERS = "answers"
SHARD = 1024
"""Samples a shard."""


@dataclass(frozen=True)
class Manifest:
    """`run.json`: what the run is of, what it is to hold, and how it is cut into shards.

    model: origin, sha256, parameters; dataset: how to read it again, counts, dropped rows
    groups: what is explained, and how; the answers come with the first
    samples: of the dataset, readable or not; shard: how many of them a shard holds
    threads: with which each process computes, the same for good: sums of another number of them have other last bits
    made: by what, when, where, with which versions
    """

    model: Mapping[str, Any]
    card: ModelCard
    dataset: Mapping[str, Any]
    groups: tuple[Group, ...]
    samples: int
    shard: int
    threads: int
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.samples // self.shard)

    def rows(self, number: int) -> slice:
        """Which samples the shard of that number holds."""
        return slice(number * self.shard, min((number + 1) * self.shard, self.samples))

    def path(self, name: str, number: int) -> Path:
        """Where the shard of a method lies within the run, or that of the answers ("")."""
        folder = str(self.group(name).methods[name]["folder"]) if name else ANSWERS
        return Path(folder, f"shard-{number:05d}.safetensors")

    def explained(self, name: str, number: int) -> int:
        """How many samples, readable or not, the shard of that number is to hold of a method."""
        rows, group = self.rows(number), self.group(name)
        return group.rows(rows.start, rows.stop - rows.start)

    def group(self, name: str) -> Group:
        """The one that a method belongs to; one without methods for the answers ("")."""
        return next((group for group in self.groups if name in group.methods), Group({}, {}))

    def paths(self) -> dict[str, list[Path]]:
        """The shards of each method within the run, and those of the answers ("")."""
        found = {"": [self.path("", number) for number in range(self.shards)]}
        for group in self.groups:
            explained = self.samples if group.limit is None else min(group.limit, self.samples)
            for name in group.methods:
                found[name] = [self.path(name, number) for number in range(-(-explained // self.shard))]
        return found

    def essence(self, name: str) -> str:
        """A hash of everything but the samples that the shards of a method follow from; "" stands for the answers."""
        card = {entry: getattr(self.card, entry) for entry in ("input_size", "mean", "std", "read_size", "class_names")}
        group = self.group(name)
        asked = {"method": group.methods[name], "options": group.options, "few": name in group.few} if name else {}
        words = json.dumps([self.model["sha256"], card, asked], sort_keys=True)
        return hashlib.sha256(words.encode()).hexdigest()

    def differences(self, name: str, asked: Group) -> str:
        """How a method that it holds was made otherwise than it is asked for now, in words; "" where it was not."""
        held = self.group(name)
        if name not in held.methods:
            return ""
        if held.options is None:
            return "they were given to save_run"
        before, now = held.told(name), asked.told(name)
        return "; ".join(
            f"{option}: {brief(before.get(option))}, not {brief(now.get(option))}"
            for option in {**before, **now}
            if before.get(option) != now.get(option)
        )

    def grown(self, asked: Group) -> "Manifest":
        """The same run with more methods, and more samples explained by those that it holds alike, never fewer.

        Those that were made otherwise give way.
        """
        lacking = asked.without(name for name in asked.methods if self._covers(name, asked))
        if not self.groups:
            return replace(self, groups=(lacking,))
        first, *others = (old.without(lacking.methods) for old in self.groups)
        held = (first, *(old for old in others if old.methods))  # the answers come with the first, whatever it explains
        return replace(self, groups=(*held, lacking) if lacking.methods else held)

    def _covers(self, name: str, asked: Group) -> bool:
        """Whether a method is held as it is asked for, of as many samples at least."""
        held = self.group(name)
        alike = name in held.methods and not self.differences(name, asked)
        return alike and held.rows(0, self.samples) >= asked.rows(0, self.samples)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, the methods of all groups beside them for whoever reads the file."""
        listed = {name: entry for group in self.groups for name, entry in group.methods.items()}
        return {
            "schema": SCHEMA,
            "model": dict(self.model),
            "card": self.card.as_dict(),
            "dataset": dict(self.dataset),
            "methods": listed,
            "groups": [group.as_dict() for group in self.groups],
            "samples": self.samples,
            "shard": self.shard,
            "threads": self.threads,
            **self.made,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From plain values."""
        own = {name: values[name] for name in ("model", "dataset", "samples", "shard", "threads")}
        groups = tuple(map(Group.from_dict, values["groups"]))
        made = {name: values[name] for name in values if name not in {*own, "schema", "card", "methods", "groups"}}
        return cls(card=ModelCard.from_dict(values["card"]), groups=groups, made=made, **own)


def begun(model: Classifier, faces: Samples, *, shard: int, threads: int, command: str) -> Manifest:
    """The manifest of a run that holds answers only."""
    device = str(model.device)
    versions = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    size = sum(weights.numel() for weights in model.network.parameters())
    origin = model.origin and str(Path(model.origin).absolute())  # to be found from any folder
    return Manifest(
        {"origin": origin, "sha256": fingerprint(model.network), "parameters": size},
        model.card,
        {**faces.source, "counts": faces.counts(), "dropped": dict(faces.dropped), "sha256": pixels_hash(faces)},
        (),
        len(faces),
        shard,
        threads,
        {
            "command": command,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": device,
            "versions": versions,
            "layers": layer_rows(model),
        },
    )


def pixels_hash(faces: Samples) -> str | None:
    """SHA-256 of the pixels, None where they stay on disk."""
    if not isinstance(faces.pixels, Tensor):
        return None
    return hashlib.sha256(faces.pixels.contiguous().numpy().data).hexdigest()


def contents(faces: Samples) -> str:
    """SHA-256 of ids, labels, classes and pixels, which are read where they stay on disk."""
    digest = hashlib.sha256(json.dumps([faces.ids, faces.labels.tolist(), faces.class_names]).encode())
    digest.update(faces.pixels[:].contiguous().numpy().data)
    return digest.hexdigest()


def place_of(name: str, layer: str) -> str:
    """Where the maps of a method lie within the run."""
    return f"maps/{slug(name)}/{slug(layer or 'input')}"


def slug(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9.+=_-]+", "-", name).strip("-.") or "unnamed"


def as_plain(values: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(values, default=str))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values for people and programs, whole or not at all."""
    write_whole(path, json.dumps(values, indent=1, ensure_ascii=False).encode())


def targets_of(targets: Any, rows: slice) -> Any:
    """What the samples of a shard are to be explained for, of what was asked for all."""
    return torch.tensor(targets[rows]) if isinstance(targets, list) else targets
