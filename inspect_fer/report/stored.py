"""The maps of a run, read so that no more of them lie in memory than are needed."""

from collections.abc import Iterable

from inspect_fer.runs.store import StoredMaps
from inspect_fer.schema import Explanation, Run


def parts_of(run: Run, method: str) -> Iterable[Explanation]:
    """The maps of a method, of stored ones those of one shard after the other."""
    found = run.explanations
    return found.parts(method) if isinstance(found, StoredMaps) else [found[method]]


def maps_of(run: Run, method: str, ids: Iterable[str]) -> dict[str, Explanation]:
    """The maps of one method for these samples, one sample each; those without are left out."""
    wanted, found = set(ids), dict[str, Explanation]()
    for part in parts_of(run, method):
        found |= {name: part.of([row]) for row, name in enumerate(part.ids) if name in wanted}
    return found
