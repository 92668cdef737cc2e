"""Where the network errs: a confusion matrix whose cells open their faces, a wall of faces, and one face in full."""

from pathlib import Path
from typing import Any

import streamlit as st
import torch

from inspect_fer.dashboard import panel
from inspect_fer.dashboard.charts import CELL, confusion_cells, confusion_chart
from inspect_fer.dashboard.pickers import show_sample
from inspect_fer.dashboard.shared import boundary, faces_in, key_of, need_run, plain
from inspect_fer.dashboard.wall import (
    Mode,
    Wall,
    captions,
    face_tiles,
    map_tiles,
    one_map_each,
    sprite,
    wall,
)
from inspect_fer.metrics import confusion
from inspect_fer.render import peak
from inspect_fer.schema import Run, Samples

AT_ONCE = 210
MODES: dict[Mode, str] = {"over": "Over the face", "beside": "Beside it", "off": "Off"}
ORDERS = {"sure": "most certain first", "loss": "highest loss first", "given": "in the run's order"}
SCALES = {"own": "each map on its own scale", "shared": "all maps on one scale"}


def matrix(run: Run) -> tuple[str, str] | None:
    """Draw the confusion matrix; returns the chosen cell (true, predicted), or None."""
    names = run.prediction.class_names
    by_row = st.segmented_control(
        "Cells", ["count", "share of row"], default="count", required=True, key="by", label_visibility="collapsed"
    )
    found: Any = st.altair_chart(
        confusion_chart(counts(run), names, by_row=by_row != "count"),
        key=f"confusion {st.session_state.get('cleared', 0)}",
        on_select="rerun",
        alt="Confusion matrix, rows true classes, columns predicted ones; a table of it stands at the end of the page",
    )
    chosen = found["selection"].get(CELL) if found else None
    return (chosen[0]["true"], chosen[0]["predicted"]) if chosen else None


def counts(run: Run) -> list[list[int]]:
    """The confusion matrix."""
    answer = run.prediction
    found: list[list[int]] = confusion(answer.labels, answer.predicted, len(answer.class_names)).tolist()
    return found


def clear() -> None:
    """Choose no cell: a chart under another key starts afresh."""
    st.session_state["cleared"] = st.session_state.get("cleared", 0) + 1


def table(run: Run) -> None:
    """The matrix for those who do not see it."""
    with st.expander("The matrix as a table"):
        cells = confusion_cells(counts(run), run.prediction.class_names, by_row=False)
        st.dataframe(
            cells.pivot_table("count", "true", "predicted", sort=False), alt="Confusion matrix, counts of faces"
        )


def rows_of(run: Run, cell: tuple[str, str] | None, order: str) -> list[int]:
    """The faces of a cell, or all mistakes (all faces where no label is known), in the order asked for."""
    answer, names = run.prediction, list(run.prediction.class_names)
    if cell is not None:
        true, predicted = map(names.index, cell)
        kept = (answer.labels == true) & (answer.predicted == predicted)
    else:
        kept = answer.wrong if bool((answer.labels >= 0).any()) else torch.ones(len(answer), dtype=torch.bool)
    rows = kept.nonzero()[:, 0]
    if order == "given":
        return rows.tolist()
    score = answer.loss if order == "loss" else answer.confidence
    return rows[score[rows].nan_to_num().argsort(descending=True, stable=True)].tolist()


@st.cache_data(max_entries=64, show_spinner=False)
def sheets(run_key: tuple[str, str], rows: tuple[int, ...], method: str, role: str, scale: str, _run: Run) -> Wall:  # noqa: ARG001
    """The sprite sheets of some faces; role says whether the map of the predicted or of the given class is wanted."""
    faces = faces_in(_run)[list(rows)]
    tiles = face_tiles(faces)
    maps, fine = "", False
    if method in _run.explanations:
        answer, found = _run.prediction, _run.explanations[method]
        targets = (answer.labels if role == "given" else answer.predicted)[list(rows)]
        maps = sprite(map_tiles(one_map_each(found, faces.ids, targets), peak(found) if scale == "shared" else "own"))
        fine = found.fine
    return Wall(sprite(tiles), maps, (tiles.shape[1], tiles.shape[2]), captions(_run.prediction, rows), fine)


