"""Checkpoints: one .safetensors file with the model card as JSON in its header. Nothing is ever unpickled."""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from inspect_fer.errors import CheckpointError, FerError, UnknownNameError
from inspect_fer.files import write_whole
from inspect_fer.lookup import no_such_name
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.models.libraries import LIBRARIES, from_library
from inspect_fer.models.weights import FOREIGN, read_foreign
from inspect_fer.schema import Classifier, ModelCard
from inspect_fer.shipped import shipped_folders


def checkpoint_paths() -> dict[str, Path]:
    """The published checkpoints by name: those of INSPECT_FER_HOME first, then those shipped with the package."""
    folders = shipped_folders("checkpoints")
    return {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob("*.safetensors"))}


def load(name_or_path: str | Path, *, card: ModelCard | None = None) -> Classifier:
    """Load a network by its published name or from a file, ready to use (eval mode, float32, on the CPU).

    card: needed for a foreign .pt or .pth state dict, which is read with weights-only loading; not otherwise

    Raises CheckpointError for what is no checkpoint or does not fit its card, UnknownNameError for a name.
    """
    path = find_checkpoint(name_or_path)
    if path.suffix in FOREIGN:
        return _assemble(read_foreign(path), _given(card, path), path)
    tensors, stored = _read(path, card)
    return _assemble(tensors, stored, path)


def read_card(path: Path) -> ModelCard:
    """Read the card alone, without the weights."""
    try:
        with safe_open(path, framework="pt") as file:
            return _card(file.metadata() or {}, path)
    except (SafetensorError, OSError) as problem:
        raise CheckpointError(f"{path} is not a safetensors file: {problem}.") from problem


def save(classifier: Classifier, path: str | Path, *, half: bool = False) -> None:
    """Write a checkpoint aside and rename it when whole. half: store float16, half the size.

    Raises CheckpointError when it cannot be written, or not be loaded again because the network is none of ours.
    """
    path, card = Path(path), classifier.card
    if card.architecture not in ARCHITECTURES and not from_library(card.architecture):
        raise CheckpointError(
            f"A checkpoint of {card.architecture} could not be loaded again; networks that can: "
            f"{', '.join(ARCHITECTURES)}, {', '.join(f'{library}:NAME' for library in LIBRARIES)}. Save your own "
            "network's state_dict() with torch."
        )
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in classifier.network.state_dict().items()
    }
    try:
        write_whole(path, to_bytes(tensors, {"card": json.dumps(card.as_dict(), sort_keys=True)}))
    except (OSError, SafetensorError) as problem:
        raise CheckpointError(f"{path} cannot be written: {problem}. What was there before is untouched.") from problem


def fingerprint(network: nn.Module) -> str:
    """SHA-256 over the names and values of all weights and buffers, the same for equal networks."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().view(torch.uint8).numpy() if tensor.ndim else str(tensor).encode()
        )
    return digest.hexdigest()


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of a published name, or the path itself. Raises UnknownNameError or CheckpointError."""
    published = checkpoint_paths()
    if str(name_or_path) in published:
        return published[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise CheckpointError(f"There is no checkpoint {path}. Published ones: {', '.join(published) or 'none'}.")
    raise UnknownNameError(no_such_name(str(name_or_path), published, "published checkpoint"))


def _read(path: Path, given: ModelCard | None) -> tuple[dict[str, Tensor], ModelCard]:
    try:
        with safe_open(path, framework="pt") as file:
            card = given or _card(file.metadata() or {}, path)
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as problem:
        raise CheckpointError(f"{path} is not a whole safetensors file: {problem}.") from problem


def _card(metadata: Mapping[str, str], path: Path) -> ModelCard:
    try:
        return ModelCard.from_dict(json.loads(metadata["card"]))
    except KeyError as problem:
        raise CheckpointError(
            f"{path} carries no model card; give one with card=, or `inspect-fer import`."
        ) from problem
    except (ValueError, TypeError, AttributeError) as problem:
        raise CheckpointError(f"The model card in {path} cannot be read: {problem}.") from problem


def _given(card: ModelCard | None, path: Path) -> ModelCard:
    if card is None:
        raise CheckpointError(
            f"{path} holds weights alone. Say what they are with card=ModelCard(...), or `inspect-fer import`."
        )
    return card


def _assemble(tensors: dict[str, Tensor], card: ModelCard, path: Path) -> Classifier:
    floats = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    try:
        network = network_around(card, floats, str(path))
    except CheckpointError:
        raise
    except FerError as problem:
        raise CheckpointError(f"{path}: {problem}") from problem
    return Classifier(network.eval(), card, str(path))


def network_around(card: ModelCard, weights: Mapping[str, Tensor], source: str = "The state dict") -> nn.Module:
    """Build the network of a card around these weights, which become its own; no random number is drawn.

    It is built without memory and every shape compared before it takes the weights. source: what to call them.
    Raises CheckpointError where they do not fit, UnknownNameError or ConfigError as `build` does.
    """
    channels, size, _ = card.input_size
    make = partial(
        build, card.architecture, channels=channels, classes=len(card.class_names), size=size, options=card.options
    )
    with torch.device("meta"):
        network = make()
    _compare(network, weights, source)
    if from_library(card.architecture):  # may hold tensors that are in no state dict
        with torch.random.fork_rng(devices=[]):
            network = make()
    network.load_state_dict(weights, assign=True)
    return network


def _compare(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for problem, names in (
        ("lacks", wanted.keys() - found.keys()),
        ("has, unknown to the network,", found.keys() - wanted.keys()),
        ("has in another shape", {name for name in wanted.keys() & found.keys() if wanted[name] != found[name]}),
    ):
        if names:
            first = min(names)
            raise CheckpointError(
                f"{source} does not fit the network of its card: it {problem} {first} "
                f"({found.get(first, 'nothing')}, expected {wanted.get(first, 'nothing')}; {len(names)} such)."
            )
