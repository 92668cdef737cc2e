"""What docs/internals.md says: its Python runs, its commands are understood, and nothing is left out."""

import re
import shlex
from pathlib import Path

import pytest

from inspect_fer import internals
from inspect_fer.cli import main
from inspect_fer.cli.inside import VIEWS

TEXT = (Path(__file__).parents[2] / "docs" / "internals.md").read_text()
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("inspect-fer ")]


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/internals.md", "exec"), namespace)  # noqa: S102 (our own document)
    assert namespace["logits"].shape == (20, 7)
    assert namespace["changes"].shape == (2, 3, 7)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [*shlex.split(line), "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in shlex.split(line) if word.startswith("--"))
    named = re.search(r"--what (\S+)", line)
    assert named is None or named[1] in VIEWS


def test_every_function_is_named():
    functions = [name for name in internals.__all__ if name[0].islower()]
    assert all(re.search(rf"\b{name}\(", TEXT) for name in functions)
    assert all(what in TEXT for what in VIEWS)
