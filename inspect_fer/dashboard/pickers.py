"""Widgets that several pages use: network, method with its options, class, layer and face."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import streamlit as st
import torch

from inspect_fer.dashboard import inside_answers as kept
from inspect_fer.dashboard.answers import Manner, Target, shapes
from inspect_fer.dashboard.shared import OWN, Network, faces_in, network_at, network_files, plain
from inspect_fer.errors import ConfigError, DataError, NetworkError
from inspect_fer.explain import METHODS, make_method
from inspect_fer.explain.fusion import FUSIONS
from inspect_fer.explain.method import Method
from inspect_fer.explain.spelling import kinds_of
from inspect_fer.faces import crop_face
from inspect_fer.images import read_image
from inspect_fer.schema import Run, Samples

TARGETS = {"predicted": "predicted class", "label": "given label", "all": "each class"}
NUMBER = "a number"
SOURCES = ("From the run", "Upload")


def choose_network(run: Run | None) -> Network:
    """The run's own network, or a published one. Raises CheckpointError when it cannot be loaded."""
    files = network_files(run)
    if not files:
        raise NetworkError(
            "There is no network here: no run, and no published checkpoint. `inspect-fer demo` makes one."
        )
    own = next(iter(files)) if run else None
    where = run.folder.name if run else ""
    name = st.selectbox(
        "Network",
        list(files),
        format_func=lambda name: name if name == OWN else f"{name} (this run's)" if name == own else name,
        key=f"network {where}",
        persist_state="session",
    )
    found = network_at(files[name])
    if run and name == own and found.fingerprint != run.manifest["model"]["sha256"]:
        st.warning("This file is no longer the network that made the run: its weights differ, so maps may as well.")
    return found


def choose_method() -> Method:
    """A method, with a widget for each of its options. Raises ConfigError for options that do not go together."""
    name = st.selectbox(
        "Method", list(METHODS), index=list(METHODS).index("grad-cam"), key="method", persist_state="session"
    )
    kind = METHODS[name]
    st.caption(plain((kind.__doc__ or "").strip().partition("\n\n")[0]))
    hints = get_type_hints(kind)
    entries = fields(kind)
    if not entries:
        return make_method(name)
    with st.expander("Options"):
        values = {
            entry.name: option(entry.name, hints[entry.name], entry.default, key=f"{name} {entry.name}")
            for entry in entries
        }
    return make_method(name, **values)


def option(name: str, kind: Any, default: Any, *, key: str) -> Any:
    """A widget for one field of a dataclass, by its type; types without a widget keep their default."""
    parts = kinds_of(kind)
    words = [part for part in parts if isinstance(part, str) or part is None]
    numbers = [part for part in parts if part in (int, float)]
    label = name.replace("_", " ").capitalize()
    if words and numbers:
        chosen = st.selectbox(
            label, [NUMBER, *words], index=0 if default not in words else 1 + words.index(default), key=key
        )
        if chosen != NUMBER:
            return chosen
        label, default, key = f"{label}: number", 0 if default in words else default, f"{key} number"
    elif words:
        return st.selectbox(label, words, index=words.index(default), key=key, format_func=lambda word: word or "none")
    if numbers:
        return number(label, numbers[-1], default, key)
    if kind is bool:
        return st.toggle(label, value=default, key=key)
    if kind is str:
        return st.text_input(label, value=default, key=key)
    st.caption(plain(f"{label}: {default}"))
    return default


def number(label: str, kind: type, default: Any, key: str) -> int | float:
    """A field for a whole or a broken number."""
    if kind is int:
        return int(st.number_input(label, value=int(default), step=1, key=key))
    return float(st.number_input(label, value=float(default), step=0.1, format="%g", key=key))


def choose_target(class_names: Sequence[str], *, labelled: bool) -> Target:
    """Which class is explained: as `explain` takes it."""
    words = [word for word in TARGETS if labelled or word != "label"]
    chosen = st.selectbox(
        "Class", [*words, *class_names], format_func=lambda word: TARGETS.get(word, word), key=f"class {labelled}"
    )
    return chosen if chosen in TARGETS else list(class_names).index(chosen)


