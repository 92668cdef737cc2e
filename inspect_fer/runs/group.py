"""Methods that were asked for together, as the manifest holds them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

UNSAID: dict[str, Any] = {"memory": "1GB", "batch_size": 128}
"""What `explain` takes where it is told nothing."""
BRIEF = 40
"""Letters of a value in a message."""


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
        gone = set(names)
        kept = {name: entry for name, entry in self.methods.items() if name not in gone}
        return Group(kept, self.options, self.limit, tuple(name for name in self.few if name in kept))

    def told(self, name: str) -> dict[str, Any]:
        """Everything that the maps of a method follow from beside network and samples, each under a word of its own."""
        entry, options = self.methods[name], {**UNSAID, **(self.options or {})}
        classes = {"classes": "two of each" if name in self.few else "every one"}
        return {**options, "layer": entry["layer"], **classes, **entry["method"]}

    def rows(self, start: int, count: int) -> int:
        """How many of `count` samples from `start` on are explained."""
        return count if self.limit is None else max(0, min(count, self.limit - start))


def brief(value: Any) -> str:
    """A value in a message, such as one target for each of many samples."""
    words = str(value)
    return words if len(words) <= BRIEF else f"{words[:BRIEF]}..."
