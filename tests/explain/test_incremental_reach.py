"""What a window reaches: against single pixels that are changed, against loops, and what it saves."""

from itertools import product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from inspect_fer.explain import Occlusion
from inspect_fer.explain.incremental import forecast
from inspect_fer.explain.incremental.layout import Layout
from inspect_fer.explain.incremental.plan import reaches, traced
from inspect_fer.explain.incremental.reach import Kernel, Reach, Repeat
from inspect_fer.models import build
from inspect_fer.twin import exact_twin, graph_of

kernels = st.builds(Kernel, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3))


def output_length(kernel, length):
    return (length + 2 * kernel.padding - kernel.dilation * (kernel.size - 1) - 1) // kernel.stride + 1


def reads(kernel, place):
    """The inputs that an output reads, by the definition of a convolution."""
    return {place * kernel.stride - kernel.padding + kernel.dilation * tap for tap in range(kernel.size)}


@settings(deadline=None)
@given(kernels, st.integers(1, 20), st.integers(0, 19), st.integers(1, 6))
def test_reached_are_the_outputs_that_read_the_span(kernel, length, start, count):
    outputs, span = output_length(kernel, length), range(start, min(start + count, length))
    assume(outputs > 0 and span)
    seeing = [place for place in range(outputs) if reads(kernel, place) & set(span)]
    first, stop = kernel.reached(span.start, span.stop)
    assert all(first <= place < stop for place in seeing)
    if seeing and kernel.dilation == 1:  # with dilation single outputs between may see nothing
        assert (max(first, 0), min(stop, outputs)) == (seeing[0], seeing[-1] + 1)


@settings(deadline=None)
@given(kernels, st.integers(0, 20), st.integers(1, 5))
def test_sources_are_the_inputs_that_outputs_read(kernel, start, count):
    sources = kernel.sources(start, count)
    for place, tap in product(range(count), range(kernel.size)):
        wanted = (start + place) * kernel.stride - kernel.padding + kernel.dilation * tap
        assert sources[place * kernel.stride + kernel.dilation * tap] == wanted
    assert {sources[0], sources[-1]} <= reads(kernel, start) | reads(kernel, start + count - 1)


def test_a_repetition_reads_each_place_as_often():
    assert Repeat(3).reached(2, 4) == (6, 12)
    assert Repeat(3).sources(5, 4) == [1, 2, 2, 2]


def layer_of(draw, channels):
    """A layer of positive weights with random geometry, so that a larger input never gives a smaller output."""
    size, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kind = draw(st.sampled_from(["conv", "max", "average"]))
    if kind == "conv":
        conv = nn.Conv2d(channels, 2, (size, 2), stride, draw(st.integers(0, 2)), dilation)
        nn.init.uniform_(conv.weight, 0.1, 1)
        return conv
    padding = draw(st.integers(0, size // 2))
    if kind == "average":
        return nn.AvgPool2d(size, stride, padding)
    return nn.MaxPool2d(size, stride, padding, dilation, ceil_mode=draw(st.booleans()))


@st.composite
def stacks(draw):
    """Two to four layers one behind the other, and an image (1, 1, H, W) that is large enough for them."""
    layers = [layer_of(draw, 1)]
    for _ in range(draw(st.integers(1, 3))):
        layers.append(layer_of(draw, 2 if any(isinstance(layer, nn.Conv2d) for layer in layers) else 1))
    return nn.Sequential(*layers), torch.rand(1, 1, draw(st.integers(8, 15)), draw(st.integers(8, 15)))


@settings(max_examples=60, deadline=None)
@given(stacks(), st.integers(0, 14), st.integers(0, 14))
def test_outside_of_what_a_pixel_reaches_nothing_changes(stack, y, x):
    network, image = stack
    y, x = y % image.shape[2], x % image.shape[3]
    changed = image.clone()
    changed[..., y, x] = 9
    with torch.no_grad():
        try:
            moved = (network(changed) != network(image))[0].any(dim=0)
        except RuntimeError:
            assume(False)  # the image is too small for these layers
        net = traced(network, graph_of(network), image)
        last = [*net.kinds][-1]
    found = reaches(net, (((y, y + 1),), ((x, x + 1),))).get(last)
    if found is not None:  # else whole maps are computed
        (top, bottom), (left, right) = found.rows[0], found.columns[0]
        assert not moved.nonzero().numel() or moved[top:bottom, left:right].sum() == moved.sum()


spans = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 8)), min_size=1, max_size=6)


