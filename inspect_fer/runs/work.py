"""A shard from beginning to end: read the samples, put them through the network, write answers and maps."""

import json
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspect_fer.errors import DataError, FerError, RunError
from inspect_fer.explain import Examined, examine, explain, make_method
from inspect_fer.explain.method import Method
from inspect_fer.models.checkpoint import fingerprint, load
from inspect_fer.runs.faces import samples_of
from inspect_fer.runs.group import Group
from inspect_fer.runs.manifest import read_manifest
from inspect_fer.runs.plan import Manifest, contents, targets_of
from inspect_fer.runs.shards import read_shard
from inspect_fer.runs.store import write_answers, write_maps
from inspect_fer.schema import Classifier, Prediction, Samples


@dataclass(frozen=True)
class Part:
    """The samples of a shard that could be read, in memory.

    places: of these among all of the shard; unreadable: the others, with the reason; contents: a hash of the samples
    """

    number: int
    faces: Samples
    places: tuple[int, ...]
    unreadable: Mapping[str, str]
    contents: str

    def first(self, count: int) -> Samples:
        """Those among the first `count` samples of the shard, readable or not."""
        return self.faces[: sum(place < count for place in self.places)]


@dataclass(frozen=True)
class Job:
    """A run to be worked on; methods: those of the manifest, ready to be called."""

    folder: Path
    manifest: Manifest
    model: Classifier
    faces: Samples
    methods: Mapping[str, Method]

    @classmethod
    def of(cls, folder: Path, model: Classifier | None = None, spec: str | None = None) -> "Job":
        """What the manifest in the folder says; model, spec: network and dataset, when they are elsewhere now.

        Raises RunError where the network has gone or is not the same any more, DataError for the samples.
        """
        manifest = Manifest.from_dict(read_manifest(folder))
        model = _network(folder, manifest) if model is None else model
        if fingerprint(model.network) != manifest.model["sha256"]:
            raise RunError(f"{model.origin or 'That'} is another network than that of {folder}.")
        return cls(folder, manifest, model, samples_of(folder, manifest, spec), methods_of(manifest))

    def make(self, numbers: Sequence[int]) -> Iterator[tuple[int, bool]]:
        """Make what is missing of these shards, reading the next one meanwhile; yields number and whether there was."""
        with using(self.manifest.threads):
            for part in ahead(self.read, numbers):
                started = time.monotonic()
                made = self._make(part)
                if made:
                    self._note(
                        {"shard": part.number, "samples": len(part.faces), "seconds": time.monotonic() - started}
                    )
                yield part.number, made

    def _note(self, line: Mapping[str, Any]) -> None:
        """Times stand apart from what was found, which is the same whenever and wherever it was made."""
        with (self.folder / "times.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def read(self, number: int) -> Part:
        """The samples of a shard; those that cannot be read are left out, with the reason."""
        rows = self.manifest.rows(number)
        faces, places, unreadable = readable(self.faces[rows])
        return Part(number, faces, places, unreadable, contents(faces))

    def _make(self, part: Part) -> bool:
        """Make what is not there as it should be; whether there was anything."""
        made = False
        for group, faces, wanted in self.wanted(part):
            if not all(self._holds(name, self.path(name, part.number), held) for name, held in wanted.items()):
                self._fill(part, faces, group, wanted)
                made = True
        return made

    def wanted(self, part: Part) -> Iterator[tuple[Group, Samples, dict[str, str]]]:
        """Each group with the samples of the part that it explains, and which shards follow from them.

        The answers ("") come with the first group; with the name of a shard goes the hash of the samples that it is of.
        """
        rows = self.manifest.rows(part.number)
        for place, group in enumerate(self.manifest.groups):
            faces = part.first(group.rows(rows.start, rows.stop - rows.start))
            held = part.contents if len(faces) == len(part.faces) else contents(faces)  # less: a limit
            wanted = dict.fromkeys(group.methods, held) if len(faces) else {}
            yield group, faces, wanted | ({} if place else {"": part.contents})

    def path(self, name: str, number: int) -> Path:
        """Where the shard of a method lies, or of the answers ("")."""
        return self.folder / self.manifest.path(name, number)

    def _holds(self, name: str, path: Path, held: str) -> bool:
        """Whether the shard is there, undamaged, and of this network, these options and these samples."""
        try:
            header = read_shard(path)[1]
        except RunError:
            return False
        return self._made_of(name, held).items() <= header.items()

    def _made_of(self, name: str, held: str) -> dict[str, str]:
        return {"essence": self.manifest.essence(name), "contents": held}

    def _fill(self, part: Part, faces: Samples, group: Group, wanted: Mapping[str, str]) -> None:
        """Make one shard of every method of a group, and of the answers (""); wanted: what each is of."""
        if group.options is None:
            raise RunError(f"Maps of {self.folder} are missing or damaged, and were given; save the run again.")
        options = dict(group.options)
        rows = self.manifest.rows(part.number)
        targets = targets_of(options.pop("targets"), slice(rows.start, rows.stop))
        if isinstance(targets, Tensor):
            targets = targets[list(part.places[: len(faces)])]
        found = self._explained(faces, group, {**options, "targets": targets}) if len(faces) else None
        if "" in wanted:
            exact = found is not None and len(faces) == len(part.faces) and options.get("precision") != "fast"
            answer = found if found is not None and exact else self._answered(part.faces)
            made_of, path = self._made_of("", wanted[""]), self.path("", part.number)
            write_answers(path, answer.prediction, answer.features, part.unreadable, made_of)
        for name, explanation in found.explanations.items() if found else ():
            write_maps(self.path(name, part.number), explanation, self._made_of(name, wanted[name]))

    def _explained(self, faces: Samples, group: Group, options: Any) -> Examined:
        """Answers and maps; of fine maps, those of two classes."""
        methods = {name: self.methods[name] for name in group.methods if name not in group.few}
        found = examine(self.model, faces, methods, **options)
        if group.few:
            fine = {name: self.methods[name] for name in group.few}
            options = {**options, "targets": two_of(found.prediction)}
            found.explanations.update(explain(self.model, faces, fine, **options))
        return found

    def _answered(self, faces: Samples) -> Examined:
        if len(faces):
            return examine(self.model, faces, {})
        names = self.model.card.class_names
        return Examined(Prediction((), torch.empty(0, len(names)), faces.labels, names), torch.empty(0, 0), {})


def _network(folder: Path, manifest: Manifest) -> Classifier:
    origin = str(manifest.model["origin"])
    if not origin:
        raise RunError(
            f"The network of {folder} was in memory, not in a file. In Python, give it: verify(folder, model=network)."
        )
    try:
        return load(origin)
    except FerError as problem:
        raise RunError(
            f"The network of {folder} cannot be loaded: {problem} If it has moved, start the same run with --model "
            "FILE of where it lies: it takes note of it."
        ) from problem


def methods_of(manifest: Manifest, *, but: Container[str] = ()) -> dict[str, Method]:
    """The methods of a manifest, made of their names and options; but: less those."""
    entries = {name: entry for group in manifest.groups for name, entry in group.methods.items() if name not in but}
    words = {name: dict(entry["method"]) for name, entry in entries.items()}
    return {name: make_method(options.pop("name"), **options) for name, options in words.items()}


def readable(faces: Samples) -> tuple[Samples, tuple[int, ...], dict[str, str]]:
    """The samples in memory, their places among all, and those that cannot be read, with the reason."""
    try:
        return replace(faces, pixels=faces.pixels[:]), tuple(range(len(faces))), {}
    except DataError:
        pass
    kept: dict[int, Tensor] = {}
    unreadable = {}
    for place, name in enumerate(faces.ids):
        try:
            kept[place] = faces.pixels[place : place + 1]
        except DataError as problem:
            unreadable[name] = str(problem)
    pixels = torch.cat(list(kept.values())) if kept else torch.empty(0, *faces.pixels.shape[1:], dtype=torch.uint8)
    return replace(faces[list(kept)], pixels=pixels), tuple(kept), unreadable


def two_of(prediction: Prediction) -> Tensor:
    """(N, 2) the predicted class and the given one; the second most probable one where that is the same or unknown."""
    best = prediction.logits.topk(min(2, prediction.logits.shape[1]), dim=1).indices
    other = (prediction.labels >= 0) & (prediction.labels != best[:, 0])
    best[other, 1:] = prediction.labels[other, None]
    return best


def ahead(read: Any, numbers: Sequence[int]) -> Iterator[Any]:
    """What `read` makes of each number; the next one is read while the last is worked on."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(read, number) for number in numbers[:1]]
        for following in [*numbers[1:], None]:
            found = waiting.pop().result()
            if following is not None:
                waiting.append(pool.submit(read, following))
            yield found


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Compute with so many threads: sums come out in the same order, and shards with the same bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
