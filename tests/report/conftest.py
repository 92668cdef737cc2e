"""Runs that are made up: noise for faces, maps and answers."""

from dataclasses import replace

import pytest
import torch

from inspect_fer.metrics import evaluate
from inspect_fer.report import page, write_report
from inspect_fer.schema import Explanation, ModelCard, Prediction, Run, Samples

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
HISTORY = [{"epoch": e, "loss": 1 / e, "accuracy": 0.1 * e, "select_loss": 2 / e} for e in range(1, 6)]
LAYERS = [
    {"name": "conv", "kind": "Conv2d", "shape": [8, 48, 48], "parameters": 80, "receptive_field": 3},
    {"name": "relu", "kind": "ReLU", "shape": [8, 48, 48], "parameters": 0, "receptive_field": 3},
    {"name": "blocks.0.conv", "kind": "Conv2d", "shape": [16, 24, 24], "parameters": 1168, "receptive_field": 7},
    {"name": "blocks.1.conv", "kind": "Conv2d", "shape": [16, 24, 24], "parameters": 2320, "receptive_field": None},
    {"name": "fc", "kind": "Linear", "shape": [7], "parameters": 119, "receptive_field": 48},
]


def make_up(folder, n=30, *, names=NAMES, methods=("grad-cam", "layer-cam"), prefix="face/", size=48, **options):
    """A run and its samples, every third answer wrong."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % len(names)
    logits = torch.randn(n, len(names), generator=generator)
    answers = torch.where(torch.arange(n) % 3 == 0, (labels + 1) % len(names), labels)
    logits[torch.arange(n), answers] += 8
    ids = tuple(f"{prefix}{row}" for row in range(n))
    prediction = Prediction(ids, logits, labels, names, **options)
    targets = torch.arange(len(names)).repeat(n, 1)
    explanations = {
        name: Explanation(
            ids, torch.randn(n, len(names), 6, 6, generator=generator), targets, {"name": name}, "l", (1, size, size)
        )
        for name in methods
    }
    card = ModelCard("resnet18", names, (1, size, size), (0.5,), (0.5,), recipe={"train": {"epochs": 3}}, seed=3)
    manifest = {
        "card": card.as_dict(),
        "dataset": {"spec": "synthetic:30", "split": "test", "options": {"wrong": 0.1}, "counts": {"anger": 30}},
        "command": "inspect-fer run --model resnet18",
    }
    pixels = torch.randint(0, 256, (n, 1, size, size), generator=generator).byte()
    run = Run(folder, manifest, prediction, explanations, evaluate(prediction))
    return run, Samples(ids, pixels, labels, names)


@pytest.fixture
def made_up(tmp_path):
    """Make up a run in a new folder and its samples."""
    return lambda n=30, **options: make_up(tmp_path, n, **options)


@pytest.fixture
def told():
    """Tell the manifest of a run more."""
    return lambda run, **entries: replace(run, manifest={**run.manifest, **entries})


@pytest.fixture
def learnt(told):
    """Give a run's network a history."""
    return lambda run, history=HISTORY: told(run, card=run.manifest["card"] | {"history": history})


@pytest.fixture
def layers():
    """Rows of a layer table."""
    return LAYERS


@pytest.fixture
def report(monkeypatch):
    """Write a report without drawing its charts; the words of its first page."""
    monkeypatch.setattr(page, "data_uri", lambda *_: "data:image/svg+xml,")
    return lambda run, faces, **options: write_report(run, faces, **options).read_text(encoding="utf-8")
