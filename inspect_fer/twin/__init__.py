"""A faster twin of a network, its graph, and copies of it; kept until anything about the network changes."""

from inspect_fer.twin.copies import bare_copy
from inspect_fer.twin.folding import TOLERANCE, exact_twin, half_twin, multiplies_half, never_changes
from inspect_fer.twin.state import state_of
from inspect_fer.twin.tracing import TRACING, Tracer, graph_of

__all__ = [
    "TOLERANCE",
    "TRACING",
    "Tracer",
    "bare_copy",
    "exact_twin",
    "graph_of",
    "half_twin",
    "multiplies_half",
    "never_changes",
    "state_of",
]
