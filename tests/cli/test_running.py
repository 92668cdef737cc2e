"""`run` in parts and again, `runs`, `verify`, `rm`."""

import json
from pathlib import Path

import pytest

from inspect_fer.runs import open_run

RUN = "run --model {net} --data synthetic:21 --methods grad-cam,layer-cam --targets all --shard-size 8 --threads 1"


@pytest.fixture
def first(call, net):
    code, out, err = call(f"{RUN.format(net=net)} --out reports/first")
    assert code == 0, err
    return out


def test_the_same_command_goes_on(call, net, first):
    assert "21 faces, 2 methods: reports/first" in first
    gone = next(Path("reports/first/maps/layer-cam").glob("*/shard-00001*"))
    held = gone.read_bytes()
    gone.unlink()
    assert call(f"{RUN.format(net=net)} --out reports/first")[0] == 0
    assert gone.read_bytes() == held


def test_shares_and_the_job_that_finishes(call, net):
    code, out, _ = call(f"{RUN.format(net=net)} --out reports/parts --shard 1/2")
    assert (code, "Share 1/2 of reports/parts is there" in out) == (0, True)
    code, out, _ = call("runs reports")
    assert "unfinished" in out.replace("\n", "")
    assert "21 faces, 2 methods" in call(f"{RUN.format(net=net)} --out reports/parts --shard 2/2")[1]


@pytest.mark.usefixtures("first")
def test_other_methods_are_put_beside(call, net):
    assert call(f"run --model {net} --data synthetic:21 --methods fem --out reports/first")[0] == 0
    assert set(open_run("reports/first").explanations) == {"grad-cam", "layer-cam", "fem"}


@pytest.mark.usefixtures("first")
def test_runs_are_listed_verified_and_removed_after_asking(call):
    code, out, _ = call("runs reports")
    assert code == 0
    assert "first" in out
    code, out, _ = call("verify reports/first --samples 5")
    assert (code, "5 samples of reports/first are what the network says" in out) == (0, True)
    assert call("rm reports/first", typed="n\n")[0] == 0
    assert Path("reports/first/run.json").is_file()
    assert "removed reports/first" in call("rm reports/first", typed="y\n")[1]
    assert not Path("reports/first").exists()


@pytest.mark.usefixtures("first")
def test_a_run_that_says_something_else_is_told(call):
    path = Path("reports/first/run.json")
    values = json.loads(path.read_text())
    values["model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(values))
    code, _, err = call("verify reports/first")
    assert (code, "is another network than that of reports/first" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("runs nowhere", "There is no run in nowhere."),
        ("rm nowhere", "nowhere holds no run; only runs are removed."),
        ("verify nowhere", "nowhere holds no run"),
        ("{run} --out reports/x --shard 3", "A share is i/n, such as 3/20, not '3'."),
        ("{run} --out reports/x --shard 3/2", "not 3/2"),
        ("{run} --out reports/x --engine rya", "No engine is called 'rya'. Did you mean 'ray'?"),
    ],
)
def test_mistakes_get_one_line(call, net, words, says):
    code, _, err = call(words.format(run=RUN.format(net=net)))
    assert (code, err.count("\n")) == (2, 1), err
    assert says in err
    assert not Path("reports/x").exists()
