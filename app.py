"""The dashboard's entry: which pages there are, which run is looked at, and one boundary for errors."""

from pathlib import Path

import streamlit as st

from inspect_fer import dashboard
from inspect_fer.dashboard.shared import boundary, choose_run
from inspect_fer.dashboard.style import apply_style, page_icon

PAGES = Path(dashboard.__file__).parent / "pages"
CATALOGUE = {
    "overview": ("Overview", ":material/monitoring:"),
    "errors": ("Errors", ":material/grid_view:"),
    "explain": ("Explain", ":material/center_focus_strong:"),
    "layers": ("Layers", ":material/layers:"),
}

st.set_page_config("inspect_fer", page_icon=page_icon(), layout="wide")
page = st.navigation(
    [
        st.Page(PAGES / f"{name}.py", title=title, icon=icon, url_path=name, default=name == "overview")
        for name, (title, icon) in CATALOGUE.items()
    ]
)
apply_style()
with boundary():
    choose_run()
    waiting = st.empty()
    if "opened" not in st.session_state:
        waiting.caption("Opening the run. The first page takes a few seconds.")
    page.run()
    waiting.empty()
    st.session_state["opened"] = True