def reach_of(rows, columns, size=(12, 12)):
    return Reach(size, *(tuple((a, min(a + b, 12)) for a, b in given) for given in (rows, columns)))


@settings(deadline=None)
@given(spans, spans, st.integers(1, 9), st.integers(0, 500))
def test_evened_patches_hold_the_others_and_cost_no_more(rows, columns, images, call):
    reach = reach_of(rows, columns)
    evened = reach.evened(images, call)

    def cost(reach):
        sizes = ({stop - start for start, stop in spans} for spans in (reach.rows, reach.columns))
        return images * reach.places + call * len(next(sizes)) * len(next(sizes))

    assert cost(evened) <= cost(reach)
    assert evened.joined(reach) == evened
    assert all(0 <= start < stop <= 12 for start, stop in (*evened.rows, *evened.columns))
    assert reach.evened(images, 0) == reach


@settings(deadline=None)
@given(spans, spans)
def test_every_window_finds_its_patch_and_else_the_clean_map(rows, columns):
    """Filled with a number for each window, a table is read as a map that holds this number in the window's patch."""
    layout = Layout(reach_of(rows, columns))
    table = torch.zeros(layout.length)
    table[1:145] = torch.arange(1000, 1144)
    for (i, j), start in zip(product(range(len(rows)), range(len(columns))), layout.starts.flatten(), strict=True):
        table[start : start + layout.heights[i] * layout.widths[j]] = 1 + i * len(columns) + j
    found = table[layout.whole()].view(-1, 12, 12)
    expected = torch.arange(1000.0, 1144).view(12, 12).repeat(len(found), 1, 1)
    for i, j in product(range(len(rows)), range(len(columns))):
        (top, bottom), (left, right) = layout.reach.rows[i], layout.reach.columns[j]
        expected[1 + i * len(columns) + j, top:bottom, left:right] = 1 + i * len(columns) + j
    assert found.equal(expected)


def test_forecast_counts_what_a_loop_counts(generator):
    """Multiply-adds of every output place that a changed pixel moves, place by place, and of the linear layer."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 3, 3, stride=2), nn.Flatten(), nn.Linear(108, 5)
    )
    network.apply(lambda layer: hasattr(layer, "weight") and nn.init.uniform_(layer.weight, 0.1, 1))
    image, places = torch.rand(1, 1, 14, 14, generator=generator), Occlusion(window=4, stride=5).footprint((1, 14, 14))
    told = forecast(network, image, places)
    dense, incremental = 14 * 14 * 2 * 9 + 6 * 6 * 3 * 18 + 540, 0
    for (top, bottom), (left, right) in product(places.rows, places.columns):
        covered = image.clone()
        covered[..., top:bottom, left:right] += 1
        first, second = (network[:depth](covered) != network[:depth](image) for depth in (1, 2))
        incremental += int(first[0, 0].sum()) * 18 + int(second[0, 0].sum()) * 54 + 540
    assert told.dense == dense * 10
    assert told.incremental == dense + incremental
    assert told.gain == told.dense / told.incremental


@pytest.mark.parametrize(
    ("name", "window", "expected"),
    [
        ("baseline", 8, 3.47),
        ("baseline", 16, 2.21),
        ("baseline", 48, 1.0),
        ("lenet", 8, 3.64),
        ("unet", 8, 3.41),
        ("se", 8, 1.0),
        ("majority", 8, 1.0),
    ],
)
def test_forecast_of_known_networks(name, window, expected):
    image = torch.zeros(1, 1, 48, 48)
    network = exact_twin(build(name).eval(), (), image)
    told = forecast(network, image, Occlusion(window=window).footprint((1, 48, 48)))
    assert told.gain == pytest.approx(expected, abs=0.02)


def test_no_forecast_without_a_graph():
    class Branching(nn.Module):
        def forward(self, images):
            return images.flatten(1) if images.sum() > 0 else -images.flatten(1)

    image = torch.zeros(1, 1, 8, 8)
    assert forecast(Branching(), image, Occlusion().footprint((1, 8, 8))) is None
