"""The charts of the dashboard, in the colours of `render`."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st
from matplotlib.colors import to_hex

from inspect_fer.render import shares
from inspect_fer.render.look import AMOUNT, FIRST, INK, LINE, MUTED, PAPER, SECOND, THIRD
from inspect_fer.schema import Prediction

CELL = "cell"
"""Name of the confusion matrix's selection."""
PALE = "#9aa1ad"
STEPS = [step / 8 for step in range(9)]
SHADES = [to_hex(AMOUNT(step)) for step in STEPS]
GAPS = alt.Scale(paddingInner=0.06, paddingOuter=0.03)
TIGHT = {"left": 0, "top": 4, "right": 4, "bottom": 0}
ROLES = {"predicted, given": FIRST, "predicted": SECOND, "given": FIRST, "": "#b9c0c9"}
NAMES = alt.Axis(domain=False, ticks=False, labelLimit=140, labelPadding=8, minExtent=76)


def quiet() -> str:
    """The colour of words that stand back, on light and on dark pages."""
    return PALE if st.context.theme.type == "dark" else MUTED


def share(value: float | None) -> str:
    """A share in words."""
    return "none" if value is None else f"{100 * value:.1f} %"


def confusion_cells(matrix: Sequence[Sequence[int]], names: Sequence[str], *, by_row: bool) -> pd.DataFrame:
    """One row a cell: true, predicted, count, share of the row, how dark it is (root, so that small cells show)."""
    rows = shares(matrix, "row")
    level = rows if by_row else shares(matrix, "count")
    return pd.DataFrame(
        {
            "true": true,
            "predicted": predicted,
            "count": matrix[i][j],
            "share": rows[i, j],
            "shade": float(level[i, j]) ** 0.5,
            "text": f"{100 * rows[i, j]:.0f}" if by_row else str(matrix[i][j]),
        }
        for i, true in enumerate(names)
        for j, predicted in enumerate(names)
    )


def confusion_chart(matrix: Sequence[Sequence[int]], names: Sequence[str], *, by_row: bool) -> alt.LayerChart:
    """A confusion matrix whose cells can be chosen."""
    cells = confusion_cells(matrix, names, by_row=by_row)
    chosen = alt.selection_point(name=CELL, fields=["true", "predicted"], empty=False, toggle=False)
    base = alt.Chart(cells).encode(
        x=alt.X(
            "predicted:N",
            sort=list(names),
            title="predicted",
            scale=GAPS,
            axis=alt.Axis(labelAngle=-45, labelOverlap=False),
        ),
        y=alt.Y("true:N", sort=list(names), title="true", scale=GAPS),
        tooltip=[
            alt.Tooltip("true:N"),
            alt.Tooltip("predicted:N"),
            alt.Tooltip("count:Q", title="faces"),
            alt.Tooltip("share:Q", title="of the true class", format=".1%"),
        ],
    )
    boxes = base.mark_rect(cursor="pointer", strokeWidth=3, cornerRadius=4).encode(
        color=alt.Color("shade:Q", scale=alt.Scale(domain=STEPS, range=SHADES, interpolate="rgb"), legend=None),
        stroke=alt.condition(chosen, alt.value(SECOND), alt.value("transparent")),
    )
    words = base.mark_text(fontSize=13, tooltip=False).encode(
        text="text:N",
        color=alt.condition("datum.shade > 0.62", alt.value(PAPER), alt.value(INK)),
        opacity=alt.condition("datum.count > 0", alt.value(1), alt.value(0.25)),
    )
    height = max(260, 44 * len(names) + 70)
    return alt.LayerChart(layer=[boxes.add_params(chosen), words], padding=TIGHT, height=height)


