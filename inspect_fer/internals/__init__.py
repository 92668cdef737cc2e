"""What is inside a network: its weights, what its layers give, and what each channel does for each class."""

from inspect_fer.internals.concepts import Concepts, concepts
from inspect_fer.internals.contributions import ChannelContributions, channel_contributions
from inspect_fer.internals.exciting import ExcitingSamples, exciting_samples
from inspect_fer.internals.layer_rows import layer_rows, receptive_fields
from inspect_fer.internals.maps import LOGITS, activation_maps
from inspect_fer.internals.switches import gates, switched_off
from inspect_fer.internals.visualise import Ascent, Visualisation, feature_visualisation
from inspect_fer.internals.weights import convolutions, dense_weights, filters, linears

__all__ = [
    "LOGITS",
    "Ascent",
    "ChannelContributions",
    "Concepts",
    "ExcitingSamples",
    "Visualisation",
    "activation_maps",
    "channel_contributions",
    "concepts",
    "convolutions",
    "dense_weights",
    "exciting_samples",
    "feature_visualisation",
    "filters",
    "gates",
    "layer_rows",
    "linears",
    "receptive_fields",
    "switched_off",
]
