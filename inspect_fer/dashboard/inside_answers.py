"""What the Layers page asks the library, computed once and kept by the hash of all that went in."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, TypeVar

import streamlit as st
from torch import Tensor

from inspect_fer.dashboard.answers import fitted
from inspect_fer.dashboard.shared import Network, content_key, faces_in, key_of
from inspect_fer.internals import (
    Ascent,
    ChannelContributions,
    Concepts,
    ExcitingSamples,
    Visualisation,
    channel_contributions,
    concepts,
    exciting_samples,
    feature_visualisation,
    gates,
    switched_off,
)
from inspect_fer.internals.exciting import Measure
from inspect_fer.internals.layout import Layout
from inspect_fer.internals.map_layers import map_layers
from inspect_fer.schema import Classifier, Run, Samples, Tick

Found = TypeVar("Found")
AT_MOST = 8
"""So many faces are kept for each channel."""


@st.cache_data(max_entries=16, show_spinner=False)
def _map_layouts(network: str, _network: Network) -> dict[str, Layout]:  # noqa: ARG001
    with _network.lock:
        return map_layers(_network.model)


def map_layouts(network: Network) -> dict[str, Layout]:
    """How to read each layer that lies as the image does, in the order in which they run."""
    return _map_layouts(network.content, network)


@st.cache_data(max_entries=100, show_spinner="Looking inside")
def _contributions(
    network: str,  # noqa: ARG001
    face: str,  # noqa: ARG001
    layer: str,
    _network: Network,
    _face: Samples,
) -> ChannelContributions:
    with _network.lock:
        return channel_contributions(_network.model, _face, layer)


def contributions(network: Network, face: Samples, layer: str) -> ChannelContributions:
    """What each channel of a layer contributes to each class, for one face."""
    return _contributions(network.content, content_key(face), layer, network, face)


@st.cache_data(max_entries=100, show_spinner="Looking inside")
def _gate_values(network: str, face: str, _network: Network, _face: Samples) -> dict[str, Tensor]:  # noqa: ARG001
    with _network.lock:
        return {name: values[0] for name, values in gates(_network.model, _face).items()}


def gate_values(network: Network, face: Samples) -> dict[str, Tensor]:
    """What each gate gives for one face: (C,) by the name of its layer."""
    return _gate_values(network.content, content_key(face), network, face)


@st.cache_data(max_entries=100, show_spinner="Switching off")
def _changes(
    network: str,  # noqa: ARG001
    face: str,  # noqa: ARG001
    layer: str,
    value: float,
    count: int,
    _network: Network,
    _face: Samples,
) -> Tensor:
    with _network.lock:
        channels = [*range(count), tuple(range(count))]
        return switched_off(_network.model, _face, layer, channels, value=value)[0]


def changes(network: Network, face: Samples, layer: str, count: int, value: float = 0.0) -> Tensor:
    """How one face's logits change with each channel at `value`, and with all of them: (C + 1, K)."""
    return _changes(network.content, content_key(face), layer, value, count, network, face)


@st.cache_resource(max_entries=32, show_spinner=False)
def _place(words: str) -> dict[str, Any]:  # noqa: ARG001  # what a result is kept by
    return {}


def _kept(words: str, make: Callable[[], Found]) -> Found:
    """What was made under these words before, or is made now: outside the cache, so that it can show how far it is."""
    place = _place(words)
    if "found" not in place:
        place["found"] = make()
    found: Found = place["found"]
    return found


def excited(network: Network, run: Run, limit: int, layer: str, measure: Measure, tick: Tick) -> ExcitingSamples:
    """Which of the run's first faces excite each channel of a layer most."""

    def make() -> ExcitingSamples:
        faces = fitted(faces_in(run)[:limit], network.model.card)
        with network.lock:
            return exciting_samples(network.model, faces, layer, AT_MOST, measure=measure, tick=tick)

    return _kept(json.dumps([network.content, *key_of(run), limit, layer, measure]), make)


def own_copy(network: Network) -> Classifier:
    """A copy of the network, so that others need not wait while something takes long."""
    with network.lock:
        return replace(network.model, network=deepcopy(network.model.network))


@st.cache_data(max_entries=16, show_spinner="Looking for concepts")
def _factorised(
    network: str,  # noqa: ARG001
    run: tuple[str, str],  # noqa: ARG001
    limit: int,
    layer: str,
    count: int,
    _network: Network,
    _run: Run,
) -> Concepts:
    faces = fitted(faces_in(_run)[:limit], _network.model.card)
    return concepts(own_copy(_network), faces, layer, count)


def factorised(network: Network, run: Run, limit: int, layer: str, count: int) -> Concepts:
    """The concepts that a layer's features of the run's first faces are made of."""
    return _factorised(network.content, key_of(run), limit, layer, count, network, run)


def _ascent_words(network: Network, layer: str, channels: list[int], ascent: Ascent) -> str:
    return json.dumps([network.content, layer, channels, asdict(ascent)])


def has_visualised(network: Network, layer: str, channels: list[int], ascent: Ascent) -> bool:
    """Whether these pictures have been found already."""
    return "found" in _place(_ascent_words(network, layer, channels, ascent))


def visualised(network: Network, layer: str, channels: list[int], ascent: Ascent, tick: Tick) -> Visualisation:
    """Pictures that excite channels, found on a copy of the network."""

    def make() -> Visualisation:
        return feature_visualisation(own_copy(network), layer, channels, ascent, tick=tick)

    return _kept(_ascent_words(network, layer, channels, ascent), make)