def class_chart(per_class: Mapping[str, Mapping[str, float]]) -> alt.LayerChart:
    """Precision, recall and F1 of every class, best F1 on top."""
    rows = [{"class": name, **scores} for name, scores in per_class.items()]
    order = sorted(per_class, key=lambda name: -(per_class[name]["f1"] or 0))
    base = alt.Chart(pd.DataFrame(rows)).encode(y=alt.Y("class:N", sort=order, title=None, axis=NAMES))
    axis = alt.X("f1:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    bars = base.mark_bar(size=16, color=to_hex(AMOUNT(0.3)), cornerRadiusEnd=3).encode(
        x=axis, tooltip=["class", "f1", "precision", "recall", "support"]
    )
    marks = (
        base.transform_fold(["precision", "recall"], as_=["score", "value"])
        .mark_point(filled=True, size=75, opacity=1)
        .encode(
            x=alt.X("value:Q"),
            color=alt.Color("score:N", scale=_two("precision", "recall"), legend=alt.Legend(orient="top", title=None)),
            shape=alt.Shape("score:N", legend=alt.Legend(orient="top", title=None)),
            tooltip=["class:N", "score:N", alt.Tooltip("value:Q", format=".1%")],
        )
    )
    return alt.LayerChart(layer=[bars, marks], padding=TIGHT, height=46 + 34 * len(rows))


def _two(first: str, second: str) -> alt.Scale:
    return alt.Scale(domain=[first, second], range=[FIRST, SECOND])


