"""The script of deliberate faults: its table fits the sources, it finds faults, and it does not find what is none."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from inspect_fer.explain import METHODS

HERE = Path(__file__).parent
ONE = "test_grad_cam.py::test_matches_the_paper_term_by_term"


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import faults

    return faults


def test_every_text_stands_in_its_file_once(faults):
    package = HERE.parents[1] / "inspect_fer" / "explain"
    texts = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    wrong = [str(fault) for fault in faults.table() if texts[fault.file].count(fault.right) != 1]
    assert wrong == [], "the source has changed: mend the table, tests/explain/faults.toml"
    assert all(
        fault.right != fault.wrong and (HERE / fault.tests.partition("::")[0]).exists() for fault in faults.table()
    )


def test_every_method_has_two_faults_of_its_own_at_least(faults):
    assert set(METHODS) == {method for fault in faults.table() for method in fault.methods}
    assert min(Counter(method for fault in faults.table() for method in fault.methods).values()) >= 2
    assert len(set(faults.table())) == len(faults.table())


def run(*chosen):
    """The exit code of the script with these faults, and what it says of each, without the numbers before."""
    names = "Fault, report"
    program = f"import sys\nfrom faults import {names}\nsys.exit(report([{', '.join(map(repr, chosen))}]))"
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    return done.returncode, [line.partition("] ")[2] for line in done.stdout.splitlines()[:-1]]


def test_faults_are_caught_and_harmless_changes_survive(faults):
    mean, positive, *_ = (replace(fault, tests=ONE) for fault in faults.table("grad-cam"))
    harmless = faults.Fault("grad_cam.py", mean.right, f"{mean.right} * 1", ONE)
    broken = faults.Fault("grad_cam.py", mean.right, "(", ONE)
    code, (plain, *found) = run(mean, positive, harmless)
    assert code == 1
    assert plain == f"passes   no fault: {ONE}"
    assert [line.split()[0] for line in found] == ["caught", "caught", "SURVIVED"]
    assert all(line.endswith(f"by {ONE}") for line in found[:2])
    assert [line.split()[0] for line in run(broken)[1]] == ["passes", "BROKEN"]


def test_one_method_or_file_can_be_chosen(faults, capsys):
    assert {fault.file for fault in faults.table("layer-cam")} == {"pointwise.py", "weighing.py"}
    assert faults.main(["--list", "--only", "fem"]) == 0
    assert "fem.py: correction=0 -> correction=1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        faults.main(["--only", "nothing"])
