"""A folder to work in and a command line to call, as a user does."""

import shlex
from io import StringIO

import pytest

from inspect_fer.cli import main
from inspect_fer.models import build
from inspect_fer.models.checkpoint import save
from inspect_fer.schema import Classifier, ModelCard

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def net(tmp_path):
    """A file of a small network with random weights."""
    card = ModelCard("baseline", NAMES, (1, 24, 24), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
    save(Classifier(build("baseline", size=24, options={"width": 2}), card), tmp_path / "net.safetensors")
    return "net.safetensors"


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command line as a user does, who may type; returns exit code, standard output and standard error."""

    def run(line, typed=""):
        monkeypatch.setattr("sys.stdin", StringIO(typed))
        monkeypatch.setattr("sys.argv", ["inspect-fer", *shlex.split(line)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return run
