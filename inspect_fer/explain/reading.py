"""What CAM methods have to read in a network, and what else to do where that is nothing."""

from collections.abc import Mapping, Sequence

from inspect_fer.capture import find_cam_layer
from inspect_fer.errors import ConfigError, FerError, NetworkError
from inspect_fer.explain.method import Method, reads_layer
from inspect_fer.explain.passes import Layers, Refuse, layers_of
from inspect_fer.predict import Images
from inspect_fer.schema import Classifier


def layers_to_read(model: Classifier, layer: Layers) -> tuple[str, ...]:
    """What is read, see layers_of; an empty name among several names is told, for the card's layer would stand in."""
    if isinstance(layer, Sequence) and not isinstance(layer, str | bytes) and "" in layer:
        own = model.card.cam_layer
        leave = f", or leave it out to read {own!r}, which the network's card names" if own else ""
        raise ConfigError(f"One of the layers to read has an empty name; name a layer{leave}.")
    return layers_of(model, layer)


def readable(
    methods: Mapping[str, Method], images: Images, layers: tuple[str, ...], refuse: Refuse | None
) -> dict[str, Method]:
    """The methods that have something to read; the others are refused, or raise NetworkError where nobody listens.

    Raises ConfigError for a listener that cannot be told.
    """
    if refuse is not None and not callable(refuse):
        raise ConfigError(f"refuse is a function that is told (method, error), or None, not {refuse!r}.")
    lacking = [] if layers else [key for key, method in methods.items() if reads_layer(method)]
    for key in lacking:
        problem = NetworkError(f"{key} reads a layer, {_instead(images)}.")
        if refuse is None:
            raise problem
        refuse(key, problem)
    return {key: method for key, method in methods.items() if key not in lacking}


def _instead(images: Images) -> str:
    """What to do where the network's card names no layer."""
    try:
        found = find_cam_layer(images.model.network, images.read(slice(1)))
    except FerError:
        return "and those of this network cannot be watched; use occlusion, or another method that reads none"
    if found:
        return f"and the network's card names none; name one with layer=, such as {found!r}"
    return "and none of this network gives maps; use occlusion or saliency, which read the image alone"
