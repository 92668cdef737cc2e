"""One pass over the images for all methods at once."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from inspect_fer.capture import leave_no_trace, logits_of, shared_pass
from inspect_fer.explain.method import Method, own_passes, reads_layer, shares_pass
from inspect_fer.explain.targets import predicted
from inspect_fer.predict import Images
from inspect_fer.schema import Classifier, Tick
from inspect_fer.twin import exact_twin


def maps_of(
    images: Images,
    methods: Mapping[str, Method],
    *,
    targets: Tensor | None,
    layer: str,
    batch_size: int,
    tick: Tick | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The maps of each method, (N, T, h, w) float32 on the CPU, and the targets (N, T).

    targets: (N, T), or None for the predicted class. layer: "" only when no method reads one. All methods that need no
    passes of their own share one per batch.
    """
    maps: dict[str, list[Tensor]] = {key: [] for key in methods}
    explained = []
    network = images.model.network
    keep = (layer,) if any(map(reads_layer, methods.values())) else ()
    with leave_no_trace(network):
        fast = replace(images.model, network=exact_twin(network, keep, images.read(slice(2))))
        for rows, batch in images.batches(batch_size):
            wanted = None if targets is None else targets[rows]
            chosen, found = _explain_batch(fast, images.model, batch, methods, wanted, layer)
            explained.append(chosen.cpu())
            for key, values in found.items():
                maps[key].append(values.detach().to("cpu", torch.float32))
            if tick:
                tick(rows.stop, len(images))
        return {key: torch.cat(values) for key, values in maps.items()}, torch.cat(explained)


def _explain_batch(
    model: Classifier,
    unfolded: Classifier,
    batch: Tensor,
    methods: Mapping[str, Method],
    targets: Tensor | None,
    layer: str,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Targets and maps of one batch, by the fast network, or by the plain one for methods that ask for it."""
    found: dict[str, Tensor] = {}
    sharing = {key: method for key, method in methods.items() if shares_pass(method)}
    if sharing:
        shared = shared_pass(model.network, layer, batch, predicted if targets is None else targets)
        found = {key: method(shared) for key, method in sharing.items()}
        targets = shared.targets
    if targets is None:
        with torch.no_grad():
            targets = predicted(logits_of(model.network, batch))
    for key, method in methods.items():
        if own_passes(method):
            network = unfolded if getattr(method, "unfolded", False) else model
            found[key] = method(network, batch, targets, layer if reads_layer(method) else "")
    return targets, found
