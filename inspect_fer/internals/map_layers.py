"""Which layers of a network give something that lies as the image does."""

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace, logits_of
from inspect_fer.capture.hooks import watched
from inspect_fer.internals.layout import Layout, layout_of
from inspect_fer.schema import Classifier

Shape = tuple[int, ...]


def map_layers(model: Classifier) -> dict[str, Layout]:
    """How to read each layer whose places are the image's, by its name, in the order in which they run.

    Maps have axis 1, and these alone CAM methods read; tokens have axis 2, maps with channels last axis 3. Left out is
    what runs several times, gives parts of images such as windows, or one place only, and the heads of an attention,
    whose rows are tokens.
    """
    size = (model.card.input_size[1], model.card.input_size[2])
    outputs: dict[str, list[Shape]] = {}

    def see(name: str, output: object) -> None:
        shape = tuple(output.shape) if isinstance(output, Tensor) and output.is_floating_point() else ()
        outputs.setdefault(name, []).append(shape)

    modules = {name: module for name, module in model.network.named_modules() if name}
    with leave_no_trace(model.network), torch.no_grad(), watched(modules, see):
        logits_of(model.network, torch.zeros(2, *model.card.input_size, device=model.device))
    once = {name: shapes[0] for name, shapes in outputs.items() if len(shapes) == 1 and shapes[0][:1] == (2,)}
    tokens = {shape[1] for shape in once.values() if len(shape) == 3}
    layouts = {name: layout_of(model.network, shape, size) for name, shape in once.items()}
    return {
        name: layout
        for name, layout in layouts.items()
        if layout and _lies_as(layout, size) and not (len(once[name]) == 4 and once[name][2] in tokens)
    }


def _lies_as(layout: Layout, size: tuple[int, int]) -> bool:
    """Whether there are several places, and they are about in the image's proportion, as behind uneven kernels."""
    if layout.grid is None or layout.grid == (1, 1):
        return False
    return 1 / 2 <= layout.grid[0] * size[1] / (layout.grid[1] * size[0]) <= 2
