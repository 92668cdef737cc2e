"""The only hooks of the library: what layers gave, and one pass that serves every method and every class."""

from inspect_fer.capture.gates import gate_layers
from inspect_fer.capture.hooks import find_layer, leave_no_trace, logits_of, penultimate, random_numbers_as_they_were
from inspect_fer.capture.layers import activations, find_cam_layer, first_not_finite, layer_shapes
from inspect_fer.capture.meter import Meter
from inspect_fer.capture.shared import SharedPass, shared_pass, shared_passes
from inspect_fer.capture.tail import tail
from inspect_fer.capture.whole import WholePass, whole_pass

__all__ = [
    "Meter",
    "SharedPass",
    "WholePass",
    "activations",
    "find_cam_layer",
    "find_layer",
    "first_not_finite",
    "gate_layers",
    "layer_shapes",
    "leave_no_trace",
    "logits_of",
    "penultimate",
    "random_numbers_as_they_were",
    "shared_pass",
    "shared_passes",
    "tail",
    "whole_pass",
]
