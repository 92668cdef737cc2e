"""`run` in parts and again, `runs`, `verify`, `rm`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inspect_fer.models.checkpoint import load, save
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
    assert (code, "5 samples of reports/first: as the network says" in out) == (0, True)
    assert "Ids, labels and pixels of 3 shards are those of the dataset, of 3 in all." in out
    assert call("rm reports/first", typed="n\n")[0] == 0
    assert Path("reports/first/run.json").is_file()
    assert "removed reports/first" in call("rm reports/first", typed="y\n")[1]
    assert not Path("reports/first").exists()


@pytest.mark.usefixtures("first")
def test_a_run_that_says_something_else_is_told(call, net):
    other = load(net)
    next(other.network.parameters()).data.add_(1)
    save(other, "other.safetensors")
    code, _, err = call("verify reports/first --model other.safetensors")
    assert (code, "other.safetensors is another network than that of reports/first" in err) == (2, True)


@pytest.mark.usefixtures("first")
def test_a_network_that_was_moved_is_named(call, net):
    Path(net).rename("moved.safetensors")
    code, _, err = call("verify reports/first")
    assert (code, err.count("\n"), "The network of reports/first cannot be loaded" in err) == (2, 1, True)
    assert call("verify reports/first --model moved.safetensors --data synthetic:21")[0] == 0


@pytest.mark.usefixtures("first")
def test_a_list_of_runs_for_programs_and_for_a_narrow_terminal(call, monkeypatch):
    lines = [line.split("\t") for line in call("runs reports")[1].splitlines()]
    assert lines[0] == ["run", "network", "dataset", "faces", "accuracy", "methods", "size", "made"]
    assert lines[1][:4] == ["first", "net", "synthetic:21", "21"]
    assert lines[1][5] == "grad-cam, layer-cam"
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    out = call("runs reports")[1]
    assert json.loads(Path("reports/first/run.json").read_text())["made"][:10] in out
    assert "\u2026" not in out


def test_few_explained_of_all_are_told(call, net):
    code, out, err = call(f"{RUN.format(net=net)} --limit 1 --out reports/few")
    told = "1 of 21 faces are explained by grad-cam, layer-cam; the same without --limit explains the rest."
    assert (code, told in out) == (0, True), err
    assert "21 faces, 1 method: " in call(f"run -m {net} -d synthetic:21 --limit 1 --out reports/one")[1]


@pytest.mark.usefixtures("first")
def test_a_smaller_limit_and_other_options_lose_nothing(call, net):
    held = {path: path.read_bytes() for path in Path("reports/first").rglob("shard*")}
    code, out, err = call(f"{RUN.format(net=net)} --limit 4 --out reports/first")
    assert (code, "are explained" in out) == (0, False), err
    code, _, err = call(f"{RUN.format(net=net).replace('all', 'predicted')} --out reports/first")
    assert (code, err.count("\n")) == (2, 1)
    assert "reports/first holds grad-cam, layer-cam made otherwise (targets: all, not predicted). Name another" in err
    assert {path: path.read_bytes() for path in Path("reports/first").rglob("shard*")} == held


def test_a_dry_run_counts_what_is_missing_and_writes_nothing(call, net):
    code, out, err = call(f"{RUN.format(net=net)} --limit 5 --out reports/dry --dry-run")
    assert code == 0, err
    assert "16 faces to predict only: " in out
    assert "5 of 5 shards are missing in reports/dry, about " in out  # answers: 3, and 1 of each method
    assert "5 faces to explain" in out
    assert not Path("reports").exists()
    call(f"{RUN.format(net=net)} --shard 1/3 --out reports/dry")
    out = call(f"{RUN.format(net=net)} --shard 2/3 --out reports/dry --dry-run")[1]
    assert "3 of 3 shards are missing in reports/dry" in out
    assert "8 faces to explain" in out
    out = call(f"{RUN.format(net=net)} --out reports/dry --dry-run")[1]
    assert "6 of 9 shards are missing in reports/dry" in out
    assert "13 faces to explain" in out
    out = call(f"{RUN.format(net=net)} --shard 1/3 --out reports/dry --dry-run")[1]
    assert out == "All 3 shards of reports/dry are there; the run would only look them through.\n"


@pytest.mark.usefixtures("first")
def test_labels_that_have_changed_since_are_told(call, monkeypatch):
    from inspect_fer.runs import work

    read = work.samples_of
    monkeypatch.setattr(work, "samples_of", lambda *args: replace(found := read(*args), labels=(found.labels + 1) % 7))
    code, _, err = call("verify reports/first --samples 1")
    assert (code, err.count("\n")) == (2, 1)
    assert "ids, labels or pixels differ in shard 0, 1, 2. Start the same run again" in err


@pytest.mark.usefixtures("first")
def test_nothing_is_removed_where_nobody_answers(call):
    code, _, err = call("rm reports/first")
    assert (code, err.endswith("reports/first was not removed: nobody answered. --yes removes without asking.\n")) == (
        2,
        True,
    )
    assert Path("reports/first/run.json").is_file()


@pytest.mark.usefixtures("first")
def test_a_run_is_removed_once_and_a_link_not_at_all(call):
    Path("link").symlink_to("reports/first")
    code, _, err = call("rm link --yes")
    assert (code, "link is a link; name the run itself: " in err) == (2, True)
    code, out, _ = call("rm reports/first reports/../reports/first --yes")
    assert (code, out.count("removed")) == (0, 1)
    assert not list(Path("reports").iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("runs nowhere", "There is no run in nowhere."),
        ("rm nowhere", "nowhere holds no run; only runs are removed."),
        ("verify nowhere", "nowhere holds no run"),
        ("{run} --out ''", "--out is empty; name the run's folder"),
        ("{run} --out reports/x --shard 3", "A share is i/n, such as 3/20, not '3'."),
        ("{run} --out reports/x --shard 3/2", "not 3/2"),
        ("run -m {net} -d synthetic:21 --methods , --out reports/x", "Name a method with --methods"),
        ("{run} --out reports/x --address auto", "--address auto is of a Ray cluster; say --engine ray as well."),
        ("{run} --out reports/x --engine rya", "No engine is called 'rya'. Did you mean 'ray'?"),
    ],
)
def test_mistakes_get_one_line(call, net, words, says):
    code, _, err = call(words.format(run=RUN.format(net=net), net=net))
    assert (code, err.count("\n")) == (2, 1), err
    assert says in err
    assert not Path("reports/x").exists()
