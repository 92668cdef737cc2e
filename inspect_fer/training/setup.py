"""What a training starts from: the card, the network with its optimiser and schedule, the arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from inspect_fer.errors import CheckpointError, ConfigError
from inspect_fer.models import build, cam_layer_of
from inspect_fer.models.checkpoint import load, network_around
from inspect_fer.schema import Classifier, ModelCard, Samples
from inspect_fer.training.config import Finetune, Recipe, Training
from inspect_fer.training.losses import Cost, balanced_weights, cost_of, truth_of
from inspect_fer.training.optimizers import Rate, optimizer_of
from inspect_fer.twin import multiplies_half

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Plan:
    """What stays the same through a training.

    pixels (N, C, H, W) uint8, labels (N,), truth (N,) or (N, K): of the training samples, on the device
    """

    recipe: Recipe
    card: ModelCard
    pixels: Tensor
    labels: Tensor
    truth: Tensor
    cost: Cost
    device: str

    @property
    def steps(self) -> int:
        """Batches in an epoch; a short last one is left out, as it would weigh its samples more."""
        return len(self.pixels) // self.recipe.training.batch_size

    @property
    def arithmetic(self) -> torch.autocast:
        """The precision of the forward pass."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=bfloat16(self.recipe.training, kind))


@dataclass
class State:
    """All that changes while training; `best` holds the weights of the best epoch.

    average: the moving average of the network's weights, where a recipe asks for it
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    rate: Rate
    average: AveragedModel | None
    best: dict[str, Tensor]
    history: list[dict[str, float]]

    @property
    def judged(self) -> nn.Module:
        """The network that is scored and kept."""
        return self.network if self.average is None else self.average.module

    def as_dict(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and plain values."""
        names = ("network", "optimizer", "rate", "average")
        parts = {name: getattr(self, name).state_dict() for name in names if getattr(self, name) is not None}
        return parts | {"best": self.best, "history": self.history}

    def restore(self, stored: dict[str, Any]) -> None:
        """Go back to what `as_dict` returned."""
        for name in ("network", "optimizer", "rate", "average"):
            if getattr(self, name) is not None:
                getattr(self, name).load_state_dict(stored[name])
        self.best, self.history = stored["best"], stored["history"]

    def keep(self) -> None:
        """Make the network as it is now the best."""
        self.best = {name: value.detach().cpu().clone() for name, value in self.judged.state_dict().items()}

    def best_network(self, card: ModelCard) -> Callable[[], Classifier]:
        """What makes a copy of the best network so far, on the CPU, in eval mode, with the history in its card."""
        best, history = self.best, tuple(self.history)

        def make() -> Classifier:
            weights = {name: value.clone() for name, value in best.items()}
            return Classifier(network_around(card, weights).eval(), replace(card, history=history))

        return make


def plan_of(recipe: Recipe, faces: Samples, device: str) -> Plan:
    """The whole set as one uint8 tensor on the device, and what is made from it once."""
    pixels, labels = faces.pixels[:].to(device), faces.labels.to(device)
    balanced = recipe.training.class_weights == "balanced"
    weights = balanced_weights(labels, len(faces.class_names)) if balanced else None
    truth = truth_of(recipe.training, faces).to(device)
    card = card_of(recipe, faces, pixels)
    return Plan(recipe, card, pixels, labels, truth, cost_of(recipe.training, weights), device)


def card_of(recipe: Recipe, faces: Samples, pixels: Tensor) -> ModelCard:
    """The card of a network trained by a recipe; `pixels` (N, C, H, W) uint8 are the training samples'."""
    network = recipe.network
    mean, std = _normalisation(recipe, pixels)
    cropped = pixels.shape[-1] > network.size
    return ModelCard(
        architecture=network.architecture,
        class_names=faces.class_names,
        input_size=(network.channels, network.size, network.size),
        read_size=pixels.shape[-1] if cropped else 0,
        mean=mean,
        std=std,
        cam_layer=cam_layer_of(
            network.architecture,
            channels=network.channels,
            classes=len(faces.class_names),
            size=network.size,
            options=network.options,
        ),
        options=network.options,
        output="sigmoid" if recipe.training.loss == "bce" else "softmax",
        threshold=network.threshold,
        recipe=recipe.as_dict(),
        seed=recipe.training.seed,
    )


