"""The charts of the Layers page: what speaks for and against, what changes, what a gate lets pass."""

from collections.abc import Sequence

import altair as alt
import pandas as pd
from matplotlib.colors import to_hex
from torch import Tensor

from inspect_fer.dashboard.charts import GAPS, NAMES, TIGHT, quiet
from inspect_fer.render.look import AGAINST, EVIDENCE, FIRST, FOR, INK, PAPER


def signed_chart(names: Sequence[str], values: Sequence[float], title: str) -> alt.LayerChart:
    """Bars to the right for what speaks for something, to the left for what speaks against it, in this order."""
    rows = pd.DataFrame({"name": list(names), "value": list(values), "text": [f"{value:+z.3f}" for value in values]})
    limit = 1.3 * max(map(abs, values), default=1.0) or 1.0
    axis = alt.X(
        "value:Q", title=title, scale=alt.Scale(domain=[-limit, limit]), axis=alt.Axis(grid=False, tickCount=5)
    )
    base = alt.Chart(rows).encode(
        x=axis, y=alt.Y("name:N", sort=None, title=None, axis=NAMES), tooltip=["name", "value"]
    )
    hue = alt.condition("datum.value > 0", alt.value(FOR[1]), alt.value(AGAINST[1]))
    bars = base.mark_bar(size=14, cornerRadiusEnd=3).encode(color=hue)
    text = base.encode(text="text:N")
    right = text.transform_filter("datum.value > 0").mark_text(align="left", dx=5, color=quiet(), fontSize=11)
    left = text.transform_filter("datum.value <= 0").mark_text(align="right", dx=-5, color=quiet(), fontSize=11)
    return alt.LayerChart(layer=[bars, right, left], padding={**TIGHT, "bottom": 8}, height=26 * len(rows) + 70)


def change_chart(changes: Tensor, rows: Sequence[str], classes: Sequence[str], limit: float) -> alt.LayerChart:
    """Changes of logits (M, K), one row a channel and one column a class; full colour stands for `limit` and more."""
    cells = pd.DataFrame(
        {"row": row, "class": name, "change": change, "text": f"{round(change, 2) + 0.0:+.2f}"}  # no negative zero
        for row, line in zip(rows, changes.tolist(), strict=True)
        for name, change in zip(classes, line, strict=True)
    )
    above = alt.Axis(orient="top", labelAngle=-30, domain=False, ticks=False)
    beside = alt.Axis(domain=False, ticks=False, labelLimit=140, labelPadding=8, labelFlush=False)
    base = alt.Chart(cells).encode(
        x=alt.X("class:N", sort=list(classes), title=None, axis=above, scale=GAPS),
        y=alt.Y("row:N", sort=list(rows), title=None, axis=beside, scale=GAPS),
        tooltip=["row:N", "class:N", alt.Tooltip("change:Q", format="+.4f")],
    )
    steps = [step / 4 - 1 for step in range(9)]
    shades = [to_hex(EVIDENCE((step + 1) / 2)) for step in steps]
    scale = alt.Scale(domain=[step * limit for step in steps], range=shades, interpolate="rgb", clamp=True)
    boxes = base.mark_rect(cornerRadius=3).encode(color=alt.Color("change:Q", scale=scale, legend=None))
    dark = f"abs(datum.change) > {0.6 * limit}"
    text = base.mark_text(fontSize=11).encode(
        text="text:N", color=alt.condition(dark, alt.value(PAPER), alt.value(INK))
    )
    return alt.LayerChart(layer=[boxes, text], padding=TIGHT, height=70 + 26 * len(rows))


def gate_chart(passed: Sequence[float]) -> alt.Chart:
    """What a gate lets pass of each channel, 0 to 1."""
    rows = pd.DataFrame({"channel": range(len(passed)), "passes": list(passed)})
    chart: alt.Chart = (
        alt.Chart(rows)
        .mark_bar(color=FIRST)
        .encode(
            x=alt.X("channel:O", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("passes:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=3)),
            tooltip=["channel", alt.Tooltip("passes:Q", format=".3f")],
        )
        .properties(padding=TIGHT, height=170)
    )
    return chart
