"""What is inside a network: filter kernels and activation maps."""

import torch
from torch import Tensor, nn

from inspect_fer.capture import activations
from inspect_fer.errors import NetworkError, UnknownNameError
from inspect_fer.lookup import no_such_name
from inspect_fer.predict import network_input
from inspect_fer.schema import Classifier, Samples


def convolutions(network: nn.Module) -> list[str]:
    """Dotted names of all convolutions, in the network's order."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]


def filters(network: nn.Module, layer: str) -> Tensor:
    """The kernels of one convolution, (out, in, kh, kw), as a copy; in is that of one group.

    Raises UnknownNameError with all convolutions when there is no such layer, NetworkError when it is none.
    """
    module = dict(network.named_modules(remove_duplicate=False)).get(layer)
    if module is None:
        raise UnknownNameError(no_such_name(layer, convolutions(network), "convolution"))
    if not isinstance(module, nn.Conv2d):
        choices = ", ".join(convolutions(network)) or "none"
        raise NetworkError(f"Layer {layer!r} is a {type(module).__name__}, no convolution. Choose from: {choices}.")
    return module.weight.detach().clone()


def activation_maps(model: Classifier, samples: Samples | Tensor, layer: str, *, batch_size: int = 128) -> Tensor:
    """What a layer gives for each sample: maps (N, C, h, w) or features (N, F), float32 on the CPU.

    Raises UnknownNameError when there is no such layer, NetworkError when it gives another shape, DataError when the
    samples do not fit the network.
    """
    found = []
    for _, batch in network_input(model, samples).batches(batch_size):
        output = activations(model.network, [layer], batch)[layer]
        if output.ndim not in (2, 4) or len(output) != len(batch):
            shape = " x ".join(map(str, output.shape))
            raise NetworkError(f"Layer {layer!r} gives {shape}, neither maps (N, C, h, w) nor features (N, F).")
        found.append(output.to("cpu", torch.float32))
    return torch.cat(found)
