"""What each node of a network's graph has to do for the windows over an image, and what that costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from inspect_fer.explain.incremental.kinds import Kind, Pointwise, Sliding, function_of, kind_of
from inspect_fer.explain.incremental.reach import Reach, Spans

WHOLE = 0.8
"""From this share of a map on, whole maps are computed."""

WEIGHTS, CALL, LIGHT = 100, 3_000_000, 10_000
"""What one more call costs: to put a convolution's weights in order, as long as so many places of its map take; for the
call itself, as so many multiply-adds; and a place of a layer that multiplies little or nothing counts as so many."""


@dataclass(frozen=True)
class Traced:
    """A network with its graph, and for each node the shape of its output and what it does with patches.

    work: multiply-adds of each convolution and linear layer, for one image
    """

    network: nn.Module
    graph: fx.Graph
    image: fx.Node
    shapes: Mapping[fx.Node, torch.Size]
    kinds: Mapping[fx.Node, Kind]
    work: Mapping[fx.Node, int]


@dataclass(frozen=True)
class Forecast:
    """Multiply-adds for one image and all its windows: whole maps for each window, or only what it reaches."""

    dense: int
    incremental: int

    @property
    def gain(self) -> float:
        """How many times less there is to do."""
        return self.dense / self.incremental if self.incremental else 1.0


def natively(network: nn.Module, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """What a node gives for these arguments."""
    if node.op == "get_attr":
        return attrgetter(str(node.target))(network)
    return args[0] if node.op == "output" else function_of(network, node)(*args, **kwargs)


def traced(network: nn.Module, graph: fx.Graph, image: Tensor) -> Traced:
    """Run one image (1, C, H, W) through the graph to see what it gives. Raises what the network raises."""
    values: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = node.args[0] if values else image.clone()
        else:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = natively(network, node, args, kwargs)
    shapes = {node: value.shape for node, value in values.items() if isinstance(value, Tensor)}
    kinds = {node: kind for node in graph.nodes if (kind := _kind(network, node, shapes))}
    work = {node: count for node in graph.nodes if (count := _work(network, node, shapes))}
    return Traced(network, graph, next(iter(graph.nodes)), shapes, kinds, work)


def _kind(network: nn.Module, node: fx.Node, shapes: Mapping[fx.Node, torch.Size]) -> Kind | None:
    """What a node does with patches, if it makes maps of maps; of several, if they have one size."""
    before = [shapes[source] for source in node.all_input_nodes if source in shapes]
    after = shapes.get(node, torch.Size())
    if not before or any(len(shape) != 4 for shape in (*before, after)):
        return None
    kind = kind_of(network, node, before[0], after)
    uneven = len({shape[2:] for shape in (*before, after)}) > 1
    return None if isinstance(kind, Pointwise) and uneven else kind


def _work(network: nn.Module, node: fx.Node, shapes: Mapping[fx.Node, torch.Size]) -> int:
    layer = function_of(network, node)
    return shapes[node].numel() * layer.weight[0].numel() if isinstance(layer, nn.Conv2d | nn.Linear) else 0


def sources(net: Traced, node: fx.Node) -> list[fx.Node]:
    """The nodes whose maps a node works on; of an enlargement's inputs, the others say its size."""
    return node.all_input_nodes[:1] if isinstance(net.kinds[node], Sliding) else node.all_input_nodes


def reaches(net: Traced, windows: tuple[Spans, Spans]) -> dict[fx.Node, Reach]:
    """What windows reach in the map of each node that need not be computed whole."""
    size = net.shapes[net.image][2:]
    found = {net.image: Reach((size[0], size[1]), *windows)}
    for node in net.kinds:
        if all(source in found for source in sources(net, node)):
            reach = _behind(net, node, found)
            if reach.share < WHOLE:
                found[node] = reach
    return found


def _behind(net: Traced, node: fx.Node, found: Mapping[fx.Node, Reach]) -> Reach:
    kind, before = net.kinds[node], [found[source] for source in sources(net, node)]
    if isinstance(kind, Pointwise):
        return reduce(Reach.joined, before)
    return before[0].behind(kind.sides, (net.shapes[node][2], net.shapes[node][3]))


def evened(net: Traced, found: Mapping[fx.Node, Reach], images: int) -> dict[fx.Node, Reach]:
    """The same with fewer sizes of patches, which takes fewer calls, for so many images at a time."""
    held = {net.image: found[net.image]}
    for node in net.kinds:
        if node in found:
            slides = isinstance(net.kinds[node], Sliding)
            held[node] = found[node].evened(images, _call(net, node)) if slides else _behind(net, node, held)
    return held


def _call(net: Traced, node: fx.Node) -> int:
    """What one more call of a layer costs, in places of its map."""
    places = net.shapes[node][2] * net.shapes[node][3]
    return WEIGHTS + CALL // max(net.work.get(node, 0) // places, LIGHT)


def forecast_of(net: Traced, found: Mapping[fx.Node, Reach]) -> Forecast:
    """The multiply-adds of one image and all windows, the image without a window included."""
    windows = found[net.image].windows
    shares = {node: found[node].share if node in found else 1.0 for node in net.work}
    incremental = sum(work * (1 + windows * shares[node]) for node, work in net.work.items())
    return Forecast((1 + windows) * sum(net.work.values()), round(incremental))


def spent_after(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """After each node, the ones whose values nothing needs any more."""
    last = {source: node for node in graph.nodes for source in node.all_input_nodes}
    return {node: [source for source in last if last[source] is node] for node in set(last.values())}


def alive(net: Traced, held: Mapping[fx.Node, Reach]) -> tuple[float, float]:
    """How many numbers are kept at a time, at most: for an image that is computed whole, and for each window."""
    whole = {node: float(shape.numel()) for node, shape in net.shapes.items()}
    clean = 1 / held[net.image].windows
    under = {node: size * (clean + (held[node].share if node in held else 1.0)) for node, size in whole.items()}
    made = {node: size if node in held else 0.0 for node, size in under.items()}  # parts, before they are put together
    indices = 0.0
    for node in net.graph.nodes:
        for source in node.all_input_nodes:
            if source in held:
                places = _read(net, node, source, held)
                made[node] = made.get(node, 0.0) + places * net.shapes[source][1]
                indices += 2 * places  # of eight bytes
    return _peak(net, whole, {}), _peak(net, under, made) + indices


def _read(net: Traced, node: fx.Node, source: fx.Node, held: Mapping[fx.Node, Reach]) -> float:
    """How many places of a table a node reads for each window."""
    if node not in held:
        return float(prod(held[source].size))
    kind, reach = net.kinds[node], held[node]
    if isinstance(kind, Pointwise):
        return 0.0 if reach == held[source] else reach.places / reach.windows
    sides = zip(kind.sides, (reach.rows, reach.columns), strict=True)
    return (
        prod(sum(len(side.sources(start, stop - start)) for start, stop in spans) for side, spans in sides)
        / reach.windows
    )


def _peak(net: Traced, sizes: Mapping[fx.Node, float], made: Mapping[fx.Node, float]) -> float:
    """The most that is alive: the sizes of what is still needed, and what is made and dropped on the way."""
    spent, now, most = spent_after(net.graph), 0.0, 0.0
    for node in net.graph.nodes:
        now += sizes.get(node, 0.0)
        most = max(most, now + made.get(node, 0.0))
        now -= sum(sizes.get(source, 0.0) for source in spent.get(node, ()))
    return most
