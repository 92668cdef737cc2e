"""Run a network over images under windows, computing only what each window can change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from inspect_fer.explain.incremental.kinds import Pointwise, Sliding
from inspect_fer.explain.incremental.layout import CLEAN, Layout
from inspect_fer.explain.incremental.plan import Traced, natively, sources, spent_after
from inspect_fer.explain.incremental.reach import Reach

Values: TypeAlias = dict[fx.Node, Any]
"""What each node gave: a table (N, rows, C) where patches are known, else what it gives in the network itself."""

Step: TypeAlias = Callable[[Values], Tensor]
ASKED = ("shape", "ndim", "dtype", "device")


@dataclass(frozen=True, eq=False)
class Program:
    """A network's graph made ready for the windows over images of one size.

    steps: what is done with patches; wholes: how tables are read that other nodes need as whole maps
    spent: after each node, the ones whose values are not needed any more
    """

    net: Traced
    layouts: Mapping[fx.Node, Layout]
    steps: Mapping[fx.Node, Step]
    wholes: Mapping[fx.Node, Tensor]
    spent: Mapping[fx.Node, list[fx.Node]]


def program(net: Traced, held: Mapping[fx.Node, Reach]) -> Program:
    """Lay out every table, and make ready where each step reads it."""
    made = {reach: Layout(reach) for reach in set(held.values())}
    layouts = {node: made[reach] for node, reach in held.items()}
    steps = {node: _step(net, node, layouts) for node in layouts if node is not net.image}
    others = (node for node in net.graph.nodes if node not in steps and not _asks(node))
    needed = {source for node in others for source in node.all_input_nodes if source in layouts}
    return Program(net, layouts, steps, {node: layouts[node].whole() for node in needed}, spent_after(net.graph))


def _step(net: Traced, node: fx.Node, layouts: Mapping[fx.Node, Layout]) -> Step:
    kind, before = net.kinds[node], sources(net, node)
    if isinstance(kind, Pointwise):
        return _pointwise(kind, node, layouts)
    return _sliding(kind, before[0], layouts[before[0]], layouts[node])


def _pointwise(kind: Pointwise, node: fx.Node, layouts: Mapping[fx.Node, Layout]) -> Step:
    """Bring the tables into one layout and treat their rows alike, border and clean map too."""
    target = layouts[node]
    moves = {source: layouts[source].moved(target) for source in node.all_input_nodes if layouts[source] is not target}

    def step(values: Values) -> Tensor:
        def rows(source: fx.Node) -> Any:
            table: Tensor = values[source]
            return (table.index_select(1, moves[source]) if source in moves else table).flatten(0, 1)

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), rows)
        found: Tensor = kind.apply(*args, **kwargs)
        return found.view(-1, target.length, found.shape[1])

    return step


def _sliding(kind: Sliding, source: fx.Node, layout: Layout, target: Layout) -> Step:
    """Cut out what each patch of the output sees, border included; the patches of one size go through in one call."""
    reads = [(group, layout.read(kind.sides, group, target)) for group in target.groups]

    def step(values: Values) -> Tensor:
        table: Tensor = values[source]
        table[:, 0] = kind.border
        clean = _rows(kind.whole(_maps(table[:, CLEAN : CLEAN + layout.places], layout.reach.size)), len(table))
        seen = (_maps(table.index_select(1, read.flatten()), (read.shape[2], read.shape[3])) for _, read in reads)
        patches = [_rows(kind.patch(maps), len(table)) for maps in seen]
        return torch.cat([torch.zeros_like(clean[:, :1]), clean, *patches], dim=1)

    return step


def _maps(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows (N, n * h * w, C) as maps (N * n, C, h, w), channels last in memory."""
    return rows.reshape(-1, *size, rows.shape[2]).permute(0, 3, 1, 2)


def _rows(maps: Tensor, images: int) -> Tensor:
    """Maps (N * n, C, h, w) as rows (N, n * h * w, C)."""
    return maps.permute(0, 2, 3, 1).reshape(images, -1, maps.shape[1])


def run(ready: Program, images: Tensor, fill: Tensor) -> Tensor:
    """The logits of images (N, C, H, W) as they are and with the fill under each window: (N, 1 + windows, K)."""
    net = ready.net
    values: Values = {net.image: _table(ready.layouts[net.image], images, fill)}
    for node in net.graph.nodes:
        if node.op == "placeholder":
            values.setdefault(node, *node.args)
        elif step := ready.steps.get(node):
            values[node] = step(values)
        else:
            values[node] = _natively(ready, node, values)
        for spent in ready.spent.get(node, ()):
            del values[spent]
    logits: Tensor = values[node]
    return logits.view(len(images), -1, logits.shape[1])


def _table(layout: Layout, images: Tensor, fill: Tensor) -> Tensor:
    """The table of the images, whose patches are the fill."""
    clean, filled = _rows(images, len(images)), _rows(fill, len(images))
    patches = [filled.index_select(1, layout.own(group)) for group in layout.groups]
    return torch.cat([torch.zeros_like(clean[:, :1]), clean, *patches], dim=1)


def _asks(node: fx.Node) -> bool:
    """Whether a node wants to know of its input no more than its shape, number format or device."""
    if node.op == "call_method":
        return node.target in ("size", "dim")
    return node.op == "call_function" and node.target is getattr and node.args[1] in ASKED


def _natively(ready: Program, node: fx.Node, values: Values) -> Any:
    """What a node gives for whole maps (N * (1 + windows), C, h, w), or for no more than their shape."""

    def value(source: fx.Node) -> Any:
        given, layout = values[source], ready.layouts.get(source)
        if layout is None:
            return given
        if _asks(node):
            shape = (len(given) * (1 + layout.reach.windows), given.shape[2], *layout.reach.size)
            return given.new_empty(()).expand(shape)
        return _maps(given.index_select(1, ready.wholes[source]), layout.reach.size)

    return natively(ready.net.network, node, *fx.node.map_arg((node.args, node.kwargs), value))
