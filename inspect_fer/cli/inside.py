"""The pictures of `inspect-fer internals`: what was asked, and a function for each view."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from inspect_fer.cli.terminal import first, target_of
from inspect_fer.datasets import samples_for
from inspect_fer.errors import ConfigError, DataError, NetworkError, TargetError
from inspect_fer.internals import (
    LOGITS,
    Ascent,
    activation_maps,
    channel_contributions,
    concepts,
    convolutions,
    dense_weights,
    exciting_samples,
    feature_visualisation,
    filters,
    gates,
    layer_rows,
    linears,
    switched_off,
)
from inspect_fer.predict import predict
from inspect_fer.render import activation_sheet, filter_sheet
from inspect_fer.render.concepts import concept_sheet
from inspect_fer.render.inside import (
    bars_figure,
    by_sign,
    channel_sheet,
    exciting_sheet,
    gates_figure,
    matrix_figure,
    picture_sheet,
    table_figure,
)
from inspect_fer.render.sheets import Tile
from inspect_fer.schema import Classifier, Samples, Tick, probabilities_of

WIDE = 1000
"""So many characters a line has where no terminal bounds it: names go into a file or a pipe whole."""
CHANNELS, BESIDE = 12, 6
"""So many channels are shown, and so many maps or faces beside one another, where the user names none."""


@dataclass(frozen=True)
class Asked:
    """What the user wants to see."""

    model: Classifier
    named: str | None
    data: str | None
    split: str
    sample: int
    limit: int
    words: str
    listed: str | None
    count: int
    steps: int
    seed: int
    tick: Tick

    @cached_property
    def faces(self) -> Samples:
        """All faces of the dataset. Raises DataError without --data."""
        if self.data is None:
            raise DataError("This view looks at faces; name them with --data, such as synthetic:20.")
        return samples_for(self.model.card, self.data, self.split)

    @cached_property
    def face(self) -> Samples:
        """The one that is looked at."""
        if self.sample >= len(self.faces):
            raise DataError(f"There is no face {self.sample}; they are 0 to {len(self.faces) - 1}.")
        return self.faces[[self.sample]]

    @property
    def layer(self) -> str:
        """The layer named, or the one that the card names. Raises NetworkError where neither is."""
        found = self.named or self.model.card.cam_layer
        if not found:
            raise NetworkError("The network's card names no layer; name one with --layer. The view layers lists them.")
        return found

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the network."""
        return self.model.card.class_names

    @cached_property
    def targets(self) -> list[int]:
        """The classes that --target means for the face. Raises TargetError."""
        found = target_of(self.words, self.class_names)
        if found == "all":
            return list(range(len(self.class_names)))
        if found in {"predicted", "label"}:
            answer = predict(self.model, self.face)
            found = int((answer.labels if found == "label" else answer.predicted)[0])
        if not 0 <= found < len(self.class_names):
            raise TargetError(f"There is no class {found} to explain; there are 0 to {len(self.class_names) - 1}.")
        return [found]

    def channels(self, ranked: Tensor, most: int = CHANNELS) -> list[int]:
        """The channels named, or those with the largest of these values (C,) in size. Raises ConfigError."""
        if not self.listed:
            return ranked.abs().sort(descending=True, stable=True).indices[:most].tolist()
        return listed_channels(self.listed, len(ranked))


def listed_channels(words: str, count: int) -> list[int]:
    """Numbers and ranges of them, with commas between. Raises ConfigError for other words, and from `count` on."""
    found: list[int] = []
    for part in words.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ConfigError(f"Channels are numbers and ranges such as 0,3,8-11, not {words!r}.")
        found += range(int(low), int(high if dash else low) + 1)
    if not found or max(found) >= count:
        raise ConfigError(f"The layer has the channels 0 to {count - 1}; {words} names others or none.")
    return found


def layer_table(model: Classifier) -> None:
    """Print every layer that runs: name, type, output, parameters, receptive field."""
    from rich.console import Console
    from rich.table import Table

    table = Table("layer", "type", "output", "parameters", "receptive field")
    table.columns[3].justify = table.columns[4].justify = "right"
    table.columns[0].overflow = "fold"
    for row in layer_rows(model, blocks=True):
        shape, sees = " x ".join(map(str, row["shape"])), row["receptive_field"]
        table.add_row(row["name"], row["kind"], shape, f"{row['parameters']:,}", "" if sees is None else str(sees))
    width = None if sys.stdout.isatty() else WIDE
    Console(markup=False, highlight=False, width=width).print(table)


def _filters(asked: Asked) -> Image.Image:
    network = asked.model.network
    name = asked.named or (convolutions(network) or [""])[0]
    return filter_sheet(filters(network, name), layer=name)


def _weights(asked: Asked) -> Figure:
    network = asked.model.network
    name = asked.named or (linears(network) or [""])[-1]
    weights = dense_weights(network, name)
    names = asked.class_names if len(weights) == len(asked.class_names) else ()
    return matrix_figure(weights, names=names, title=f"{name}: {' x '.join(map(str, weights.shape))} weights")


