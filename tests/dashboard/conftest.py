"""A small run on disk, and the dashboard opened on it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from inspect_fer.datasets.synthetic import load_synthetic
from inspect_fer.explain import explain, make_method
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load, save
from inspect_fer.predict import predict
from inspect_fer.runs import save_run
from inspect_fer.schema import Classifier, ModelCard

APP = Path(__file__).parents[2] / "app.py"
HISTORY = tuple(
    {"epoch": epoch, "loss": 2 - epoch / 4, "accuracy": epoch / 4, "select_loss": 2.0, "select_accuracy": 0.2}
    for epoch in range(3)
)


def small_network(options, **card):
    """An untrained network for synthetic faces, with its card."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build("baseline", channels=1, classes=7, size=48, options=options).eval()
    names = load_synthetic(1).class_names
    facts = ModelCard(
        "baseline", names, (1, 48, 48), (0.5,), (0.25,), cam_layer="blocks.3.relu", options=options, **card
    )
    return Classifier(network, facts)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with reports/small, and with home/checkpoints of two networks."""
    root = tmp_path_factory.mktemp("dashboard")
    made = small_network({"width": 2}, history=HISTORY, licence="MIT", note="A *small* network", seed=3)
    for name, model in (("tiny", made), ("other", small_network({"width": 3}))):
        save(model, root / "home" / "checkpoints" / f"{name}.safetensors")
    model = load(root / "home" / "checkpoints" / "tiny.safetensors")
    faces = replace(load_synthetic(42, wrong_labels=0.2, watermark="happiness"), source={}, evidence=None)
    answer = predict(model, faces)
    targets = torch.stack([answer.predicted, answer.labels], dim=1)
    maps = {
        "grad-cam": explain(model, faces, "grad-cam", targets=targets),
        "occlusion": explain(model, faces[:20], make_method("occlusion", window=16, stride=16)),
    }
    save_run(root / "reports" / "small", model, faces, answer, maps, command="inspect-fer run", overwrite=True)
    return root


@pytest.fixture
def surroundings(place, monkeypatch):
    """Set what the command `inspect-fer dashboard` sets."""
    monkeypatch.setenv("INSPECT_FER_REPORTS", str(place / "reports"))
    monkeypatch.setenv("INSPECT_FER_HOME", str(place / "home"))
    monkeypatch.delenv("INSPECT_FER_RUN", raising=False)
    return monkeypatch


@pytest.fixture
def open_page(surroundings):
    """Open a page of the dashboard in a simulated browser; state and query parameters are set before."""

    def opened(name="overview", *, query=None, **state):
        app = AppTest.from_file(str(APP), default_timeout=30)
        for key, value in (query or {}).items():
            app.query_params[key] = value
        app.run()
        for key, value in state.items():
            app.session_state[key] = value
        return app.switch_page(f"inspect_fer/dashboard/pages/{name}.py").run()

    return opened
