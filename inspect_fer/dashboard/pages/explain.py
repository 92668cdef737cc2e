"""Explain one face, of the run or the user's own, with any network, method, class and layer."""

import streamlit as st

from inspect_fer.dashboard import panel
from inspect_fer.dashboard.answers import answer, fitted, why
from inspect_fer.dashboard.pickers import choose_face, choose_layer, choose_method, choose_network, choose_target
from inspect_fer.dashboard.shared import boundary, current_run, plain
from inspect_fer.explain.method import reads_layer
from inspect_fer.render import SCALE_NOTES
from inspect_fer.schema import Explanation, Prediction, Samples


def roles(explanation: Explanation, prediction: Prediction) -> dict[int, str]:
    """What each explained class is to the face, by its column."""
    label, predicted = int(prediction.labels[0]), int(prediction.predicted[0])
    words = {label: "given", predicted: "predicted" if predicted != label else "predicted, given"}
    return {column: words.get(target, "") for column, target in enumerate(explanation.targets[0].tolist())}


def result(face: Samples, prediction: Prediction, explanation: Explanation, scale: str) -> None:
    """The face beside its maps, the probabilities below."""
    several = explanation.maps.shape[1] > 1
    left, right = st.columns([1, 2]) if several else (st.grid(2, min_column_width=130),) * 2
    with left, st.container():
        panel.show_face(face)
        st.caption(plain(face.ids[0]))
    with right, st.grid(3, min_column_width=110) if several else st.container():
        panel.show_maps(face, explanation, roles(explanation, prediction), prediction.class_names, scale=scale)
    panel.legend(scale)
    height, width = explanation.maps.shape[2:]
    read = f", read at {explanation.layer}" if explanation.layer else ""
    st.caption(plain(f"{explanation.method['name']}{read}: {height} x {width} cells."))
    panel.show_probabilities(prediction, 0, int(prediction.labels[0]))


def page() -> None:
    """Draw the page."""
    st.title("Explain", anchor=False)
    st.caption("Which places of a face speak for a class, and which against it.")
    run = current_run()
    left, right = st.columns([3, 7], gap="large")
    with left, boundary():
        network = choose_network(run)
        chosen = choose_face(run, network)
        method = choose_method()
        label = -1 if chosen is None else int(chosen.labels[0])
        target = choose_target(network.model.card.class_names, labelled=label >= 0)
        layer = choose_layer(network) if reads_layer(method) else ""
        scale = (
            st.selectbox("Scale", ["image", "own"], format_func=SCALE_NOTES.__getitem__) if target == "all" else "own"
        )
        with right, boundary():
            if chosen is None:
                st.info("Upload a picture of one face, cropped about it (PNG or JPEG). It stays on this machine.")
                return
            face = fitted(chosen, network.model.card)
            prediction = answer(network, face)
            st.markdown(panel.verdict(prediction, 0))
            for words in panel.planted(face):
                st.badge(plain(words), icon=":material/flag:", color="orange")
            explanation = why(network, face, method, target, layer)
            result(face, prediction, explanation, scale)


page()
