"""How many bytes of tensors a piece of work holds at a time."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """Counts tensors that are made inside it; `peak` is the most bytes alive at a time.

    Tensors from outside, such as weights, do not count, nor does what a kernel takes for itself while it runs.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: int = 0
        self.peak: int = 0
        self._known: set[int] = set()
        self._outside: list[torch.UntypedStorage] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and count what it made."""
        for given in _tensors((args, kwargs)):
            if self._is_new(storage := given.untyped_storage()):
                self._outside.append(storage)  # kept, so that nothing made here gets its place in memory
        result = func(*args, **(kwargs or {}))
        for made in _tensors(result):
            if self._is_new(storage := made.untyped_storage()):
                self.alive += storage.nbytes()
                self.peak = max(self.peak, self.alive)
                weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
        return result

    def _is_new(self, storage: torch.UntypedStorage) -> bool:
        new = storage._cdata not in self._known
        self._known.add(storage._cdata)
        return new

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]
