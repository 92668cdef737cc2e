"""Recipes: what to train and how, as frozen dataclasses. Each section of the TOML file is one of them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from inspect_fer.errors import ConfigError
from inspect_fer.images import MODES
from inspect_fer.schema import MAX_SIDE

Loss = Literal["cross-entropy", "focal", "soft-cross-entropy", "drawn-cross-entropy", "bce", "multi-target"]
Optimizer = Literal["sgd", "adam", "amsgrad", "adamw", "rmsprop", "adagrad", "adadelta", "asgd"]
Schedule = Literal["constant", "step", "cosine", "warm-restarts", "one-cycle", "plateau"]
Views = Literal["single", "flip", "ten-crop"]

ON_VOTES = frozenset({"soft-cross-entropy", "drawn-cross-entropy", "bce", "multi-target"})
"""Losses that learn from the votes rather than the label."""

SMOOTHED = frozenset({"cross-entropy", "soft-cross-entropy", "drawn-cross-entropy"})
"""Losses that can smooth labels."""


@dataclass(frozen=True)
class Data:
    """What is learnt from; `--data` says where it lies.

    kind: the dataset's name, several joined by +; "" for any
    options: the dataset's own, such as mode = "crossentropy" for ferplus or classes = "six"
    scoring: options of the select and test splits over these, such as mode = "majority"
    parts: of several datasets, each one's options over these, such as ckplus = { train = "all", test = "none" }
    train, select, test: the splits to learn from, to choose the best epoch on, to report on; names may be joined by +
    size: side at which pictures are read, by default the network's; larger ones are cropped
    balanced_copies: reduce every class to the size of the smallest and add so many changed copies of each face, in all
        three splits (source 002)
    watch_test: score the test split after every epoch as well, which chooses nothing
    """

    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    scoring: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    train: str = "train"
    select: str = "select"
    test: str = "test"
    size: int | None = None
    balanced_copies: int = 0
    watch_test: bool = False

    def __post_init__(self) -> None:
        if self.balanced_copies < 0 or (self.size is not None and self.size < 1):
            raise ConfigError(
                f"balanced_copies is 0 or more and size 1 or more, not {self.balanced_copies}, {self.size}."
            )
        if not (self.train and self.select and self.test):
            raise ConfigError('train, select and test of [data] each name a split, or "none".')


@dataclass(frozen=True)
class Network:
    """Which network is built, and how its input is scaled.

    normalise: "dataset" by mean and standard deviation of the training pixels, "unit" to 0..1, "centred" to -1..1,
        "imagenet" by ImageNet's mean and standard deviation
    threshold: probability above which a network trained with loss bce says yes
    start: a published network or a checkpoint file whose weights the training begins with; "" for fresh ones
    """

    architecture: str
    size: int = 48
    channels: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    normalise: Literal["dataset", "unit", "centred", "imagenet"] = "dataset"
    threshold: float = 0.5
    start: str = ""

    def __post_init__(self) -> None:
        if self.channels not in MODES or not 1 <= self.size <= MAX_SIDE:
            raise ConfigError(
                f"Networks take 1 or 3 channels of 1 to {MAX_SIDE} pixels, not {self.channels} of {self.size}."
            )
        between(self, {"threshold": 1})


@dataclass(frozen=True)
class Augment:
    """Random changes to the training images; every sample draws its own.

    flip: probability of a mirror image
    shift: up to this share of the side, both ways; rotate and skew: up to so many degrees; scale: by up to this share
    chance: probability that a sample is shifted, and that it is rotated; jointly: one draw decides on both
    brightness: up to so many standard deviations lighter or darker; contrast: by up to this share
    erase: probability of a rectangle of network input 0 (grey, with normalise = "unit" black) over erase_least to
        erase_most of the area (Zhong et al., AAAI 2020)
    randaugment: so many operations of RandAugment at this magnitude, before all else (Cubuk et al., CVPRW 2020)
    ten_crops: learn from the four corners, the centre and their mirror images, each as large as the network's input
    """

    flip: float = 0.5
    shift: float = 0.1
    rotate: float = 10.0
    scale: float = 0.1
    skew: float = 0.0
    chance: float = 1.0
    jointly: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    erase_least: float = 0.02
    erase_most: float = 0.2
    randaugment: int = 0
    randaugment_magnitude: int = 9
    ten_crops: bool = False

    def __post_init__(self) -> None:
        shares = ("flip", "shift", "chance", "contrast", "erase", "erase_least", "erase_most")
        limits = {"rotate": 180, "scale": 0.9, "skew": 60, "brightness": 10, "randaugment": 14}
        between(self, dict.fromkeys(shares, 1) | limits | {"randaugment_magnitude": 30})
        if self.erase_least > self.erase_most:
            raise ConfigError(f"erase_least, {self.erase_least}, must not be above erase_most, {self.erase_most}.")


@dataclass(frozen=True)
class Training:
    """How the network learns.

    loss: on labels "cross-entropy" or "focal" (Lin et al., ICCV 2017); on votes "soft-cross-entropy",
        "drawn-cross-entropy" (one class drawn from the votes each time), "multi-target" (both Barsoum et al., ICMI
        2016), or "bce", which makes a network with sigmoid outputs
    class_weights: "balanced" weighs each class by one over its share of the training samples
    sharpness: radius rho of sharpness-aware minimisation around the optimiser (Foret et al., ICLR 2021); 0 without
    schedule: of the learning rate, which is its peak. "step" multiplies it by `factors` from the epochs `milestones`
        on; "warm-restarts" begins again after `restart` epochs, each time twice as many; "plateau" multiplies by
        `factor` when select_by has not risen for more than `plateau` epochs
    warmup: epochs over which the learning rate rises from nothing; one-cycle rises by itself
    patience: stop when select_by has not improved for more than so many epochs (with fine-tuning, of the second
        phase); 0 never stops early
    ema: decay per step of the moving average of the weights that is scored and kept; 0 without
    clip: largest norm of the gradient; 0 without
    mixup, cutmix: alpha of the mixing (Zhang et al., ICLR 2018; Yun et al., ICCV 2019); with both, a draw decides
    balanced_sampling: draw every class equally often
    views: how images are scored: "single", "flip" (with the mirror image) or "ten-crop"; logits are averaged
    select_by: the score on the selection split that chooses the best epoch
    precision: "bfloat16", "float32", or "auto": bfloat16 where the processor multiplies it faster
    """

    epochs: int = 30
    batch_size: int = 128
    loss: Loss = "cross-entropy"
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    class_weights: Literal["none", "balanced"] = "none"
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    sharpness: float = 0.0
    schedule: Schedule = "constant"
    milestones: tuple[int, ...] = ()
    factors: tuple[float, ...] = ()
    restart: int = 10
    factor: float = 0.75
    plateau: int = 5
    warmup: float = 0.0
    patience: int = 0
    ema: float = 0.0
    clip: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    balanced_sampling: bool = False
    views: Views = "single"
    select_by: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0), ("restart", 1), ("patience", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, not {getattr(self, name)}.")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate must be above 0 and finite, not {self.learning_rate}.")
        between(self, {"label_smoothing": 1, "seed": 2**31})
        below(self, dict.fromkeys(("momentum", "factor", "ema"), 1))
        between(self, dict.fromkeys(("weight_decay", "sharpness", "clip", "mixup", "cutmix", "focal_gamma"), 1e6))
        between(self, {"warmup": self.epochs, "plateau": 1e6})
        rising = list(self.milestones) == sorted(set(self.milestones)) and min(self.milestones, default=1) > 0
        positive = all(0 < factor < math.inf for factor in self.factors)
        if not rising or not positive or len(self.milestones) != len(self.factors):
            raise ConfigError(
                f"milestones are rising epochs from 1 with as many positive factors, not {list(self.milestones)} with "
                f"{list(self.factors)}."
            )
        if bool(self.milestones) != (self.schedule == "step"):
            raise ConfigError("Schedule step needs milestones and factors, and no other schedule takes them.")
        if self.label_smoothing and self.loss not in SMOOTHED:
            raise ConfigError(f"Loss {self.loss} has no label_smoothing. Leave it out, or set it to 0.")
        if self.class_weights != "none" and self.loss == "multi-target":
            raise ConfigError("Loss multi-target has no class_weights. Leave them out.")
        if self.warmup and self.schedule == "one-cycle":
            raise ConfigError("Schedule one-cycle rises by itself; leave warmup out.")
        if (self.mixup or self.cutmix) and self.loss in {"focal", "drawn-cross-entropy", "multi-target"}:
            raise ConfigError(f"Mixed images have mixed labels, which loss {self.loss} cannot take. Use cross-entropy.")


@dataclass(frozen=True)
class Finetune:
    """Training in two phases: at first only the head, later the upper layers as well.

    head, upper: the first module, in the order of the network's parameters, that learns in each phase; what lies
        before stays as it is, batch norm included
    epoch: how many epochs the first phase takes, of all of [training]
    optimizer, learning_rate: of the second phase, whose rate is constant
    """

    head: str
    upper: str
    epoch: int
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-5

    def __post_init__(self) -> None:
        if self.epoch < 1 or not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                f"Fine-tuning begins after epoch 1 or later with a learning_rate above 0, not after {self.epoch} with "
                f"{self.learning_rate}."
            )


@dataclass(frozen=True)
class Published:
    """What a source printed for this experiment.

    source, item: the report and its experiment; scores: in percent, by the source's name of the split
    protocol: what was measured on what; mistake: what is wrong with the figure, "" where nothing is known
    """

    source: str
    item: str
    scores: Mapping[str, float] = field(default_factory=dict)
    protocol: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Recipe:
    """One experiment: data, network, training, augmentation, and a note for people."""

    network: Network
    data: Data = field(default_factory=Data)
    training: Training = field(default_factory=Training)
    augment: Augment = field(default_factory=Augment)
    finetune: Finetune | None = None
    published: Published | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values; parts that are not there are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def between(section: object, limits: Mapping[str, float]) -> None:
    """Raise ConfigError for an entry below 0 or above its limit."""
    for name, most in limits.items():
        if not 0 <= getattr(section, name) <= most:
            raise ConfigError(f"{name} must be from 0 to {most:g}, not {getattr(section, name)}.")


def below(section: object, limits: Mapping[str, float]) -> None:
    """Raise ConfigError for an entry below 0, or not below its limit."""
    for name, end in limits.items():
        if not 0 <= getattr(section, name) < end:
            raise ConfigError(f"{name} must be from 0 to below {end:g}, not {getattr(section, name)}.")