def choices(run: Run) -> tuple[str, str, Mode, str, str]:
    """Widgets of the wall: method, role, mode, scale, order."""
    methods = list(run.explanations)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        method = st.selectbox("Map", methods, key="wall method", width=170) if methods else ""
        with st.popover("View", icon=":material/tune:"):
            mode = st.segmented_control(
                "Maps",
                list(MODES),
                default="over",
                required=True,
                format_func=lambda mode: MODES[mode],
                key="wall mode",
            )
            role = st.segmented_control(
                "Map of the class", ["predicted", "given"], default="predicted", required=True, key="wall role"
            )
            scale = st.selectbox("Scale", list(SCALES), format_func=lambda name: SCALES[name], key="wall scale")
            order = st.selectbox("Order", list(ORDERS), format_func=lambda name: ORDERS[name], key="wall order")
    return method or "", str(role), mode if methods and mode else "off", scale, order


def title(run: Run, cell: tuple[str, str] | None, count: int) -> None:
    """Say in words which faces these are."""
    faces = f"{count:,} face{'' if count == 1 else 's'}"
    if cell is None:
        labelled = bool((run.prediction.labels >= 0).any())
        words = f"All mistakes: {faces}" if labelled else f"All {faces}, none of them labelled"
    elif cell[0] == cell[1]:
        words = f"{faces} of {cell[0]}, rightly predicted"
    else:
        words = f"{faces} given as {cell[0]}, predicted as {cell[1]}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(words)}**", width="content")
        if cell is not None:
            st.button("Show all mistakes", on_click=clear, type="tertiary")


def gallery(run: Run, cell: tuple[str, str] | None) -> str | None:
    """Draw the wall; returns the id of the face that is open."""
    method, role, mode, scale, order = choices(run)
    rows = rows_of(run, cell, order)
    title(run, cell, len(rows))
    if not rows:
        st.caption("No face of the run lies in this cell." if cell else "The network made no mistake.")
        return None
    pages = -(-len(rows) // AT_ONCE)
    page = st.pagination(pages, key=f"page {cell}") if pages > 1 else 1
    shown = tuple(rows[(page - 1) * AT_ONCE : page * AT_ONCE])
    ids = [run.prediction.ids[row] for row in shown]
    if st.session_state.get("face") not in ids:
        st.session_state["face"] = ids[0]
    face = str(st.session_state["face"])

    def pick() -> None:
        st.session_state["face"] = ids[int(st.session_state["wall"]["picked"])]

    drawn = sheets(key_of(run), shown, method, role, scale, run)
    wall(
        drawn,
        mode=mode,
        chosen=ids.index(face),
        key="wall",
        label=f"{len(ids)} faces",
        on_pick=pick,
    )
    if mode != "off":
        panel.legend(scale, {"": drawn.fine})
    return face


def detail(run: Run, faces: Samples, name: str) -> None:
    """One face in full: facts, probabilities, and its maps of every method of the run."""
    row = run.prediction.ids.index(name)
    face, label, predicted = faces[[row]], int(run.prediction.labels[row]), int(run.prediction.predicted[row])
    panel.show_facts(face, run.prediction, row)
    pair = st.grid(2, min_column_width=130)
    with pair, st.container():
        panel.show_face(face)
        if st.button("Explain this face", icon=":material/search:", width="stretch"):
            show_sample(name)
            st.switch_page(Path(__file__).with_name("explain.py"))
    with pair, st.container():
        panel.show_probabilities(run.prediction, row, label)
    fine: dict[str, bool] = {}
    for method, explanation in run.explanations.items():
        found = panel.row_in(explanation, name)
        if found is not None:
            fine[method] = found.fine
            shown = panel.shown_columns(found, predicted, label)
            st.markdown(f"**{plain(method)}**" + (f" · {plain(found.layer)}" if found.layer else ""))
            with st.grid(2, min_column_width=120):
                panel.show_maps(face, found, shown, run.prediction.class_names, scale="image")
    if run.explanations:
        panel.legend("image", fine)


@st.fragment
def browse(run: Run) -> None:
    """Matrix and wall beside the open face; a click redraws these alone."""
    with boundary():
        left, right = st.columns([6, 5], gap="large")
        with left:
            cell = matrix(run)
            faces = faces_in(run)
            name = gallery(run, cell)
            table(run)
        if name is not None:
            with right, st.container(key="detail"):
                detail(run, faces, name)


def page() -> None:
    """Draw the page."""
    run = need_run()
    st.title("Errors", anchor=False)
    st.caption("A click on a cell shows its faces, a click on a face opens it.")
    browse(run)


page()
