"""Layer-wise relevance propagation, through captum. Bach et al., PLOS ONE 2015, doi:10.1371/journal.pone.0130140."""

import operator
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, fx, nn

from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.explain.fills import check_between
from inspect_fer.explain.method import Passes, Setting
from inspect_fer.explain.through_captum import captum_run, each_class, summed, unanswered
from inspect_fer.explain.unshared import ceiling_of, finish, modules_of, named, put_module, unshared, varying
from inspect_fer.explain.weighing import unknown_where
from inspect_fer.schema import Classifier

WITH_RULE = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
PASSING = (nn.ReLU, nn.Tanh)
SHAPES: frozenset[Any] = frozenset(
    {torch.flatten, torch.reshape, torch.squeeze, torch.cat, operator.getitem, getattr}
    | {"flatten", "view", "reshape", "squeeze", "contiguous", "size"}
)
SUMS = (operator.add, torch.add, "add")


class _Cap(torch.autograd.Function):
    """A ceiling that hands relevance back whole, as ReLU does."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor, highest: float) -> Tensor:
        """The smaller of values and ceiling."""
        return values.clamp(max=highest)

    @staticmethod
    def backward(_ctx: Any, relevance: Tensor) -> tuple[Tensor, None]:
        """All of it."""
        return relevance, None


def capped(values: Tensor, highest: float) -> Tensor:
    """The smaller of values and ceiling, which relevance passes."""
    smaller: Tensor = _Cap.apply(values, highest)
    return smaller


def prepared(traced: fx.GraphModule) -> fx.GraphModule:
    """The same network with sums as modules and no others than captum's LRP knows. Raises NetworkError."""
    from captum.attr._utils.custom_modules import Addition_Module

    moving = varying(traced)
    _replace(traced, moving)
    for node, module in list(modules_of(traced)):
        if isinstance(module, nn.Flatten):
            node.op, node.target, node.args = "call_function", torch.flatten, (*node.args[:1], module.start_dim)
        elif isinstance(module, nn.BatchNorm2d) and module.running_mean is None:
            raise _refusal(f"a BatchNorm2d that normalises by its batch ({node.target})")
        elif not isinstance(module, (*WITH_RULE, *PASSING, Addition_Module)):
            raise _refusal(f"{type(module).__name__} ({node.target})")
    for node in moving:
        if node.op in ("call_function", "call_method") and node.target not in (*SHAPES, capped):
            raise _refusal(f"the function {named(node)}")
    ruled = {node for node, module in modules_of(traced) if not isinstance(module, PASSING)}
    for node in moving:
        used = [user for user in node.users if user in moving]
        if len(used) > 1 and not ruled.issuperset(used):  # captum would weigh some of the shares and not the others
            raise _refusal(f"{node.name}, whose values part between layers and something else")
    finish(traced)
    return traced


def ready(network: nn.Module, images: Tensor) -> fx.GraphModule:
    """The network as captum's LRP takes it, of a copy that may be changed. Raises NetworkError."""
    return prepared(unshared(network, images, fold=True))


def _replace(traced: fx.GraphModule, moving: Collection[fx.Node]) -> None:
    """Turn sums into captum's module for them, and ceilings into ours."""
    from captum.attr._utils.custom_modules import Addition_Module

    for node in moving:
        if node.target in SUMS and len({given for given in node.args if given in moving}) == 2 and not node.kwargs:
            put_module(traced, node, Addition_Module())
        elif (highest := ceiling_of(node)) is not None:
            node.target, node.args, node.kwargs = capped, (node.args[0], highest), {}


def _refusal(culprit: str) -> NetworkError:
    kinds = ", ".join(kind.__name__ for kind in WITH_RULE + PASSING)
    return NetworkError(
        f"LRP has no rule for {culprit}; it has for sums of two different maps, {kinds}. "
        "Use integrated-gradients or deep-lift; deep-lift knows the gates of squeeze-and-excitation too."
    )


@dataclass(frozen=True)
class LRP:
    """The target's logit, handed back layer by layer to what contributed to it.

    Batch norms are merged into the convolutions before them, additions of a shortcut share out by value. With biases of
    zero and the epsilon rule a map adds up to the logit; biases keep their share.

    rule: of convolutions: "epsilon", "gamma" (favours what is positive, by `gamma`), or "alpha1-beta0" (positive only);
        all else takes epsilon. The latter two change weights alone, as captum does: they are the published rules behind
        a ReLU, where no value is negative, and at the first layer only where no pixel is
    epsilon: added to each divisor, with its sign
    """

    rule: Literal["epsilon", "gamma", "alpha1-beta0"] = "epsilon"
    epsilon: float = 1e-6
    gamma: float = 0.25

    own_passes: ClassVar[bool] = True
    share: ClassVar[int] = 3  # each layer's input and output beside the graph
    precise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rule not in ("epsilon", "gamma", "alpha1-beta0"):
            raise ConfigError(f"LRP has the rules 'epsilon', 'gamma' and 'alpha1-beta0', not {self.rule!r}.")
        check_between("LRP", "epsilon", self.epsilon, 1e-12, 10)
        check_between("LRP", "gamma", self.gamma, 0, 1e6)

    def passes(self, setting: Setting) -> Passes:
        """What an image costs."""
        return Passes(setting.targets, setting.targets)

    def __call__(self, model: Classifier, images: Tensor, targets: Tensor, layer: str = "") -> Tensor:  # noqa: ARG002
        """images (N, C, H, W), targets (N, T). Returns (N, T, H, W), summed over channels. Raises NetworkError."""
        from captum import attr

        with captum_run(model, images, gradients=False) as (network, given):
            traced = ready(network, given)

            def attribute(some: Tensor, t: Tensor) -> Tensor:
                for _, module in modules_of(traced):  # captum takes them off after each run
                    if not isinstance(module, PASSING):
                        module.rule = self._rule(module)
                found: Tensor = attr.LRP(traced).attribute(some, target=t)
                return found

            maps = summed(each_class(attribute, given, targets, share=self.share))
            return unknown_where(unanswered(traced, given), maps)

    def rehearse(self, model: Classifier, images: Tensor) -> None:
        """Raise NetworkError for a network that cannot be traced, that has no rule, or that captum fails on."""
        self(model, images, torch.zeros(len(images), 1, dtype=torch.int64))

    def _rule(self, module: nn.Module) -> Any:
        """captum's rule for a module."""
        from captum.attr._utils import lrp_rules

        if isinstance(module, nn.Conv2d) and self.rule == "gamma":
            return lrp_rules.GammaRule(self.gamma)
        if isinstance(module, nn.Conv2d) and self.rule == "alpha1-beta0":
            return lrp_rules.Alpha1_Beta0_Rule()
        return lrp_rules.EpsilonRule(self.epsilon)
