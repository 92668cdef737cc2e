"""Copies of a network in eval mode."""

from copy import deepcopy

import torch
from torch import nn


def altered(module: nn.Module) -> bool:
    """Whether something hangs on this instance that a copy would not share, or that has no weights yet."""
    hooks = (name for name in vars(module) if name.endswith("_hooks") and "state_dict" not in name)
    lazy = any(map(nn.parameter.is_lazy, module.parameters(recurse=False)))
    return lazy or "forward" in vars(module) or any(vars(module)[name] for name in hooks)


def evaluation_copy(network: nn.Module) -> nn.Module:
    """A deep copy in eval mode without gradients."""
    copied = deepcopy(network).requires_grad_(requires_grad=False)
    for module in copied.modules():
        module.training = False
    return copied


def bare_copy(network: nn.Module) -> nn.Module | None:
    """A copy in eval mode on which no hook hangs, to try things out on; None where the network cannot be copied."""
    with torch.inference_mode(mode=False):
        try:
            copied = evaluation_copy(network)
        except Exception:
            return None
    for module in copied.modules():
        for name in vars(module):
            if name.endswith("_hooks") and "state_dict" not in name:
                vars(module)[name].clear()
    return copied
