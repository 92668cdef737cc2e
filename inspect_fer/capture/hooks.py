"""What every pass has in common: eval mode without a trace, the network's answer, watched layers."""

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import chain
from threading import RLock
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from inspect_fer.errors import NetworkError
from inspect_fer.lookup import lookup

_ONE_AT_A_TIME = RLock()


@contextmanager
def leave_no_trace(network: nn.Module) -> Iterator[None]:
    """Put every module of `network` into eval mode and leave inference mode; afterwards all is as it was.

    Training flags are kept per module, random numbers are restored, on errors too. What was compiled runs as it is
    written: compiled code knows no hooks that came later; autocast, which would round, is off. Other threads wait for
    their turn, whatever their network: they would run into these hooks, and draw from the same random numbers.
    """
    weight = next(network.parameters(), None)
    kinds = {"cpu", "cpu" if weight is None else weight.device.type}
    with ExitStack() as inside:
        inside.enter_context(_ONE_AT_A_TIME)
        inside.enter_context(_evaluating(network))
        inside.enter_context(_as_written())
        inside.enter_context(torch.inference_mode(mode=False))
        inside.enter_context(random_numbers_as_they_were())
        for kind in filter(torch.amp.is_autocast_available, kinds):
            inside.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def random_numbers_as_they_were() -> Iterator[None]:
    """Afterwards the random numbers of torch, NumPy and Python go on as if none had been drawn inside."""
    plain, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(numpy)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in network.modules()]
    try:
        _set((module, False) for module, _ in flags)
        yield
    finally:
        _set(flags)


def _set(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    """Set the training flags of these modules; to set one is slow, to look at it is not."""
    for module, training in flags:
        if module.training != training:
            module.training = training


def _as_written() -> AbstractContextManager[object]:
    """Have nothing run compiled; where the compiler was never loaded nothing is, and to load it takes seconds."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Run images (N, C, H, W) through the network and return its logits (N, K), graph and all.

    The images are copied to the network's device and number format, so that no layer writes into the caller's; the
    weights take no part in the graph. Raises NetworkError when the answer is not one row of logits an image.
    """
    return run(network, as_input(network, images), rows=len(images))


def as_input(network: nn.Module, images: Tensor) -> Tensor:
    """A copy of the images on the network's device and in its number format, outside any graph."""
    weight = next((weight for weight in network.parameters() if weight.is_floating_point()), images)
    return images.detach().to(weight.device, weight.dtype, copy=True)


def run(network: nn.Module, images: Tensor, *, rows: int) -> Tensor:
    """The logits (rows, K) of these very images, or NetworkError; weights take no part in the graph."""
    if torch.is_grad_enabled() and isinstance(network, nn.DataParallel | torch.jit.ScriptModule):
        raise NetworkError(f"No gradient can be read inside a {type(network).__name__}; give the network inside it.")
    stand_ins = _without_graph(network) if torch.is_grad_enabled() else {}
    logits = functional_call(network, stand_ins, (images,)) if stand_ins else network(images)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != rows:
        given = " x ".join(map(str, logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise NetworkError(f"The network must turn N images into logits (N, K); {rows} images gave {given}.")
    return logits


def _without_graph(network: nn.Module) -> dict[str, Tensor]:
    """What stands in for the weights that would start a graph, or that inference mode forbids in one."""
    return {
        name: weight.detach().clone() if weight.is_inference() else weight.detach()
        for name, weight in chain(network.named_parameters(), network.named_buffers())
        if weight.requires_grad or weight.is_inference()
    }


@contextmanager
def watched(layers: Mapping[str, nn.Module], see: Callable[[str, object], Tensor | None]) -> Iterator[None]:
    """Tell `see` the name and output of each of these layers when it has run; a tensor that it returns goes on.

    Raises NetworkError for a ScriptModule, into which nobody can look.
    """
    for name, module in layers.items():
        if isinstance(module, torch.jit.ScriptModule):
            raise NetworkError(
                f"Layer {name!r} is a ScriptModule, which cannot be watched; give the network before that."
            )
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: see(name, output))
        for name, module in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def penultimate(network: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
    """Watch one pass; gives a function from its logits (N, K) to what their layer was given, (N, D) float32 on the CPU.

    That layer is the last linear one or convolution, if it gives K numbers; maps are averaged. D is 0 where it is none.
    """
    last: list[tuple[nn.Module, object]] = []

    def keep(module: nn.Module, given: tuple[object, ...], _output: object) -> None:
        last[:] = [(module, given[0] if given else None)]

    def features(logits: Tensor) -> Tensor:
        module, given = last[0] if last else (None, None)
        if not isinstance(given, Tensor) or module is None or len(cast("Tensor", module.weight)) != logits.shape[1]:
            return torch.empty(len(logits), 0)
        flat = given.detach() if given.ndim == 2 else given.detach().flatten(2).mean(dim=2)
        return flat.to("cpu", torch.float32)

    weighing = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    handles = [module.register_forward_hook(keep) for module in weighing]
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """The module of that dotted name. Raises UnknownNameError with the nearest name and every layer."""
    layers: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    layers.pop("")
    return lookup(layers, name, "layer")


def tensor_of(layer: str, output: object) -> Tensor:
    """Vouch for a layer's output: a tensor, or NetworkError."""
    if isinstance(output, Tensor):
        return output
    did = "did not run" if output is None else f"gave a {type(output).__name__} instead of one tensor"
    raise NetworkError(f"Layer {layer!r} {did} in this network's pass; name another layer.")
