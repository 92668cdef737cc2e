"""What a run is still going to take, told before it is made; nothing is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from inspect_fer.errors import RunError
from inspect_fer.explain import Examined, Options, chosen
from inspect_fer.explain.method import Method
from inspect_fer.runs.folder import lacking_shards
from inspect_fer.runs.plan import SHARD, Manifest, begun
from inspect_fer.runs.standing import kept, made_otherwise, place_for
from inspect_fer.runs.trying import asked_for
from inspect_fer.schema import Classifier, Samples


@dataclass(frozen=True)
class Outlook:
    """What is missing of a run, or of a share of it.

    missing, shards: how many of how many; explained: places of the samples that the methods asked for are still to
    explain; predicted: of those that are predicted only; bytes: what these methods and the answers add on disk
    """

    missing: int
    shards: int
    explained: list[int]
    predicted: list[int]
    bytes: int


def outlook(
    folder: Path,
    model: Classifier,
    faces: Samples,
    methods: Mapping[str, Method] | Sequence[str | Method],
    *,
    limit: int | None = None,
    part: tuple[int, int] = (1, 1),
    shard: int | None = None,
    every_class: bool = False,
    overwrite: bool = False,
    **options: Unpack[Options],
) -> Outlook:
    """What `make_part` is going to do when it is called with the same. Raises what it raises before any work."""
    where = place_for(folder, overwrite=overwrite)
    now = begun(model, faces, shard=shard or SHARD, threads=1, command="")
    try:
        held = kept(where, now, faces, shard)
    except RunError:
        if where == folder:
            raise
        held = None  # begun aside of another run: it gives way
    group, tried = asked_for(model, faces, chosen(methods), limit, options, every_class=every_class)
    made_otherwise(where, held or now, group, replacing=where != folder)
    manifest = (held or now).grown(group)
    own = range(manifest.shards)[part[0] - 1 :: part[1]]
    lacking = {name: [n for n in numbers if n in own] for name, numbers in lacking_shards(where, manifest).items()}
    explained = _rows(manifest, {name: lacking[name] for name in group.methods})
    answered = {row for number in lacking[""] for row in range(*manifest.rows(number).indices(len(faces)))}
    return Outlook(
        sum(map(len, lacking.values())),
        sum(number in own for paths in manifest.paths().values() for number in range(len(paths))),
        sorted(explained),
        sorted(answered - explained),
        _size(manifest, tried, lacking, len(faces.ids[0]) if faces.ids else 0),
    )


def _rows(manifest: Manifest, lacking: Mapping[str, Sequence[int]]) -> set[int]:
    """Places of the samples that the shards of these methods explain."""
    parts = {(number, manifest.explained(name, number)) for name, numbers in lacking.items() for number in numbers}
    starts = {number: manifest.rows(number).start for number, _ in parts}
    return {row for number, count in parts for row in range(starts[number], starts[number] + count)}


def _size(manifest: Manifest, tried: Examined | None, lacking: Mapping[str, Sequence[int]], named: int) -> int:
    """Bytes of the shards that are missing: tensors, and names of so many letters in the headers."""
    if tried is None:
        return 0
    each = {"": 4 * tried.prediction.logits.shape[1] + 8 + 2 * tried.features.shape[1]}
    for name, why in tried.explanations.items():
        _, targets, height, width = why.maps.shape
        each[name] = (2 if name in manifest.group(name).few else targets) * (2 * height * width + 4 + 8)
    quoted = named + len('"", ')
    return sum(
        (size + quoted) * len(_rows(manifest, {name: lacking[name]}))
        if name
        else (size + quoted) * sum(len(range(*manifest.rows(n).indices(manifest.samples))) for n in lacking[""])
        for name, size in each.items()
    )
