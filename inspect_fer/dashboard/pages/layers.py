"""What is inside the network: layers, weights, what a layer makes of a face, what channels do and what excites them."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st
from torch import Tensor

from inspect_fer.dashboard import inside as parts
from inspect_fer.dashboard.answers import fitted, inside, layers, shapes
from inspect_fer.dashboard.charts import feature_chart
from inspect_fer.dashboard.inside_charts import signed_chart
from inspect_fer.dashboard.inside_concepts import factorised
from inspect_fer.dashboard.panel import show_face
from inspect_fer.dashboard.pickers import choose_face, choose_network
from inspect_fer.dashboard.shared import Network, boundary, current_run, plain
from inspect_fer.internals import LOGITS, convolutions, filters
from inspect_fer.render import activation_sheet, filter_sheet
from inspect_fer.schema import Samples


def layer_table(network: Network) -> pd.DataFrame:
    """Every layer that runs: name, type, output shape, parameters with those of what lies inside, receptive field."""
    rows = [{**row, "shape": " x ".join(map(str, row["shape"]))} for row in layers(network)]
    names = {
        "name": "layer",
        "kind": "type",
        "shape": "output",
        "parameters": "parameters",
        "receptive_field": "receptive field",
    }
    return pd.DataFrame(rows, columns=list(names)).rename(columns=names)


def kernels(network: Network) -> None:
    """The kernels of one convolution."""
    names = convolutions(network.model.network)
    if not names:
        st.info("This network has no convolution.")
        return
    name = st.selectbox("Convolution", names, key=f"convolution {network.content}")
    weights = filters(network.model.network, name)
    most = max(weights.shape[0], weights.shape[1])
    limit = 16
    if weights.shape[1] > 1 and most > 4:
        limit = st.slider(
            "Filters and inputs shown at most", 4, min(64, max(most, 5)), min(16, most), key=f"kernels {most}"
        )
    words = " x ".join(map(str, weights.shape))
    order = "; a row is a filter, a column an input channel" if weights.shape[1] > 1 else ""
    st.caption(f"{words} (filters, inputs, height, width){order}")
    st.image(filter_sheet(weights, limit=limit), alt=f"Kernels of {name}, {words}")


def activations(values: Tensor, layer: str, names: Sequence[str]) -> None:
    """What one layer gives for the face. names: of the classes, where the layer gives the logits."""
    words = " x ".join(map(str, values.shape))
    st.caption(f"{plain(layer)} gives {words} " + ("(channels, height, width)" if values.ndim == 3 else "features"))
    if values.ndim == 3:
        st.image(activation_sheet(values), alt=f"Activation maps of {layer}, {words}")
    elif len(names) == len(values):
        st.altair_chart(signed_chart(names, values.tolist(), "logit"), alt=f"Logits, {words}")
    else:
        st.altair_chart(feature_chart(values.tolist()), alt=f"Features of {layer}, {words}")


def looked_at(network: Network, chosen: Samples | None) -> None:
    """A layer of the user's choice, and what it makes of the face."""
    layer = parts.choose_any_layer(network, "looked at")
    if chosen is None:
        st.info("Upload a picture of one face to see what the layer makes of it.")
        return
    values = inside(network, fitted(chosen, network.model.card), layer)
    last = next(reversed(shapes(network)))
    activations(values, layer, network.model.card.class_names if layer in {LOGITS, last} else ())


def listed(network: Network) -> None:
    """The table of layers."""
    total = sum(weight.numel() for weight in network.model.network.parameters())
    st.caption(
        f"{total:,} parameters; a block counts what lies inside it. The receptive field is how wide a "
        "square of the image a place of the map sees."
    )
    st.dataframe(
        layer_table(network),
        hide_index=True,
        height="content",
        placeholder="",
        column_config={"parameters": st.column_config.NumberColumn(format="localized")},
        alt="Layers with type, output shape and parameters",
    )


def page() -> None:
    """Draw the page; only what is chosen is computed. Pills, because so many tabs would not fit."""
    st.title("Layers", anchor=False)
    st.caption("What the network is made of, and what its layers make of a face.")
    run = current_run()
    left, right = st.columns([3, 7], gap="large")
    with left:
        network = choose_network(run)
        chosen = choose_face(run, network)
        if chosen is not None:
            show_face(chosen)
            st.caption(plain(chosen.ids[0]))
    with right:
        draw = {
            "Activation maps": partial(looked_at, network, chosen),
            "Contributions": partial(parts.contributed, network, chosen),
            "Channels off": partial(parts.switched, network, chosen),
            "Gates": partial(parts.gated, network, chosen),
            "Exciting faces": partial(parts.exciting, network, run),
            "Concepts": partial(factorised, network, run),
            "Visualisation": partial(parts.visualised, network),
            "Filter kernels": partial(kernels, network),
            "Dense weights": partial(parts.dense, network),
            "Table of layers": partial(listed, network),
        }
        st.session_state.setdefault("tab", next(iter(draw)))
        tab = st.pills("What to see", list(draw), required=True, key="tab", label_visibility="collapsed", wrap=True)
        with boundary():
            draw[str(tab)]()


page()
