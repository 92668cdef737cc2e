"""What an explanation method is: a frozen dataclass of its options that turns a batch into maps."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias, TypeGuard

from torch import Tensor

from inspect_fer.capture import SharedPass
from inspect_fer.errors import ConfigError
from inspect_fer.lookup import no_such_name
from inspect_fer.schema import Classifier, Footprint, ModelCard


@dataclass(frozen=True)
class Setting:
    """What the passes of a method depend on, beside its options.

    targets: classes explained per image; input_size (C, H, W)
    features: (C, h, w) of the layer that is read, zeros where none is
    linear_head: the logits are one linear layer of the features' mean
    """

    targets: int
    input_size: tuple[int, int, int]
    features: tuple[int, int, int] = (0, 0, 0)
    linear_head: bool = False


@dataclass(frozen=True)
class Passes:
    """What a method costs per image: passes through the network and back, beside the one that all methods share.

    at_most: fewer where the features allow it
    """

    forward: float = 0
    backward: float = 0
    at_most: bool = False


class SharedMethod(Protocol):
    """Follows from the pass that all methods share. `class_free = True` where the target makes no difference.

    May have `passes(setting) -> Passes` where it runs (parts of) the network again, `fits(card)`, which raises
    ConfigError where its options do not suit the network, and `settled(card)`, itself with options of the network's own
    words (such as class names) as what they stand for there, which raises FerError where they stand for nothing;
    `turned(scores)`, where the targets' scores (N, T) turn the sign of its maps, None if they never do.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __call__(self, shared: SharedPass, /) -> Tensor:
        """Return maps (N, T, h, w), raw and signed."""


class OwnMethod(Protocol):
    """Makes passes of its own. May have `reads_layer = True`, `class_free = True` and `footprint(input_size)`.

    `relative = True` where only differences between places count. `unfolded = True` where it needs the network as it
    is, batch norms and all, not its faster twin; `precise = True` where half precision does not serve it.

    `rehearse(model, images)` tries on one image what a network may not allow, before any map is made. For the forecast
    of time: `outlook(network, image)`, what it leaves out on an image (1, C, H, W). For that of memory: `share`, how
    many rows of a graph an image takes, `together`, how many at a time it draws itself, and `smaller()`, a version of
    few passes that holds as much.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    own_passes: ClassVar[bool]

    def passes(self, setting: Setting, /) -> Passes:
        """What an image costs."""

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str, /) -> Tensor:
        """Return maps (N, T, h, w), raw and signed, for images (N, C, H, W) and targets (N, T)."""


Method: TypeAlias = SharedMethod | OwnMethod


def shares_pass(method: Method) -> TypeGuard[SharedMethod]:
    """Whether a method follows from the shared pass."""
    return not own_passes(method)


def own_passes(method: Method) -> TypeGuard[OwnMethod]:
    """Whether a method makes passes of its own."""
    return getattr(method, "own_passes", False)


def reads_layer(method: Method) -> bool:
    """Whether a method reads a layer of the network."""
    return not own_passes(method) or getattr(method, "reads_layer", False)


def class_free(method: Method) -> bool:
    """Whether a method's map does not depend on the target."""
    return getattr(method, "class_free", False)


def passes_of(method: Method, setting: Setting) -> Passes:
    """What a method costs per image beside the shared pass."""
    told = getattr(method, "passes", None)
    return told(setting) if told else Passes()


def require_fit(method: Method, card: ModelCard) -> None:
    """Raise ConfigError where a method's options do not suit the network."""
    told = getattr(method, "fits", None)
    if told:
        told(card)
    settled(method, card)


def settled(method: Method, card: ModelCard) -> Method:
    """The method with what its options mean to this network. Raises FerError where they mean nothing."""
    told = getattr(method, "settled", None)
    return told(card) if told else method


def turned(method: Method, scores: Tensor) -> Tensor | None:
    """Where the targets' scores (N, T) turn the sign of the method's maps, (N, T) bool; None if they never do."""
    told = getattr(method, "turned", None)
    return told(scores) if told else None


def relative(method: Method) -> bool:
    """Whether only the differences between places of the method's maps count."""
    return getattr(method, "relative", False)


def footprint(method: Method, input_size: tuple[int, int, int]) -> Footprint:
    """Which pixels a cell of the method's maps stands for; cells tile the image unless the method says otherwise."""
    told = getattr(method, "footprint", None)
    return told(input_size) if told else Footprint()


def configured(kind: type[Method], name: str, options: Mapping[str, Any]) -> Method:
    """Make a method of its options. Raises ConfigError for one that it does not have, naming the nearest."""
    known = [entry.name for entry in fields(kind)]
    for option in options:
        if option not in known:
            reason = no_such_name(option, known, f"option of {name}") if known else f"{name} has no options."
            raise ConfigError(reason)
    return kind(**options)
