"""What the Layers page shows beside kernels and maps: matrices, contributions, switches, what excites a channel."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields
from math import ceil

import streamlit as st
import torch

from inspect_fer.dashboard import inside_answers as kept
from inspect_fer.dashboard.answers import answer, fitted, inside, shapes
from inspect_fer.dashboard.inside_charts import change_chart, gate_chart, signed_chart
from inspect_fer.dashboard.panel import zoom
from inspect_fer.dashboard.pickers import map_layers, option
from inspect_fer.dashboard.shared import Network, faces_in
from inspect_fer.internals import LOGITS, Ascent, dense_weights, linears
from inspect_fer.internals.exciting import Measure
from inspect_fer.internals.layout import Layout, layout_of
from inspect_fer.internals.maps import is_logits
from inspect_fer.render import overlay_pixels, png_bytes
from inspect_fer.render.inside import by_sign, exciting_sheet, matrix_figure, picture_sheet
from inspect_fer.schema import Run, Samples, Tick

BARS, MAPS, ROWS, PICTURES = 12, 6, 6, 8
"""So many channels are shown at once: as bars, as maps, as rows of faces, and as pictures."""
MEASURES: dict[Measure, str] = {"max": "largest cell", "mean": "mean over the map"}
EXACT = (
    "Weight x mean activation. Only pooling and one linear layer follow, so this is exact: all channels and the bias "
    "of {rest:+z.2f} add up to the logit of {logit:+z.2f}."
)
ROUGH = (
    "Gradient x activation, exact to first order only: all channels add up to {sum:+z.2f}, and {rest:+z.2f} of the "
    "logit of {logit:+z.2f} is left to biases further on and to what is not linear."
)


def choose_any_layer(network: Network, key: str, default: str = "", *, logits: bool = True) -> str:
    """A layer that gives maps, tokens on a grid or features, or the logits."""
    names = [name for name in shapes(network) if layout(network, name)]
    names += [LOGITS] if logits and LOGITS not in names else []
    own = default or network.model.card.cam_layer
    return st.selectbox(
        "Layer",
        names,
        index=names.index(own) if own in names else 0,
        format_func=lambda name: f"{name} · before the softmax" if is_logits(network.model.network, name) else name,
        key=f"{key} {network.content}",
    )


def channels_of(network: Network, layer: str) -> list[str]:
    """What each channel of a layer is called: its number, or the class where the layer is the logits."""
    if is_logits(network.model.network, layer):
        return list(network.model.card.class_names)
    found = layout(network, layer)
    return list(map(str, range(shapes(network)[layer][found.axis]))) if found else []


def layout(network: Network, layer: str) -> Layout | None:
    """How a layer's output is to be read, None where that cannot be known."""
    height, width = network.model.card.input_size[1:]
    return layout_of(network.model.network, shapes(network)[layer], (height, width))


def choose_map_layer(network: Network, key: str = "layer", axes: Collection[int] = (1, 3)) -> str | None:
    """A layer whose maps lie as the image does, by where their channels stand; None where there is none."""
    names, own, words = map_layers(network, axes)
    index = names.index(own) if names else 0
    return st.selectbox("Layer", names, index=index, format_func=words, key=f"{key} {network.content}")


@contextmanager
def bar_of(what: str) -> Iterator[Tick]:
    """Show a bar while something takes long; gives its tick(done, total)."""
    place = st.empty()

    def tick(done: int, total: int) -> None:
        place.progress(done / total, f"{done} of {total} {what}")

    try:
        yield tick
    finally:
        place.empty()


def dense(network: Network) -> None:
    """The weights of one linear layer."""
    names = linears(network.model.network)
    if not names:
        st.info("This network has no linear layer.")
        return
    name = st.selectbox("Linear layer", names, index=len(names) - 1, key=f"dense {network.content}")
    weights = dense_weights(network.model.network, name)
    classes = network.model.card.class_names if len(weights) == len(network.model.card.class_names) else ()
    words = f"{len(weights)} x {weights.shape[1]}"
    st.caption(f"{words} (outputs, inputs); a row is what one output adds up")
    figure = matrix_figure(weights, names=classes, title=name)
    st.image(png_bytes(figure), width="stretch", alt=f"Weights of {name}, {words}")


