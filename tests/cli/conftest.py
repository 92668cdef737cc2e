"""A folder to work in and a command line to call, as a user does."""

import shlex

import pytest

from inspect_fer.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command line as a user does; returns exit code, standard output and standard error."""

    def run(line):
        monkeypatch.setattr("sys.argv", ["inspect-fer", *shlex.split(line)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return run
