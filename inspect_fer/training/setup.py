"""What a training starts from: the card, the network with its optimiser and schedule, the arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.schema import Classifier, ModelCard, Samples
from inspect_fer.training.config import Recipe, Training

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@dataclass
class State:
    """All that changes while training; `best` holds the weights of the best epoch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    best: dict[str, Tensor]
    history: list[dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and plain values."""
        names = ("network", "optimizer", "schedule")
        return {name: getattr(self, name).state_dict() for name in names} | {"best": self.best, "history": self.history}

    def restore(self, stored: dict[str, Any]) -> None:
        """Go back to what `as_dict` returned."""
        for name in ("network", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(stored[name])
        self.best, self.history = stored["best"], stored["history"]

    def best_classifier(self, card: ModelCard) -> Classifier:
        """A copy of the best network so far, on the CPU, in eval mode, with the history in its card."""
        with torch.device("meta"):  # no weights are drawn, so the caller's random state stays as it is
            network = network_of(card)
        network.load_state_dict({name: value.clone() for name, value in self.best.items()}, assign=True)
        return Classifier(network.eval(), replace(card, history=tuple(self.history)))


def card_of(recipe: Recipe, faces: Samples, pixels: Tensor) -> ModelCard:
    """The card of a network trained by a recipe, with mean and standard deviation of its training pixels."""
    network = recipe.network
    scaled = [pixels[:, channel].float() / 255 for channel in range(pixels.shape[1])]
    return ModelCard(
        architecture=network.architecture,
        class_names=faces.class_names,
        input_size=(network.channels, network.size, network.size),
        mean=tuple(round(float(values.mean()), 4) for values in scaled),
        std=tuple(round(max(float(values.std()), 1e-3), 4) for values in scaled),
        cam_layer=ARCHITECTURES[network.architecture].cam_layer if network.architecture in ARCHITECTURES else "",
        options=network.options,
        output="sigmoid" if recipe.training.loss == "bce" else "softmax",
        recipe=recipe.as_dict(),
        seed=recipe.training.seed,
    )


def network_of(card: ModelCard) -> nn.Module:
    """Build the network of a card with fresh weights."""
    channels, size, _ = card.input_size
    return build(card.architecture, channels=channels, classes=len(card.class_names), size=size, options=card.options)


def fresh_state(recipe: Recipe, card: ModelCard, faces: int, device: str) -> State:
    """Network, optimiser and schedule before the first epoch, the same for the same seed."""
    options = recipe.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = network_of(card).to(device).to(memory_format=torch.channels_last)
    rates = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    momentum = {"momentum": options.momentum, "nesterov": options.momentum > 0} if options.optimizer == "sgd" else {}
    optimizer = OPTIMIZERS[options.optimizer](network.parameters(), **rates, **momentum)
    return State(network, optimizer, _schedule(options, optimizer, faces // options.batch_size), {}, [])


def _schedule(options: Training, optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    total = options.epochs * steps
    if options.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total, cycle_momentum=False)
    if options.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


def bfloat16(options: Training, device: str) -> bool:
    """Whether to compute in bfloat16: asked for, or faster on this processor."""
    if options.precision != "auto":
        return options.precision == "bfloat16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
