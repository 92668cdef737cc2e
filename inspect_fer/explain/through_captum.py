"""What all methods through captum share: a copy of the network to work on, every class in turn, bounded memory."""

import linecache
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import graph_module
from torch.utils.checkpoint import checkpoint

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.errors import NetworkError
from inspect_fer.explain.budget import at_once
from inspect_fer.explain.weighing import known
from inspect_fer.schema import Classifier

Attribute: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Images (n, C, H, W) and one class each (n,), to attributions (n, C, H, W)."""

NO_GRADIENT = (
    "No gradient reaches the input of this network, whose forward turns gradients off or detaches what it computes; "
    "use occlusion or rise, or a CAM method with layer= behind that place."
)


def own_copy(network: nn.Module) -> nn.Module:
    """A deep copy for captum to hang its hooks on: in eval mode, at least float32, without gradients, never in place.

    Raises NetworkError for a network that cannot be copied.
    """
    try:
        copied = deepcopy(network)
    except Exception as problem:
        name = type(network).__name__
        raise NetworkError(f"captum needs a copy of the network, and {name} cannot be copied: {problem}.") from problem
    if any(weight.dtype in (torch.float16, torch.bfloat16) for weight in copied.parameters()):
        copied = copied.float()
    for module in copied.requires_grad_(requires_grad=False).modules():
        module.training = False
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
        if getattr(module, "inplace", False):
            vars(module)["inplace"] = False
    return copied


def seeded(seed: int) -> None:
    """Start the random numbers of torch and NumPy anew; inside `captum_run`, which puts both back."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # else it would begin with this seed
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def sources_forgotten() -> Iterator[None]:
    """torch.fx keeps the source of every graph that it compiles, for tracebacks; afterwards those made inside go."""
    before = set(linecache.cache)
    try:
        yield
    finally:
        for key in linecache.cache.keys() - before:
            if key.startswith("<eval_with_key>"):
                del linecache.cache[key]
                graph_module._loader.eval_cache.pop(key, None)


@contextmanager
def captum_run(model: Classifier, images: Tensor, *, gradients: bool = True) -> Iterator[tuple[nn.Module, Tensor]]:
    """Give a copy of the network, and images as it reads them, with gradients on and captum's warnings off.

    Afterwards all is as it was. Raises NetworkError where `gradients` are needed and none reaches the input, and for a
    network that captum fails on.
    """
    with leave_no_trace(model.network), sources_forgotten(), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits_of(model.network, images[:1])
        copied = own_copy(model.network)
        weight = next((weight for weight in copied.parameters() if weight.is_floating_point()), images)
        given = images.detach().to(weight.device, weight.dtype, copy=True)
        if gradients and not copied(given[:1].clone().requires_grad_()[:]).requires_grad:
            raise NetworkError(NO_GRADIENT)
        try:
            yield copied, given
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, AttributeError, AssertionError, LookupError) as problem:
            reason = (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".:")
            raise NetworkError(
                f"captum cannot take this network ({reason}); use occlusion or rise, which only ask it for answers."
            ) from problem


def rehearse_gradient(model: Classifier, images: Tensor) -> None:
    """Raise what `captum_run` raises of a network through which a method takes gradients."""
    with captum_run(model, images) as (network, given):
        leaf = given[:1].requires_grad_()
        torch.autograd.grad(network(leaf.clone()).sum(), leaf)


def rehearse_copy(model: Classifier, images: Tensor) -> None:
    """Raise what `captum_run` raises of a network which a method only asks."""
    with captum_run(model, images, gradients=False):
        pass


def logits_with_graph(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function that leaves its input alone.

    More images than memory allows pass in pieces, each of which passes again when its gradient is taken.
    """

    def logits(images: Tensor) -> Tensor:
        first, *more = images.clone().split(at_once(graph=True))
        answer: Tensor = network(first) if not more else torch.cat([again(piece) for piece in (first, *more)])
        return answer

    again = partial(checkpoint, network, use_reentrant=False, preserve_rng_state=False)

    return logits


def each_class(attribute: Attribute, images: Tensor, targets: Tensor, *, share: int = 1) -> Tensor:
    """Attributions of every image for each of its targets, as many in one call as memory allows.

    share: how many rows the attribution of one takes.

    images (N, C, H, W), targets (N, T). Returns (N, T, C, H, W).
    """
    classes, count = targets.flatten().to(images.device), targets.shape[1]
    jobs = torch.arange(targets.numel(), device=images.device).split(at_once(graph=True, share=share))
    found = [attribute(images[rows // count], classes[rows]).detach() for rows in jobs]
    return torch.cat(found).view(*targets.shape, *images.shape[1:])


def one_by_one(attribute: Attribute) -> Attribute:
    """Call for one image and class at a time: what is drawn alike for each depends on neither batch nor classes."""

    def attribute_all(images: Tensor, classes: Tensor) -> Tensor:
        pairs = zip(images.split(1), classes.split(1), strict=True)
        return torch.cat([attribute(image, target).detach() for image, target in pairs])

    return attribute_all


def unanswered(network: nn.Module, images: Tensor) -> Tensor:
    """Of which images (N, C, H, W) the answer is not finite, (N,) bool: the rules at a ReLU may hide it."""
    with torch.no_grad():
        return torch.cat([~known(network(some.clone())) for some in images.split(at_once())])


def summed(attributions: Tensor) -> Tensor:
    """Maps (N, T, H, W) of attributions (N, T, C, H, W): the channels of a pixel are added, with their signs."""
    return attributions.sum(dim=2)
