"""Where a training runs, and by how many processes, as `torchrun` starts them: each takes its share of every batch."""

import gc
import os

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from inspect_fer.errors import ConfigError


def check_device(device: str) -> None:
    """Raise ConfigError where there is no such device."""
    try:
        torch.zeros(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        raise ConfigError(f"There is no device {device!r} here to train on. Use cpu.") from problem


def join(device: str) -> str:
    """Join the other processes where torchrun started some; return the device of this one."""
    if "WORLD_SIZE" not in os.environ:
        return device
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return device


def leave() -> None:
    """Part from the other processes, where there are any; all at a time, when nothing holds on to them any more."""
    if distributed.is_initialized():
        distributed.barrier()
        gc.collect()
        distributed.destroy_process_group()


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process scores and writes; where it trains alone it does."""
    return os.environ.get("RANK", "0") == "0"


def wait() -> None:
    """Wait until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()


def share(batch: int) -> slice:
    """This process's rows of a batch. Raises ConfigError when the batch cannot be shared evenly."""
    parts = processes()
    if batch % parts:
        raise ConfigError(f"A batch of {batch} cannot be shared by {parts} processes; choose a multiple of {parts}.")
    size = batch // parts
    rank = distributed.get_rank() if parts > 1 else 0
    return slice(rank * size, (rank + 1) * size)


def together(network: nn.Module) -> nn.Module:
    """The network with gradients averaged over all processes, itself where there is one."""
    return DistributedDataParallel(network) if processes() > 1 else network


def from_first(found: dict[str, float]) -> dict[str, float]:
    """What the first process found, for all of them: decisions must not differ."""
    held = [found]
    if processes() > 1:
        distributed.broadcast_object_list(held)
    return held[0]


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if processes() > 1:
        distributed.all_reduce(values)
    return values
