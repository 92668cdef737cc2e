"""The part Concepts of the Layers page: what the features of a run's faces are made of."""

from math import ceil

import streamlit as st

from inspect_fer.dashboard import inside_answers as kept
from inspect_fer.dashboard.inside import choose_map_layer
from inspect_fer.dashboard.shared import Network, faces_in
from inspect_fer.internals.concepts import FEWEST, MOST
from inspect_fer.render.concepts import best_two, concept_sheet
from inspect_fer.schema import Run, probabilities_of

BESIDE, FACTORISED = 4, 200
"""So many faces stand beside one another under a concept, and so many are looked at where the user names no number."""


def factorised(network: Network, run: Run | None) -> None:
    """The concepts that a layer's features of the run's faces are made of, and what the network answers to each."""
    if run is None:
        st.info("The faces of a run are looked at here, and there is none yet. `inspect-fer demo` makes one.")
        return
    left, middle, right = st.columns([2, 1, 1])
    with left:
        layer = choose_map_layer(network, "factorised", axes=(1, 2, 3))
    if layer is None:
        st.info("Concepts have places, and no layer of this network gives maps.")
        return
    count = int(middle.number_input("Concepts", FEWEST, MOST, 5, key="concepts"))
    most = len(run)
    limit = int(right.number_input("Faces", 1, most, min(FACTORISED, most), key=f"factorised {run.folder.name}"))
    found = kept.factorised(network, run, limit, layer, count)
    pages = ceil(limit / BESIDE)
    page = st.pagination(pages, key=f"concepts {limit}") if pages > 1 else 1
    rows = slice(BESIDE * (page - 1), min(BESIDE * page, limit))
    faces, card = faces_in(run)[rows], network.model.card
    labels = [faces.class_names[label] if label >= 0 else "" for label in faces.labels.tolist()]
    answers = probabilities_of(found.logits, card.output)
    st.caption(
        "A row is a concept that the features of these faces have in common, what makes up most of them first, with "
        "what the network answers to it alone. Full colour is where there is most of it in all the faces."
    )
    sheet = concept_sheet(faces.pixels[:], found.maps[rows], answers, card.class_names, labels)
    pairs = [", ".join(map(" ".join, best_two(each, card.class_names))) for each in answers]
    said = "; ".join(f"concept {number}: {words}" for number, words in enumerate(pairs))
    st.image(sheet, alt=f"Concepts of {layer} over {len(labels)} faces. {said}")