def contributed(network: Network, face: Samples | None) -> None:
    """The channels that speak most for and against one class, with what they are active at."""
    left, right = st.columns(2)
    with left:
        layer = choose_map_layer(network)
    if layer is None:
        st.info("Contributions are read where a layer gives maps, and no layer of this network does.")
        return
    if face is None:
        st.info("Upload a picture of one face to see which channels speak for a class.")
        return
    face = fitted(face, network.model.card)
    names, predicted = network.model.card.class_names, int(answer(network, face).predicted[0])
    chosen = right.selectbox("Class", ["predicted class", *names], key="contributes to")
    target = names.index(chosen) if chosen in names else predicted
    found = kept.contributions(network, face, layer)
    values, rest = found.values[0, target], float(found.rest[0, target])
    total = float(values.sum())
    told = {"sum": total, "rest": rest, "logit": total + rest}
    st.caption((EXACT if found.kind == "exact" else ROUGH).format(**told))
    order = values.abs().sort(descending=True, stable=True).indices[:BARS].tolist()
    chart = signed_chart(
        [f"channel {c}" for c in order], values[order].tolist(), f"contribution to the logit of {names[target]}"
    )
    st.altair_chart(chart, alt=f"Contributions of channels to {names[target]}")
    maps = inside(network, face, layer)[order[:MAPS]]
    pictures = overlay_pixels(face.pixels[:], by_sign(maps, values[order[:MAPS]])[None], zoom=zoom(face))[0]
    st.caption(
        "Where the first of them are active, each on its own scale: red where a channel raises the logit, blue where "
        "it lowers it."
    )
    with st.grid(MAPS // 2, min_column_width=130):
        for channel, picture in zip(order, pictures, strict=False):
            value = f"{float(values[channel]):+z.3f}"
            st.image(picture, caption=f"channel {channel} · {value}", width="stretch", alt=f"Map of channel {channel}")


def show_changes(network: Network, face: Samples, layer: str, value: float) -> None:
    """What becomes of the logits with each channel at a value; the channels that matter most, and all together."""
    names = channels_of(network, layer)
    changes = kept.changes(network, face, layer, len(names), value)
    best = changes[:-1].abs().amax(dim=1).sort(descending=True, stable=True).indices[:BARS].tolist()
    rows = [f"all {len(names)} together", *(f"channel {names[c]}" for c in best)]
    table = torch.cat([changes[-1:], changes[best]])
    limit = float(table[1:].abs().max()) or 1.0
    chart = change_chart(table, rows, network.model.card.class_names, limit)
    st.altair_chart(chart, alt=f"Changes of the logits, {layer}")


def switched(network: Network, face: Samples | None) -> None:
    """What becomes of the logits when a channel of any layer is switched off."""
    layer = choose_any_layer(network, "switched", logits=False)
    if face is None:
        st.info("Upload a picture of one face to see what becomes of its logits.")
        return
    st.caption("By how much each logit changes when a channel is set to zero; the channels that matter most.")
    show_changes(network, fitted(face, network.model.card), layer, 0.0)


def gated(network: Network, face: Samples | None) -> None:
    """The gates of squeeze-and-excitation, and what becomes of the logits when they are left out or shut."""
    if face is None:
        st.info("Upload a picture of one face to see what the gates let through.")
        return
    face = fitted(face, network.model.card)
    values = kept.gate_values(network, face)
    if not values:
        st.info("This network has no squeeze-and-excitation gates: no layer scales the channels of its block's input.")
        return
    name = st.selectbox("Gate", list(values), key=f"gate {network.content}")
    st.altair_chart(gate_chart(values[name].tolist()), alt=f"Gate {name}: what passes of each channel")
    words = {"1: let it pass, as if there were no gate": 1.0, "0: shut it": 0.0}
    setting = st.selectbox("Set a channel's gate to", list(words), key="gate value")
    st.caption("By how much each logit changes then; the channels that matter most.")
    show_changes(network, face, name, words[setting])


def exciting(network: Network, run: Run | None) -> None:
    """The run's faces that excite each channel of a layer most."""
    if run is None:
        st.info("The faces of a run are searched here, and there is none yet. `inspect-fer demo` makes one.")
        return
    left, middle, right = st.columns(3)
    with left:
        layer = choose_any_layer(network, "exciting")
    measure = middle.selectbox("By", list(MEASURES), format_func=MEASURES.__getitem__, key="excites by")
    most = len(run)
    limit = int(right.number_input("Faces searched", 1, most, min(1000, most), key=f"searched {run.folder.name}"))
    with bar_of("faces") as tick:
        found = kept.excited(network, run, limit, layer, measure, tick)
    order = found.values[:, 0].sort(descending=True, stable=True).indices
    pages = ceil(len(order) / ROWS)
    page = st.pagination(pages, key=f"exciting {layer}") if pages > 1 else 1
    faces, names = faces_in(run), channels_of(network, layer)
    rows = []
    for channel in order[ROWS * (page - 1) : ROWS * page].tolist():
        shown = faces[found.rows[channel]]
        labels = [faces.class_names[label] if label >= 0 else "" for label in shown.labels.tolist()]
        captions = [f"{names[channel]}: {value:z.2f}" for value in found.values[channel].tolist()]
        rows.append((shown.pixels[:], found.places[channel], captions, labels))
    frame = "" if found.size == (1, 1) else "; the frame is around the cell that is most active"
    st.caption(f"A row is a channel, with its activation and the face's label; the strongest channels first{frame}.")
    st.image(exciting_sheet(rows, found.size), alt=f"Faces that excite channels of {layer}")


def visualised(network: Network) -> None:
    """Pictures that excite channels, found by gradient ascent when asked for."""
    layer = choose_any_layer(network, "visualised", LOGITS)
    names = channels_of(network, layer)
    few = list(range(min(PICTURES, len(names))))
    channels = st.multiselect(
        "Channels", range(len(names)), few, format_func=names.__getitem__, key=f"pictures {network.content} {layer}"
    )
    with st.expander("Options"):
        ascent = Ascent(
            **{
                entry.name: option(entry.name, type(entry.default), entry.default, key=f"ascent {entry.name}")
                for entry in fields(Ascent)
            }
        )
    asked = st.button("Find pictures", type="primary", disabled=not channels)
    if not asked and not kept.has_visualised(network, layer, channels, ascent):
        st.info(f"{len(channels)} pictures in {ascent.steps} steps each: some seconds on a small network.")
        return
    with bar_of("steps") as tick:
        found = kept.visualised(network, layer, channels, ascent, tick)
    pairs = zip(found.start.tolist(), found.reached.tolist(), strict=True)
    remarks = [f"{before:z.2f} → {after:z.2f}" for before, after in pairs]
    silent = int(found.silent.sum())
    st.caption("Mean activation of the channel at the start and at the end.")
    if silent:
        st.warning(f"{silent} silent at the start, so no gradient leads on; the layer before the ReLU has one.")
    sheet = picture_sheet(found.pixels, [names[c] for c in channels], remarks, columns=4)
    st.image(sheet, alt=f"Pictures that excite channels of {layer}")