def _activations(asked: Asked) -> Figure | Image.Image:
    values = activation_maps(asked.model, asked.face, asked.layer)[0]
    if values.ndim == 3:
        return activation_sheet(values, layer=asked.layer)
    names = asked.class_names if asked.layer == LOGITS else ()
    return bars_figure(values, names=names, title=f"{asked.layer} of {asked.face.ids[0]}")


def _contributions(asked: Asked) -> Image.Image:
    model, face = asked.model, asked.face
    found = channel_contributions(model, face, asked.layer, torch.tensor([asked.targets]))
    maps = activation_maps(model, face, found.layer)[0]
    rows = []
    for place, target in enumerate(asked.targets):
        values, rest = found.values[0, place], float(found.rest[0, place])
        best = asked.channels(values, BESIDE)
        logit = float(values.sum()) + rest
        head = Tile(Image.new("RGB", (1, 1)), asked.class_names[target], f"{logit:+z.2f}, rest {rest:+z.2f}")
        for part in (best[at : at + CHANNELS] for at in range(0, len(best), CHANNELS)):
            said = [f"{float(values[c]):+z.3f}" for c in part]
            rows.append((head, by_sign(maps[part], values[part]), [f"channel {c}" for c in part], said))
    kinds = {"exact": "weight x mean activation, exact", "gradient": "gradient x activation"}
    title = f"{found.layer} · {kinds[found.kind]} · below the face: its logit"
    return channel_sheet(face.pixels[0:1][0], rows, title=title, ends=("lowers the logit", "raises it"))


def _gates(asked: Asked) -> Figure:
    values = {name: found[0] for name, found in gates(asked.model, asked.face).items()}
    if not values:
        raise NetworkError("This network has no squeeze-and-excitation gates.")
    target = asked.targets[0]
    effects = {
        name: torch.stack([switched_off(asked.model, asked.face, name, value=at)[0, :, target] for at in (1.0, 0.0)])
        for name in values
    }
    return gates_figure(values, effects, asked.class_names[target])


def _switched_off(asked: Asked) -> Figure:
    changes = switched_off(asked.model, asked.face, asked.layer, tick=asked.tick)[0]
    best = asked.channels(changes.abs().amax(dim=1))
    title = f"{asked.layer}: change of each logit without a channel"
    rows = [f"channel {c}" for c in best]
    return table_figure(changes[best], rows, asked.class_names, title=title, unit="change of logit")


def _exciting(asked: Asked) -> Image.Image:
    faces = first(asked.faces, asked.limit)
    found = exciting_samples(asked.model, faces, asked.layer, BESIDE, tick=asked.tick)
    rows, names = [], dict(enumerate(asked.class_names)) if asked.layer == LOGITS else {}
    for channel in asked.channels(found.values[:, 0], CHANNELS // 2):
        shown = faces[found.rows[channel]]
        captions = [f"{names.get(channel, channel)}: {value:z.2f}" for value in found.values[channel].tolist()]
        rows.append((shown.pixels[:], found.places[channel], captions, _labels(shown)))
    return exciting_sheet(rows, found.size, title=f"{asked.layer}: channel and activation, of {len(faces)} faces")


def _concepts(asked: Asked) -> Image.Image:
    faces = first(asked.faces, asked.limit)
    found = concepts(asked.model, faces, asked.layer, asked.count)
    shown, answers = faces[:BESIDE], probabilities_of(found.logits, asked.model.card.output)
    title = f"{found.layer}: {len(found.vectors)} concepts of {len(faces)} faces, each on one scale"
    return concept_sheet(shown.pixels[:], found.maps[:BESIDE], answers, asked.class_names, _labels(shown), title=title)


def _labels(faces: Samples) -> list[str]:
    return [faces.class_names[label] if label >= 0 else "" for label in faces.labels.tolist()]


def _visualise(asked: Asked) -> Image.Image:
    model, layer = asked.model, asked.named or LOGITS
    start = activation_maps(model, torch.zeros(1, *model.card.input_size), layer)[0]
    chosen = listed_channels(asked.listed, len(start)) if asked.listed else list(range(min(len(start), CHANNELS)))
    found = feature_visualisation(model, layer, chosen, Ascent(steps=asked.steps, seed=asked.seed), tick=asked.tick)
    names = [asked.class_names[c] if layer == LOGITS else f"channel {c}" for c in chosen]
    reached = zip(found.start.tolist(), found.reached.tolist(), found.silent.tolist(), strict=True)
    remarks = ["silent, no gradient" if silent else f"{a:z.2f} → {b:z.2f}" for a, b, silent in reached]
    return picture_sheet(found.pixels, names, remarks, title=f"{layer}: what excites it, mean activation from → to")


VIEWS: dict[str, Callable[[Asked], Figure | Image.Image]] = {
    "filters": _filters,
    "weights": _weights,
    "activations": _activations,
    "contributions": _contributions,
    "gates": _gates,
    "switched-off": _switched_off,
    "exciting": _exciting,
    "concepts": _concepts,
    "visualise": _visualise,
}
