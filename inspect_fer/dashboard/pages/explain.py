"""Explain one face, of the run or the user's own, with any network, methods, class and layers."""

import streamlit as st

from inspect_fer.dashboard import panel
from inspect_fer.dashboard.answers import Manner, answer, cost, fitted, quick, why
from inspect_fer.dashboard.pickers import choose_face, choose_manner, choose_method, choose_network
from inspect_fer.dashboard.shared import Network, boundary, current_run, plain
from inspect_fer.errors import NetworkError
from inspect_fer.explain import METHODS, describe, make_method
from inspect_fer.explain.budget import in_words
from inspect_fer.explain.cost import in_time
from inspect_fer.explain.method import Method, reads_layer
from inspect_fer.render import SCALE_NOTES
from inspect_fer.schema import Explanation, Prediction, Samples

ONE, SEVERAL = "One method", "Side by side"
SLOW = 5.0  # what takes more seconds waits for a click
FIRST = ("grad-cam", "grad-cam++", "layer-cam", "xgrad-cam", "eigen-cam", "occlusion")


def roles(explanation: Explanation, prediction: Prediction) -> dict[int, str]:
    """What each explained class is to the face, by its column."""
    label, predicted = int(prediction.labels[0]), int(prediction.predicted[0])
    words = {label: "given", predicted: "predicted" if predicted != label else "predicted, given"}
    return {column: words.get(target, "") for column, target in enumerate(explanation.targets[0].tolist())}


def worth(explanation: Explanation, prediction: Prediction, alike: tuple[str, ...]) -> None:
    """What is to be known of the maps beside their colours."""
    height, width = explanation.maps.shape[2:]
    read = f", read at {explanation.layer}" if explanation.layer else ""
    fused = f", fused by {explanation.fusion}" if explanation.fusion else ""
    st.caption(plain(f"{explanation.method['name']}{read}{fused}: {height} x {width} cells."))
    if explanation.method["name"] == "contrast" and explanation.method["rival"] is None:
        first, second = (prediction.class_names[one] for one in prediction.logits[0].topk(2).indices.tolist())
        st.caption(plain(f"{first} is set against {second}, any other class against {first}."))
    if explanation.turned is not None and explanation.turned.any():
        st.caption("Divided by a negative logit, as published, a sign is turned. The scale magnitude keeps it.")
    if explanation.deviation is not None:
        st.caption(f"Half precision: {explanation.deviation:.2%} off the exact map.")
    if alike:
        st.caption(plain(f"On this network and face the same map, up to a factor, as {', '.join(alike)}."))


def one_method(face: Samples, prediction: Prediction, explanation: Explanation, scale: str) -> None:
    """The face beside its maps."""
    several = explanation.maps.shape[1] > 1
    left, right = st.columns([1, 2]) if several else (st.grid(2, min_column_width=130),) * 2
    with left, st.container():
        panel.show_face(face)
        st.caption(plain(face.ids[0]))
    with right, st.grid(3, min_column_width=110) if several else st.container():
        panel.show_maps(face, explanation, roles(explanation, prediction), prediction.class_names, scale=scale)
    panel.legend(scale, {"": explanation.fine}, class_free=explanation.class_free)


def side_by_side(face: Samples, prediction: Prediction, found: dict[str, Explanation]) -> None:
    """The face, and the map of each method for one class."""
    with st.grid(4, min_column_width=130):
        with st.container():
            panel.show_face(face)
            st.caption(plain(face.ids[0]))
        for name, explanation in found.items():
            with st.container(gap="xsmall"):
                panel.show_maps(face, explanation, {0: ""}, prediction.class_names, scale="own", title=name)
                if explanation.same_as:
                    st.caption(plain(f"same as {', '.join(explanation.same_as)}"))
    every = found.values()
    panel.legend("own", {name: each.fine for name, each in found.items()}, class_free=all(e.class_free for e in every))


def wanted(network: Network, face: Samples, methods: list[Method], manner: Manner) -> bool:
    """Say what the maps take, and ask before what takes long."""
    told = cost(network, face, methods, manner)
    if told.refused and len(methods) == 1:
        raise NetworkError(str(next(iter(told.refused.values()))))
    passes = told.shared.passes.forward + sum(each.passes.forward for each in told.methods.values())
    most = "up to " if any(each.passes.at_most for each in told.methods.values()) else ""
    seconds = in_time(told.seconds)
    count = "1 forward pass" if passes == 1 else f"{passes:,.0f} forward passes"
    memory = f", {in_words(told.bytes)}" if told.bytes else ""
    st.caption(f"Takes {most}{count}, {seconds}{memory}.")
    for name, each in told.methods.items():
        if each.note:
            st.caption(plain(f"{name}: {each.note}."))
    if told.seconds < SLOW:
        return True
    key = f"started {network.content} {face.ids[0]} {[describe(method) for method in methods]} {manner}"
    if st.button(f"Compute ({seconds})", icon=":material/hourglass:"):
        st.session_state[key] = True
    return key in st.session_state


def choose_methods() -> list[Method]:
    """Several methods, each with its own options as they come."""
    names = st.multiselect(
        "Methods", list(METHODS), default=FIRST, key="methods", help="All come from as few passes as possible."
    )
    return [make_method(name) for name in names]


def shown(network: Network, face: Samples, methods: list[Method], manner: Manner, scale: str) -> None:
    """The maps that were asked for."""
    prediction = answer(network, face)
    st.markdown(panel.verdict(prediction, 0))
    for words in panel.planted(face):
        st.badge(plain(words), icon=":material/flag:", color="orange")
    if not methods:
        st.info("Choose a method.")
    elif wanted(network, face, methods, manner):
        found, refused, gain = why(network, face, methods, manner)
        if st.session_state["view"] == SEVERAL:
            side_by_side(face, prediction, found)
        for name, reason in refused.items():
            st.caption(plain(f"{name}: {reason}"))
        if gain:
            st.caption(plain(f"occlusion: {gain}."))
        if st.session_state["view"] != SEVERAL and found:
            ((name, explanation),) = found.items()
            one_method(face, prediction, explanation, scale)
            worth(explanation, prediction, alike(network, face, methods[0], manner))
    panel.show_probabilities(prediction, 0, int(prediction.labels[0]))


def alike(network: Network, face: Samples, method: Method, manner: Manner) -> tuple[str, ...]:
    """Which of the quick methods give the same maps on this network, where this is one of them."""
    others = quick(network, face, manner)
    if method not in others:
        return ()
    return why(network, face, others, manner)[0][str(describe(method)["name"])].same_as


def page() -> None:
    """Draw the page."""
    st.title("Explain", anchor=False)
    st.caption("Which places of a face speak for a class, and which against it.")
    run = current_run()
    left, right = st.columns([3, 7], gap="large")
    with left, boundary():
        network = choose_network(run)
        chosen = choose_face(run, network)
        view = st.segmented_control("Show", [ONE, SEVERAL], default=ONE, required=True, key="view")
        methods = [choose_method()] if view == ONE else choose_methods()
        label = -1 if chosen is None else int(chosen.labels[0])
        manner = choose_manner(network, labelled=label >= 0, reads=any(map(reads_layer, methods)))
        every = manner.targets == "all" and view == ONE
        scale = st.selectbox("Scale", ["image", "own"], format_func=SCALE_NOTES.__getitem__) if every else "own"
        with right, boundary():
            if chosen is None:
                st.info("Upload a picture of one face, cropped about it (PNG or JPEG). It stays on this machine.")
                return
            shown(network, fitted(chosen, network.model.card), methods, manner, scale)


page()