def map_layers(network: Network, axes: Collection[int] = (1,)) -> tuple[list[str], str, Callable[[str], str]]:
    """Layers that CAM methods read, the one to start with ("" without any), and what they are called in a list.

    axes: where their channels may stand instead, as in `internals.map_layers`
    """
    names = [name for name, found in kept.map_layouts(network).items() if found.axis in axes]
    own, given = network.model.card.cam_layer, shapes(network)

    def words(name: str) -> str:
        return f"{name} · {' x '.join(map(str, given[name][1:]))}{' · default' if name == own else ''}"

    return names, own if own in names else next(reversed(names), ""), words


def choose_layers(network: Network) -> tuple[str, ...]:
    """One such layer or several."""
    names, first, words = map_layers(network)
    asked = "Several layers are read in one pass, and their maps become one."
    key = f"layers {network.content}"
    return tuple(st.multiselect("Layer", names, default=[first][: len(names)], format_func=words, key=key, help=asked))


def choose_manner(network: Network, *, labelled: bool, reads: bool) -> Manner:
    """The class, and for methods that read layers which ones; half precision. Raises ConfigError without a layer."""
    targets = choose_target(network.model.card.class_names, labelled=labelled)
    layers = choose_layers(network) if reads else ()
    if reads and not layers:
        raise ConfigError("Choose at least one layer for the method to read.")
    fusion = st.selectbox("Fusion of the layers", FUSIONS, key="fusion") if len(layers) > 1 else "mean"
    half = st.toggle(
        "Half precision", key="half", help="Faster where the processor has bfloat16; says how far the maps are off."
    )
    return Manner(targets, layers, fusion, "fast" if half else "exact")


def choose_face(run: Run | None, network: Network) -> Samples | None:
    """One face: of the run, or the user's own. None while there is no upload. Raises DataError for an unusable one."""
    if run is None:
        return uploaded(network)
    st.session_state.setdefault("source", SOURCES[0])
    source = st.segmented_control(
        "Face", SOURCES, required=True, key="source", label_visibility="collapsed", persist_state="session"
    )
    return of_run(run) if source != SOURCES[1] else uploaded(network)


def of_run(run: Run) -> Samples:
    """A sample of the run, by its id or number."""
    ids = run.prediction.ids
    if st.session_state.get("sample") in (None, ""):
        st.session_state["sample"] = ids[0]
    wanted = st.text_input(
        "Sample, by its id or its number", key="sample", persist_state="session", bind="query-params"
    )
    row = row_of(wanted or ids[0], ids)
    with st.container(horizontal=True, gap="small"):
        at = {"Previous": row - 1, "Next": row + 1, "Random": random.randrange(len(ids))}  # noqa: S311
        for name, other in at.items():
            st.button(name, on_click=show_sample, args=(ids[other % len(ids)],), key=f"step {name}")
    return faces_in(run)[[row]]


def show_sample(name: str) -> None:
    """Make the pages show this sample of the run."""
    st.session_state["sample"] = name
    st.session_state["source"] = SOURCES[0]


def row_of(wanted: str, ids: Sequence[str]) -> int:
    """The row of a sample by its id, or by its number from 0. Raises DataError when there is none such."""
    if wanted in ids:
        return ids.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(ids):
        return int(wanted)
    raise DataError(
        f"No sample of this run is called {wanted!r}. Give an id, such as {ids[0]}, or 0 to {len(ids) - 1}."
    )


def uploaded(network: Network) -> Samples | None:
    """The user's own picture, cropped to a square and scaled to what the network takes."""
    card = network.model.card
    file = st.file_uploader("A face", type=["png", "jpg", "jpeg"], key="upload", max_upload_size=20)
    if file is None:
        return None
    channels, size, _ = card.input_size
    if st.checkbox("Find the face in it", key="find face"):
        pixels = crop_face(read_image(file), size=size, channels=channels, name=file.name)
    else:
        pixels = read_image(file, size=size, channels=channels)
    return Samples((file.name,), pixels[None], torch.tensor([-1]), card.class_names)
