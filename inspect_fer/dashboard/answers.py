"""What a network says about one face, computed once under its lock and kept by the hash of all that went in."""

import json
from dataclasses import replace

import streamlit as st
import torch
from torch import Tensor

from inspect_fer.capture import layer_shapes
from inspect_fer.dashboard.shared import Network, content_key
from inspect_fer.explain import describe, explain
from inspect_fer.explain.method import Method
from inspect_fer.images import fit
from inspect_fer.internals import activation_maps
from inspect_fer.predict import predict
from inspect_fer.schema import Explanation, ModelCard, Prediction, Samples

Target = str | int


def fitted(face: Samples, card: ModelCard) -> Samples:
    """The face with the size and the channels that a network takes."""
    channels, height, width = card.input_size
    pixels = face.pixels[:]
    same = tuple(pixels.shape[1:]) == card.input_size or height != width
    return replace(face, pixels=pixels if same else fit(pixels, size=height, channels=channels), evidence=None)


@st.cache_data(max_entries=2000, show_spinner=False)
def _answer(network: str, face: str, _network: Network, _face: Samples) -> Prediction:  # noqa: ARG001
    with _network.lock:
        return predict(_network.model, _face)


def answer(network: Network, face: Samples) -> Prediction:
    """What the network makes of one face."""
    return _answer(network.content, content_key(face), network, face)


@st.cache_data(max_entries=1000, show_spinner="Explaining")
def _why(
    network: str,  # noqa: ARG001
    face: str,  # noqa: ARG001
    method: str,  # noqa: ARG001
    target: Target,
    layer: str,
    _network: Network,
    _face: Samples,
    _method: Method,
) -> Explanation:
    with _network.lock:
        return explain(_network.model, _face, _method, targets=target, layer=layer or None)


def why(network: Network, face: Samples, method: Method, target: Target, layer: str) -> Explanation:
    """Explain one face. Raises what `explain` does."""
    words = json.dumps(describe(method), sort_keys=True)
    return _why(network.content, content_key(face), words, target, layer, network, face, method)


@st.cache_data(max_entries=16, show_spinner=False)
def _shapes(network: str, _network: Network) -> dict[str, tuple[int, ...]]:  # noqa: ARG001
    with _network.lock:
        return layer_shapes(_network.model.network, torch.zeros(1, *_network.model.card.input_size))


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The output shape of every layer for one image, in the order in which they run."""
    return _shapes(network.content, network)


@st.cache_data(max_entries=100, show_spinner="Looking inside")
def _inside(network: str, face: str, layer: str, _network: Network, _face: Samples) -> Tensor:  # noqa: ARG001
    with _network.lock:
        return activation_maps(_network.model, _face, layer)[0]


def inside(network: Network, face: Samples, layer: str) -> Tensor:
    """What a layer gives for one face: maps (C, h, w) or features (F,)."""
    return _inside(network.content, content_key(face), layer, network, face)
