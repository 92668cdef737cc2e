"""What the run is worth: headline scores, scores of each class, calibration, training, data and the model card."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from inspect_fer.dashboard.charts import (
    class_chart,
    count_chart,
    curve_chart,
    reliability_chart,
    reliability_rows,
    share,
)
from inspect_fer.dashboard.shared import need_run, plain
from inspect_fer.metrics import MEASURES, evaluate
from inspect_fer.schema import Run


def headline(scores: Mapping[str, Any]) -> None:
    """Scores, beside what always answering the most frequent class would score."""
    base, error = scores["baseline"], scores["ece"]
    found = "none" if error is None else f"{error:.3f}"
    shown = {
        "Accuracy": (share(scores["accuracy"]), f"majority {share(base['accuracy'])}"),
        "Balanced accuracy": (share(scores["balanced_accuracy"]), f"majority {share(base['balanced_accuracy'])}"),
        "Macro F1": (share(scores["averages"]["macro"]["f1"]), f"majority {share(base['macro_f1'])}"),
        "Among the best two": (share(scores["top2"]), "label is 1st or 2nd"),
        "Calibration error": (found, "ECE, 0 is best"),
    }
    grid = st.grid(len(shown), min_column_width=150)
    for name, (value, beside) in shown.items():
        grid.metric(name, value, beside, delta_color="off", delta_arrow="off", border=True)
    st.caption(f"Majority: what always answering {plain(str(base['class']))} would score.")


def per_class(scores: Mapping[str, Any]) -> None:
    """Chart and table of each class."""
    st.subheader("Classes", anchor=False)
    st.caption("Bars are F1, the best on top; marks are precision and recall.")
    rows = scores["per_class"]
    st.altair_chart(class_chart(rows), alt="Precision, recall and F1 of each class; the table below holds the numbers")
    table = pd.DataFrame(rows).T[["support", *MEASURES]]
    table[list(MEASURES)] *= 100
    table.index.name = "class"
    percent = {name: st.column_config.NumberColumn(format="%.1f %%") for name in MEASURES}
    names = {
        "support": st.column_config.NumberColumn("faces", format="%d"),
        "f1": st.column_config.NumberColumn("F1", format="%.1f %%"),
    }
    st.dataframe(table, column_config=percent | names, alt="Scores of each class")


def calibration(scores: Mapping[str, Any]) -> None:
    """Chart and table of confidence against accuracy."""
    st.subheader("Reliability", anchor=False)
    st.caption("Points on the dashed line: the network is right as often as it says. Below it, it is too sure.")
    curve = scores["reliability"]
    st.altair_chart(reliability_chart(curve), alt="Accuracy over confidence; the table below holds the numbers")
    shares = ["from", "to", "confidence", "accuracy"]
    table = reliability_rows(curve)
    table[shares] *= 100
    with st.expander("As a table"):
        percent = {name: st.column_config.NumberColumn(format="%.1f %%") for name in shares}
        st.dataframe(table, hide_index=True, column_config=percent, alt="Confidence, accuracy and faces of each bin")


def training(history: list[Mapping[str, float]]) -> None:
    """Loss and accuracy over the epochs."""
    measures = [name for name in ("loss", "accuracy") if any(name in key for line in history for key in line)]
    if not measures:
        return
    st.subheader("Training", anchor=False)
    for place, measure in zip(st.columns(len(measures), gap="medium"), measures, strict=True):
        place.altair_chart(
            curve_chart(history, measure), alt=f"{measure} over the epochs; the table below holds the numbers"
        )
    with st.expander("As a table"):
        st.dataframe(pd.DataFrame(history), hide_index=True, alt="Every epoch of the training")


def card_lines(run: Run) -> dict[str, str]:
    """The lines of the model card that are filled."""
    card = run.manifest["card"]
    size = card["input_size"]
    lines = {
        "Network": card["architecture"],
        "Options": ", ".join(f"{name} = {value}" for name, value in card.get("options", {}).items()),
        "Parameters": f"{run.manifest['model']['parameters']:,}",
        "Input": f"{size[1]} x {size[2]} pixels, {'grey' if size[0] == 1 else f'{size[0]} channels'}",
        "Classes": ", ".join(card["class_names"]),
        "Output": card.get("output"),
        "Read by CAM methods": card.get("cam_layer"),
        "Trained on": card.get("dataset"),
        "Recipe": ", ".join(f"{name} {value}" for name, value in flat(card.get("recipe", {})).items()),
        "Seed": card.get("seed"),
        "Date": card.get("date"),
        "Licence": card.get("licence"),
        "Note": card.get("note"),
        "Weights": run.manifest["model"]["sha256"][:16] + "…",
    }
    return {name: str(value) for name, value in lines.items() if value not in (None, "")}


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options as one level, by their own names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value) if isinstance(value, Mapping) else {name: value}
    return found


def facts(lines: Mapping[str, str]) -> None:
    """Names and values as a table without header."""
    st.table(
        pd.DataFrame({"name": [f"**{name}**" for name in lines], "value": [plain(value) for value in lines.values()]}),
        border="horizontal",
        hide_index=True,
        hide_header=True,
        alt="; ".join(f"{name}: {value}" for name, value in lines.items()),
    )


def dataset(run: Run) -> None:
    """What the run looked at."""
    st.subheader("Faces", anchor=False)
    counts = run.manifest["dataset"]["counts"]
    named = run.manifest["dataset"].get("spec")
    where = f"`{named}`, split `{run.manifest['dataset'].get('split')}`" if named else "kept in the run itself"
    st.caption(f"{len(run):,} faces, {where}")
    st.altair_chart(count_chart(counts), alt=", ".join(f"{name} {count}" for name, count in counts.items()))
    dropped = run.manifest["dataset"].get("dropped", {})
    if dropped:
        st.caption("Left out: " + ", ".join(f"{count} {plain(reason)}" for reason, count in dropped.items()))
    facts({"Command": run.manifest["command"], "Made": run.manifest["made"], "Device": run.manifest["device"]})


def page() -> None:
    """Draw the page."""
    run = need_run()
    scores = run.metrics if "confusion" in run.metrics else evaluate(run.prediction)
    st.title(plain(run.folder.name), anchor=False)
    st.caption(f"{plain(run.manifest['card']['architecture'])} · {len(run):,} faces · {run.manifest['made'][:10]}")
    if scores["n"]:
        headline(scores)
        left, right = st.columns([6, 5], gap="large")
        with left:
            per_class(scores)
        with right:
            calibration(scores)
    else:
        st.info("These faces have no labels, so there are no scores; Errors shows what was answered.")
    training(list(run.manifest["card"].get("history", [])))
    left, right = st.columns([6, 5], gap="large")
    with left:
        st.subheader("Model card", anchor=False)
        facts(card_lines(run))
    with right:
        dataset(run)


page()
