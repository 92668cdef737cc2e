"""What docs/reports.md says holds."""

import re
import shlex
from pathlib import Path

import pytest

from inspect_fer.cli import main
from inspect_fer.report import FIGURES, FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "reports.md").read_text()


def test_the_python_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/reports.md", "exec"), {})  # noqa: S102 (our own document)
    folder = tmp_path / "reports" / "documented"
    assert all((folder / name).is_file() for name in ("index.html", "report/style.css", "scores.csv", "samples.csv"))


def test_every_command_parses_and_nothing_is_left_unsaid(monkeypatch, capsys):
    lines = [line for line in PAGE.splitlines() if line.startswith("inspect-fer report")]
    for line in lines:
        monkeypatch.setattr("sys.argv", [*shlex.split(line, comments=True), "--help"])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0, line
    capsys.readouterr()
    assert all(f"`{name}`" in PAGE for name in FIGURES)
    assert {form for form in FORMATS if f"--format {form}" in PAGE} == set(FORMATS) - {"html"}
