"""What the layers of a network give: shapes, copies of their outputs, and which of them CAM methods read."""

from collections import Counter
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from inspect_fer.capture.hooks import find_layer, leave_no_trace, logits_of, tensor_of, watched


def _plain_pass(network: nn.Module, images: Tensor, see: Callable[[str, object], None]) -> None:
    """Run the network once, in eval mode and without a graph, with every layer but itself watched."""
    layers = {name: module for name, module in network.named_modules() if name}
    with leave_no_trace(network), torch.no_grad(), watched(layers, see):
        logits_of(network, images)


def layer_shapes(network: nn.Module, images: Tensor) -> dict[str, tuple[int, ...]]:
    """The output shape of every layer that ran, in the order in which they finished; a layer's last run counts."""
    shapes: dict[str, tuple[int, ...]] = {}

    def see(name: str, output: object) -> None:
        shapes.pop(name, None)
        if isinstance(output, Tensor):
            shapes[name] = tuple(output.shape)

    _plain_pass(network, images, see)
    return shapes


def first_not_finite(network: nn.Module, images: Tensor) -> str:
    """Name the first layer whose output is not finite, "input" where the images are not, "" where all is finite."""
    if not images.isfinite().all():
        return "input"
    broken: list[str] = []

    def see(name: str, output: object) -> None:
        if not broken and isinstance(output, Tensor) and not output.isfinite().all():
            broken.append(name)

    _plain_pass(network, images, see)
    return next(iter(broken), "")


def find_cam_layer(network: nn.Module, images: Tensor) -> str:
    """Name the last layer before pooling with a map (N, C, h, w) larger than 1 x 1, the outermost of equals, or "".

    Pooling, what merely hands its result on, and layers that run several times do not count.
    """
    runs: list[tuple[str, object]] = []  # keeps the outputs alive, so that their identity means something
    _plain_pass(network, images, lambda name, output: runs.append((name, output)))
    times = Counter(name for name, _ in runs)
    layers = dict(network.named_modules())
    pooled = {id(output) for name, output in runs if "Pool" in type(layers[name]).__name__}
    for name, output in reversed(runs):
        hands_on = any(word in type(layers[name]).__name__ for word in ("Pool", "Drop", "Identity"))
        handed_on = id(output) in pooled and any(layers[name].children())
        if times[name] == 1 and _is_map(output) and not hands_on and not handed_on:
            return name
    return ""


def _is_map(output: object) -> bool:
    """Whether this is (N, C, h, w) and larger than 1 x 1."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1


def activations(network: nn.Module, layers: Iterable[str], images: Tensor) -> dict[str, Tensor]:
    """The outputs of these layers, whatever their shape, as copies; the last one of a layer that runs several times.

    Raises UnknownNameError for a layer that is not there, NetworkError for one that did not run or gave no tensor.
    """
    modules = {name: find_layer(network, name) for name in layers}
    outputs: dict[str, object] = {}

    def see(name: str, output: object) -> None:
        outputs[name] = output.detach().clone() if isinstance(output, Tensor) else output

    with leave_no_trace(network), torch.no_grad(), watched(modules, see):
        logits_of(network, images)
    return {name: tensor_of(name, outputs.get(name)) for name in modules}
