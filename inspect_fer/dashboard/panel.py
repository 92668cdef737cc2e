"""One face in full: large, with its maps, its probabilities, and what is known of it."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil

import streamlit as st
import torch

from inspect_fer.dashboard.charts import probability_chart, probability_rows
from inspect_fer.dashboard.shared import plain
from inspect_fer.render import SCALE_NOTES, enlarge, fine_note, overlay_pixels
from inspect_fer.render.look import GLOW
from inspect_fer.schema import HEALTH, Explanation, Prediction, Samples

LARGE = 336
REMARKS = {
    "all zero": "The map is zero everywhere: what was read says nothing for or against this class.",
    "constant": "The map has one value everywhere, so it tells no place from another.",
    "no positive evidence": "Nothing speaks for this class; what colour there is speaks against it.",
    "not finite": "The map holds values that are not numbers, so it cannot be shown.",
    "a single cell": "The layer gives a single cell, so the map tells no place from another; choose an earlier layer.",
    "sign turned": "Sign turned: a plus speaks against it.",
    "saturated softmax": "The network is all but certain: its probabilities hardly move. The map is of the logit.",
}
PLANTED = {"watermark": "bears the planted watermark", "duplicate": "planted copy of a training face"}


def zoom(samples: Samples) -> int:
    """By how much a face is enlarged to be large."""
    return max(1, ceil(LARGE / max(samples.pixels.shape[2:])))


def show_face(face: Samples) -> None:
    """The face alone, large."""
    height, width = (side * zoom(face) for side in face.pixels.shape[2:])
    picture = enlarge(face.pixels[:], (height, width))[0].round().byte().numpy()
    st.image(picture, width="stretch", alt=f"Face {face.ids[0]}")


def show_maps(
    face: Samples,
    explanation: Explanation,
    shown: Mapping[int, str],
    names: Sequence[str],
    *,
    scale: str,
    title: str = "",
) -> None:
    """Lay maps of one face over it, each with its class, its role and a remark where it is worth little.

    shown: columns of the explanation's targets, with what the class is to the face; names: the network's classes
    title: stands before the class
    """
    explanation = explanation.only(list(shown))
    pictures = overlay_pixels(face.pixels[:], explanation.evidence(), scale=scale, zoom=zoom(face))[0]
    for column, role in enumerate(shown.values()):
        name = "any class" if explanation.class_free else names[int(explanation.targets[0, column])]
        told = "" if explanation.class_free else role
        words = f"{name} · {told}" if told else name
        remark = HEALTH[int(explanation.health[0, column])]
        with st.container(gap="xsmall"):
            st.image(pictures[column], width="stretch", alt=f"{explanation.method['name']} map for {words}: {remark}")
            heading = [part for part in (title, name, told) if part]
            st.markdown(f"**{plain(heading[0])}**{''.join(f' · {plain(part)}' for part in heading[1:])}")
            if remark in REMARKS:
                where = explanation.broken_layer if remark == "not finite" else ""
                st.caption(REMARKS[remark] + (f" They begin in {plain(where)}." if where else ""))


def shown_columns(explanation: Explanation, predicted: int, label: int) -> dict[int, str]:
    """Which maps of a face are worth showing, with what their classes are to it: predicted, given, or what there is."""
    targets = explanation.targets[0].tolist()
    if explanation.class_free:
        return {0: ""}
    wanted = {predicted: "predicted"} | ({label: "given"} if label >= 0 and label != predicted else {})
    return {targets.index(target): role for target, role in wanted.items() if target in targets} or {0: "explained"}


def legend(scale: str, fine: Mapping[str, bool], *, class_free: bool = False) -> None:
    """What the colours of maps mean, over a grey that stands for the face.

    fine: by method, `Explanation.fine`; class_free: no map is for or against a class
    """
    low, high = ("below zero", "above zero") if class_free else ("against", "for the class")
    steps = ", ".join(_over_grey(step / 10) for step in range(11))
    st.html(
        f'<div style="display:flex;align-items:center;gap:.5rem;font-size:.8rem;opacity:.85;flex-wrap:wrap">'
        f'<span>{low}</span><i style="width:7rem;height:.6rem;border-radius:.3rem;'
        f'background:linear-gradient(90deg,{steps})"></i><span>{high}</span>'
        f'<span style="opacity:.75">· {SCALE_NOTES[scale]}{escape(fine_note(fine))}</span></div>'
    )


def _over_grey(value: float) -> str:
    red, green, blue, opacity = GLOW(value)
    return f"rgb({', '.join(f'{255 * (opacity * part + (1 - opacity) * 0.72):.0f}' for part in (red, green, blue))})"


def verdict(prediction: Prediction, row: int) -> str:
    """Given, predicted and loss in one line of Markdown."""
    names, label = prediction.class_names, int(prediction.labels[row])
    predicted = f"**{plain(names[int(prediction.predicted[row])])}** at {100 * float(prediction.confidence[row]):.1f} %"
    if label < 0:
        return f"Predicted {predicted}, no label"
    if not prediction.wrong[row]:
        return f"Rightly predicted {predicted} · loss {float(prediction.loss[row]):.2f} nats"
    return f"Given **{plain(names[label])}**, predicted {predicted} · loss {float(prediction.loss[row]):.2f} nats"


def planted(face: Samples) -> list[str]:
    """What was planted in a synthetic face."""
    truth, label = face.truth, int(face.labels[0])
    found = [words for name, words in PLANTED.items() if name in truth and bool(truth[name][0])]
    if "label" in truth and int(truth["label"][0]) != label:
        found.insert(0, f"planted wrong label: drawn as {face.class_names[int(truth['label'][0])]}")
    return found


def show_probabilities(prediction: Prediction, row: int, label: int) -> None:
    """Bars of what the network answers for one face."""
    rows = probability_rows(prediction, row, label)
    words = ", ".join(
        f"{name} {100 * value:.0f} %" for name, value in zip(rows["class"], rows["probability"], strict=True)
    )
    st.altair_chart(probability_chart(rows), alt=f"Probabilities: {words}")


def show_facts(face: Samples, prediction: Prediction, row: int) -> None:
    """Id, verdict and what was planted."""
    st.markdown(verdict(prediction, row))
    for words in planted(face):
        st.badge(plain(words), icon=":material/flag:", color="orange")
    st.caption(plain(face.ids[0]))


def row_in(explanation: Explanation, name: str) -> Explanation | None:
    """The explanation of one sample, or None when it is not among them."""
    return explanation.of(torch.tensor([explanation.ids.index(name)])) if name in explanation.ids else None
