"""The dashboard: Streamlit pages over a run, and what they share. `app.py` is its entry."""