def _normalisation(recipe: Recipe, pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel that turn pixels of 0..1 into network input."""
    network = recipe.network
    if network.normalise == "dataset":
        scaled = [pixels[:, channel].float() / 255 for channel in range(pixels.shape[1])]
        return (
            tuple(round(float(values.mean()), 4) for values in scaled),
            tuple(round(max(float(values.std()), 1e-3), 4) for values in scaled),
        )
    if network.normalise == "imagenet":
        if network.channels != 3:
            raise ConfigError(f"normalise = 'imagenet' is for 3 channels, not {network.channels}.")
        return IMAGENET["mean"], IMAGENET["std"]
    centre = 0.5 if network.normalise == "centred" else 0.0
    return (centre,) * network.channels, (centre or 1.0,) * network.channels


def network_of(card: ModelCard) -> nn.Module:
    """Build the network of a card with fresh weights."""
    channels, size, _ = card.input_size
    return build(card.architecture, channels=channels, classes=len(card.class_names), size=size, options=card.options)


def _begun(start: str, card: ModelCard) -> nn.Module:
    """The network of a card with the weights of a checkpoint. Raises CheckpointError where they do not fit."""
    found = load(start)
    if found.card.class_names != card.class_names:
        raise CheckpointError(f"{start} tells {', '.join(found.card.class_names)}, not {', '.join(card.class_names)}.")
    try:
        return network_around(card, found.network.state_dict(), start)
    except CheckpointError as problem:
        raise CheckpointError(f"start = {start!r} is {_told(found.card)}; the recipe's is {_told(card)}.") from problem


def _told(card: ModelCard) -> str:
    options = ", ".join(f"{name} = {value!r}" for name, value in card.options.items()) or "no options"
    return f"a network {card.architecture} with {options} for {' x '.join(map(str, card.input_size))} pixels"


def fresh_state(recipe: Recipe, card: ModelCard, steps: int, device: str) -> State:
    """Network, optimiser and schedule before the first epoch of `steps` steps, the same for the same seed."""
    options = recipe.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = _begun(recipe.network.start, card) if recipe.network.start else network_of(card)
    network = network.to(device).to(memory_format=torch.channels_last)
    if recipe.finetune:
        _check_order(network, recipe.finetune)
    average = None
    if options.ema:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True)
    optimizer, rate = _phase(recipe, network, steps, epoch=0)
    return State(network, optimizer, rate, average, {}, [])


def begin_phase(state: State, recipe: Recipe, steps: int, epoch: int) -> None:
    """Take a fresh optimiser and schedule where fine-tuning begins."""
    state.optimizer, state.rate = _phase(recipe, state.network, steps, epoch=epoch)


def _phase(recipe: Recipe, network: nn.Module, steps: int, *, epoch: int) -> tuple[torch.optim.Optimizer, Rate]:
    """Optimiser and schedule of the phase that an epoch belongs to; what does not learn in it is frozen."""
    options, fine = recipe.training, recipe.finetune
    if fine is None:
        learning = list(network.parameters())
    elif epoch < fine.epoch:
        learning = _freeze_before(network, fine.head)
        options = replace(options, epochs=fine.epoch)
    else:
        learning = _freeze_before(network, fine.upper)
        options = replace(
            options,
            optimizer=fine.optimizer,
            learning_rate=fine.learning_rate,
            epochs=options.epochs - fine.epoch,
            schedule="constant",
            warmup=0.0,
        )
    optimizer = optimizer_of(options, learning)
    return optimizer, Rate(options, optimizer, steps)


def _check_order(network: nn.Module, fine: Finetune) -> None:
    head, upper = (_place_of(network, name) for name in (fine.head, fine.upper))
    if upper > head:
        raise ConfigError(f"Fine-tuning takes layers from {fine.upper} on, which is less than {fine.head} alone.")


def _place_of(network: nn.Module, module: str) -> int:
    """Where the weights of a module begin among the network's. Raises ConfigError when it has none."""
    names = [name for name, _ in network.named_parameters()]
    place = next((place for place, name in enumerate(names) if f"{name}.".startswith(f"{module}.")), None)
    if place is None:
        modules = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
        raise ConfigError(f"The network has no module {module!r} with weights to learn from on; it has {modules}.")
    return place


def _freeze_before(network: nn.Module, first: str) -> list[nn.Parameter]:
    """Let only the module `first` learn and what comes after it, in the order of the parameters; return those."""
    start = _place_of(network, first)
    for place, weights in enumerate(network.parameters()):
        weights.requires_grad_(place >= start)
    return [weights for weights in network.parameters() if weights.requires_grad]


def set_training(network: nn.Module) -> None:
    """Put a network into training mode, but for frozen modules: their batch norm keeps its statistics."""
    network.train()
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(weights.requires_grad for weights in own):
            module.eval()


def bfloat16(options: Training, device: str) -> bool:
    """Whether to compute in bfloat16: asked for, or faster on this processor."""
    if options.precision != "auto":
        return options.precision == "bfloat16"
    return multiplies_half(device)
