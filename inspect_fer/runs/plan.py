"""What a run is to hold: its manifest, written before the work, from which any process can do a part of it."""

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
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
from inspect_fer.schema import Classifier, ModelCard, Samples

SCHEMA = 2
LIBRARIES = ("inspect-fer", "torch", "torchvision", "numpy")
ANSWERS = "answers"
SHARD = 1024
"""Samples a shard."""


@dataclass(frozen=True)
class Group:
    """Methods that were asked for together: they share passes, and a shard of theirs is made in one go.

    methods: by the name of their results: the method with its options, the layer it reads, where its maps lie
    options: what `explain` is told; none where the maps were given and cannot be made again
    limit: only the first so many samples are explained; None: all
    few: methods at the resolution of the input, which keep the predicted and the given class only
    """

    methods: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any] | None
    limit: int | None = None
    few: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, as in the manifest."""
        return cls(values["methods"], values["options"], values["limit"], tuple(values["few"]))

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"methods": dict(self.methods), "options": self.options, "limit": self.limit, "few": list(self.few)}

    def without(self, names: Iterable[str]) -> "Group":
        """The same, less some methods."""
        kept = {name: entry for name, entry in self.methods.items() if name not in set(names)}
        return Group(kept, self.options, self.limit, tuple(name for name in self.few if name in kept))

    def rows(self, start: int, count: int) -> int:
        """How many of `count` samples from `start` on are explained."""
        return count if self.limit is None else max(0, min(count, self.limit - start))


@dataclass(frozen=True)
class Manifest:
    """`run.json`: what the run is of, what it is to hold, and how it is cut into shards.

    model: origin, sha256, parameters; dataset: how to read it again, counts, dropped rows; size, count: of the shards
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
        entries = {known: entry for group in self.groups for known, entry in group.methods.items()}
        return Path(str(entries[name]["folder"]) if name else ANSWERS, f"shard-{number:05d}.safetensors")

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

    def grown(self, group: Group) -> "Manifest":
        """The same run with more methods; those of the same name give way."""
        first, *others = (old if old == group else old.without(group.methods) for old in self.groups)
        kept = (first, *(old for old in others if old.methods))  # the answers come with the first, whatever it explains
        return replace(self, groups=kept if group in kept or not group.methods else (*kept, group))

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