def reliability_rows(curve: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The filled bins of `metrics.evaluate`."""
    edges = curve["edges"]
    table = pd.DataFrame({name: curve[name] for name in ("confidence", "accuracy", "count")})
    table.insert(0, "from", edges[:-1])
    table.insert(1, "to", edges[1:])
    return table[table["count"] > 0].astype(float).astype({"count": int})


def reliability_chart(curve: Mapping[str, Sequence[Any]]) -> alt.LayerChart:
    """Accuracy over confidence, with how many faces stand behind each point."""
    rows = reliability_rows(curve)
    line = alt.Chart(pd.DataFrame({"x": [0, 1], "y": [0, 1]})).mark_line(color=MUTED, strokeDash=[4, 4], strokeWidth=1)
    percent = alt.Axis(format="%", tickCount=5)
    unit = alt.Scale(domain=[0, 1])
    base = alt.Chart(rows).encode(
        x=alt.X("confidence:Q", scale=unit, axis=percent, title="confidence"),
        y=alt.Y("accuracy:Q", scale=unit, axis=percent, title="accuracy"),
    )
    points = base.mark_circle(color=FIRST, opacity=1, stroke=PAPER).encode(
        size=alt.Size("count:Q", scale=alt.Scale(range=[40, 420]), legend=None),
        tooltip=[
            alt.Tooltip("confidence:Q", format=".1%"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("count:Q", title="faces"),
        ],
    )
    return alt.LayerChart(
        layer=[line.encode(x="x:Q", y="y:Q"), base.mark_line(color=FIRST, strokeWidth=1.5, opacity=0.5), points],
        height=330,
    )


def curve_chart(history: Sequence[Mapping[str, float]], measure: str) -> alt.LayerChart:
    """One measure over the epochs on each set that was scored, and a line where fine-tuning begins."""
    names = {measure: "training", f"select_{measure}": "selection", f"test_{measure}": "test"}
    rows = [
        {"epoch": number, "set": name, "value": line[key]}
        for number, line in enumerate(history, 1)
        for key, name in names.items()
        if line.get(key) is not None
    ]
    axis = alt.Axis(format="%" if measure == "accuracy" else "~g", tickCount=5, labelOverlap=False)
    corner: Any = "bottom-right" if measure == "accuracy" else "top-right"
    colours = {"training": FIRST, "selection": SECOND, "test": THIRD}
    sets = [name for key, name in names.items() if any(line.get(key) is not None for line in history)]
    scale = alt.Scale(domain=sets, range=[colours[name] for name in sets])
    phases = [line.get("phase") for line in history]
    turns = [number + 0.5 for number, (old, new) in enumerate(pairwise(phases), 1) if old != new]
    turn = alt.Chart(pd.DataFrame({"epoch": turns, "what": "fine-tuning"})).mark_rule(color=MUTED, strokeDash=[3, 3])
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=25))
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
            y=alt.Y("value:Q", title=measure, axis=axis, scale=alt.Scale(zero=False)),
            color=alt.Color("set:N", scale=scale, legend=alt.Legend(orient=corner, title=None)),
            tooltip=["set:N", "epoch:Q", alt.Tooltip("value:Q", format=".3f", title=measure)],
        )
    )
    return alt.LayerChart(layer=[lines, turn.encode(x="epoch:Q", tooltip="what:N")], padding=TIGHT, height=280)


def probability_rows(prediction: Prediction, row: int, label: int, most: int = 12) -> pd.DataFrame:
    """One row a class, in their order: probability, and what the class is to this face; the most probable of many."""
    probabilities, predicted = prediction.probabilities[row], int(prediction.predicted[row])
    best = probabilities.topk(min(most, len(probabilities))).indices.tolist()
    roles = {label: "given", predicted: "predicted" if label != predicted else "predicted, given"}
    lines = [
        (prediction.class_names[k], float(probabilities[k]), roles.get(k, "")) for k in sorted({*best, *roles} - {-1})
    ]
    rows = pd.DataFrame(lines, columns=["class", "probability", "role"])
    rows["text"] = [f"{100 * value:.0f} %" for value in rows["probability"]]
    return rows


def probability_chart(rows: pd.DataFrame) -> alt.LayerChart:
    """Bars of the probabilities; colour tells what was given and what was predicted."""
    shown = [role for role in ROLES if role and role in set(rows["role"])]
    base = alt.Chart(rows).encode(
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1.3]), axis=None),
        y=alt.Y("class:N", sort=None, title=None, axis=NAMES),
        tooltip=["class:N", alt.Tooltip("probability:Q", format=".2%"), "role:N"],
    )
    colour = alt.Color(
        "role:N",
        scale=alt.Scale(domain=list(ROLES), range=list(ROLES.values())),
        legend=alt.Legend(orient="top", title=None, values=shown, columns=1, symbolType="square", offset=4),
    )
    bars = base.mark_bar(size=14, cornerRadiusEnd=3).encode(color=colour)
    words = base.mark_text(align="left", dx=6, color=quiet(), fontSize=12).encode(text="text:N")
    return alt.LayerChart(layer=[bars, words], padding=TIGHT, height=20 + 22 * len(shown) + 25 * len(rows))


def feature_chart(values: Sequence[float]) -> alt.Chart:
    """The values of a layer without maps, one bar a feature."""
    rows = pd.DataFrame({"feature": range(len(values)), "value": list(values)})
    chart: alt.Chart = (
        alt.Chart(rows)
        .mark_bar(color=FIRST)
        .encode(x=alt.X("feature:Q", axis=alt.Axis(grid=False)), y="value:Q", tooltip=["feature", "value"])
        .properties(padding=TIGHT, height=240)
    )
    return chart


def count_chart(counts: Mapping[str, int]) -> alt.LayerChart:
    """How many faces each class has."""
    rows = pd.DataFrame({"class": list(counts), "faces": list(counts.values())})
    base = alt.Chart(rows).encode(
        x=alt.X("faces:Q", axis=None), y=alt.Y("class:N", sort=None, title=None, axis=NAMES), tooltip=["class", "faces"]
    )
    words = base.mark_text(align="left", dx=5, color=quiet()).encode(text="faces:Q")
    bars = base.mark_bar(size=14, color=LINE if not any(counts.values()) else to_hex(AMOUNT(0.45)), cornerRadiusEnd=3)
    return alt.LayerChart(layer=[bars, words], padding=TIGHT, height=26 * max(1, len(rows)) + 10)
