"""What a network says about one face, computed once under its lock and kept by the hash of all that went in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from torch import Tensor

from inspect_fer.dashboard.shared import Network, content_key
from inspect_fer.errors import FerError
from inspect_fer.explain import METHODS, Options, Precision, describe, explain, forecast, make_method
from inspect_fer.explain.cost import Forecast
from inspect_fer.explain.fusion import Fusion
from inspect_fer.explain.incremental.gain import gain_in_words, measuring
from inspect_fer.explain.method import Method
from inspect_fer.images import fit
from inspect_fer.internals import activation_maps, layer_rows
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


@dataclass(frozen=True)
class Manner:
    """How maps are made: of which class, from which layers, fused how, how precisely."""

    targets: Target = "predicted"
    layer: tuple[str, ...] = ()
    fusion: Fusion = "mean"
    precision: Precision = "exact"

    def options(self) -> Options:
        """As `explain` takes them."""
        return Options(targets=self.targets, layer=self.layer or None, fusion=self.fusion, precision=self.precision)


Maps = tuple[dict[str, Explanation], dict[str, str], str]
"""Explanations by method, for methods that the network does not allow the reason, and what occlusion gained."""


@st.cache_data(max_entries=1000, show_spinner="Explaining")
def _why(
    network: str,  # noqa: ARG001
    face: str,  # noqa: ARG001
    methods: str,  # noqa: ARG001
    manner: Manner,
    _network: Network,
    _face: Samples,
    _methods: Sequence[Method],
) -> Maps:
    refused: dict[str, str] = {}

    def refuse(name: str, problem: FerError) -> None:
        refused[name] = str(problem)

    options = manner.options()
    options["refuse"] = refuse
    with _network.lock, measuring() as measured:
        found = explain(_network.model, _face, list(_methods), **options)
    return found, refused, gain_in_words(measured)


def why(network: Network, face: Samples, methods: Sequence[Method], manner: Manner) -> Maps:
    """Explain one face by several methods, all from one pass. Raises what `explain` does."""
    words = json.dumps([describe(method) for method in methods], sort_keys=True)
    return _why(network.content, content_key(face), words, manner, network, face, methods)


@st.cache_data(max_entries=1000, show_spinner="Timing")
def _cost(
    network: str,  # noqa: ARG001
    methods: str,  # noqa: ARG001
    manner: Manner,
    _network: Network,
    _face: Samples,
    _methods: Sequence[Method],
) -> Forecast:
    with _network.lock:
        return forecast(_network.model, _face, list(_methods), **manner.options())


def cost(network: Network, face: Samples, methods: Sequence[Method], manner: Manner) -> Forecast:
    """What explaining a face takes; the same for every face of a network. Raises what `forecast` does."""
    words = json.dumps([describe(method) for method in methods], sort_keys=True)
    return _cost(network.content, words, manner, network, face, methods)


def quick(network: Network, face: Samples, manner: Manner) -> list[Method]:
    """All methods that follow from the one pass, with their own options."""
    made = [make_method(name) for name in METHODS]
    told = cost(network, face, made, manner).methods
    return [
        method for method in made if (name := str(describe(method)["name"])) in told and not told[name].passes.forward
    ]


@st.cache_data(max_entries=16, show_spinner=False)
def _layers(network: str, _network: Network) -> list[dict[str, Any]]:  # noqa: ARG001
    with _network.lock:
        return layer_rows(_network.model, blocks=True)


def layers(network: Network) -> list[dict[str, Any]]:
    """The table of layers, blocks among them; see `internals.layer_rows`."""
    return _layers(network.content, network)


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The output shape of every layer for one image, in the order in which they run."""
    return {str(row["name"]): (1, *row["shape"]) for row in layers(network)}


@st.cache_data(max_entries=100, show_spinner="Looking inside")
def _inside(network: str, face: str, layer: str, _network: Network, _face: Samples) -> Tensor:  # noqa: ARG001
    with _network.lock:
        return activation_maps(_network.model, _face, layer)[0]


def inside(network: Network, face: Samples, layer: str) -> Tensor:
    """What a layer gives for one face: maps (C, h, w) or features (F,)."""
    return _inside(network.content, content_key(face), layer, network, face)
