import pytest
import torch

from inspect_fer.datasets import samples_for
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load, save
from inspect_fer.runs import make_run
from inspect_fer.schema import Classifier, ModelCard

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A file of a small network with random weights."""
    torch.manual_seed(0)
    card = ModelCard("baseline", NAMES, (1, 32, 32), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    save(Classifier(build("baseline", size=32, options={"width": 2}).eval(), card), path)
    return path


@pytest.fixture(scope="session")
def model(checkpoint):
    return load(checkpoint)


@pytest.fixture(scope="session")
def faces(model):
    return samples_for(model.card, "synthetic:14?wrong_labels=0.2", "select")


@pytest.fixture
def make(model, faces):
    """Make a run of few samples a shard."""

    def made(folder, *methods, **options):
        wanted = {"model": model, "faces": faces, "shard": 4, "threads": 1, "targets": "all"} | options
        return make_run(folder, methods=list(methods), **wanted)

    return made


def contents(folder):
    """Every file of a run by its name, less what says when it was made, and half-written ones."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name not in {"run.json", "times.jsonl"}
    }


@pytest.fixture(scope="session")
def same():
    """Whether two runs hold the same bytes."""

    def compare(one, other):
        first, second = contents(one), contents(other)
        assert sorted(first) == sorted(second)
        assert [name for name in first if first[name] != second[name]] == []

    return compare
