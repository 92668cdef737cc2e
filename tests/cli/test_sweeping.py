import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from inspect_fer.cli import sweeping
from inspect_fer.cli.sweeping import short_names
from inspect_fer.metrics import evaluate
from inspect_fer.models.checkpoint import fingerprint, load
from inspect_fer.predict import predict
from inspect_fer.training import data
from inspect_fer.training.sweep import read_sweep
from inspect_fer.training.sweep_run import Result
from inspect_fer.training.trials import Trial

SWEEP = """
[network]
architecture = "baseline"
size = 24
options = { width = 4 }
[training]
epochs = 2
batch_size = 14
precision = "float32"
optimizer = "sgd"
[grid]
training.learning_rate = [0.1, 0.01, 1e12]
training.epochs = [1, 2]
training.patience = [0]
"""
LINE = "sweep small.toml --data synthetic:42 --out swept"


@pytest.fixture(autouse=True)
def _sweep(folder):
    (folder / "small.toml").write_text(SWEEP)


@pytest.fixture
def roles(monkeypatch):
    """The splits that are read for scoring the best network."""
    read = []

    def read_split(recipe, spec, role):
        read.append(role)
        return real(recipe, spec, role)

    real = data.read_split
    monkeypatch.setattr(data, "read_split", read_split)
    return read


def rows(folder):
    return list(csv.DictReader((folder / "swept" / "results.csv").read_text().splitlines()))


def test_a_sweep_from_its_file_to_its_best_network(call, folder, roles):
    code, out, err = call(f"{LINE} --licence MIT")
    assert code == 0, err
    assert roles == ["test", "select", "test"]  # looked at before the first trial, scored once at the end
    assert "alone is scored on the test split, once" in out
    assert "2 failed" in out
    lines = [line for line in err.splitlines() if line.startswith("trial ")]
    assert len(lines) == 6
    assert lines[0].startswith("trial   1/6  learning_rate 0.1, epochs 1, patience 0  accuracy ")
    assert sum("failed: The loss is not a number" in line for line in lines) == 2
    table = rows(folder)
    scores = [float(row["score"]) for row in table[:4]]
    assert scores == sorted(scores, reverse=True)
    assert [row["score"] for row in table[4:]] == ["", ""]
    assert [float(row["training.learning_rate"]) for row in table[4:]] == [1e12, 1e12]

    found = json.loads((folder / "swept" / "results.json").read_text())
    best = load("swept/best.safetensors")
    assert found["best"]["trial"] == table[0]["trial"]
    assert found["best"]["scores"] == best.card.scores
    assert (best.card.licence, best.card.dataset) == ("MIT", "synthetic")
    assert best.card.recipe["training"]["learning_rate"] == float(table[0]["training.learning_rate"])
    for split in ("select", "test"):
        answer = evaluate(predict(best, data.read_split(recipe_of(folder), "synthetic:42", split)))
        assert best.card.scores[split]["accuracy"] == pytest.approx(answer["accuracy"], abs=1e-5)

    with Image.open(folder / "swept" / "effects.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    for hue in ("#2a6496", "#d9722e"):  # trials and the best one
        wanted = np.array([int(hue[place : place + 2], 16) for place in (1, 3, 5)])
        assert (np.abs(pixels - wanted).max(2) < 60).sum() > 20


def recipe_of(folder):
    return read_sweep(folder / "small.toml").base


def test_a_sweep_that_has_ended_is_neither_trained_nor_scored_again(call, folder, roles):
    call(LINE)
    before = {path: path.read_bytes() for path in (folder / "swept").rglob("*") if path.is_file()}
    roles.clear()
    code, out, err = call(LINE)
    assert code == 0, err
    assert not roles
    assert "was scored before" in out
    assert {path: path.read_bytes() for path in (folder / "swept").rglob("*") if path.is_file()} == before
    code, _, err = call(f"{LINE} --restart --limit-epochs 1")
    assert code == 0, err
    assert {row["epochs"] for row in rows(folder) if not row["failed"]} == {"1"}
    assert len(rows(folder)) == 3  # two epochs became one, which was there already


def test_a_grid_can_be_drawn_from(call, folder):
    (folder / "small.toml").write_text(SWEEP.replace(", 1e12", ""))
    code, _, err = call(f"{LINE} --trials 1")
    assert code == 0, err
    assert "trial   1/1" in err
    assert len(rows(folder)) == 1


def test_a_range_is_drawn_from_where_trials_are_asked_for(call, folder):
    (folder / "small.toml").write_text(SWEEP.replace("[0.1, 0.01, 1e12]", "{ low = 0.01, high = 0.1 }"))
    code, _, err = call(LINE)
    assert code == 2
    assert "--trials draws from" in err
    code, _, err = call(f"{LINE} --trials 2")
    assert code == 0, err
    assert len(rows(folder)) == 2


def test_trials_of_before_stay_in_the_results_and_the_best_one_stays_the_best(call, folder):
    call(LINE)
    before = {name: (folder / "swept" / name).read_bytes() for name in ("results.csv", "results.json")}
    code, out, err = call(f"{LINE} --trials 1")
    assert code == 0, err
    assert "1 trials, compared with 5 more of this sweep that swept holds." in err
    assert "was scored before" in out
    assert {name: (folder / "swept" / name).read_bytes() for name in before} == before
    assert len(list((folder / "swept").glob("trials/*/state.pt"))) == 1
    code, _, err = call(f"{LINE} --trials 3 --restart")
    assert code == 0, err
    assert len(rows(folder)) == 3


def test_another_licence_reaches_the_network(call, folder):
    (folder / "small.toml").write_text(SWEEP.replace(", 1e12", ""))
    call(f"{LINE} --trials 1 --licence MIT")
    before = load("swept/best.safetensors")
    call(f"{LINE} --trials 1 --licence CC-BY-4.0")
    after = load("swept/best.safetensors")
    assert after.card == replace(before.card, licence="CC-BY-4.0")
    assert fingerprint(after.network) == fingerprint(before.network)
    call(f"{LINE} --trials 1")
    assert load("swept/best.safetensors").card.licence == "CC-BY-4.0"


def test_words_in_brackets_and_colons_are_printed_as_they_are(folder, monkeypatch, capsys):
    sweep = read_sweep(folder / "small.toml")
    sweep = replace(sweep, grid={"network.options.[red]": ["[bold]", ":smile:"]})
    trials = [
        Trial(str(place), {"network.options.[red]": value}, sweep.base)
        for place, value in enumerate(sweep.grid["network.options.[red]"])
    ]
    results = [Result(trial, None, {}, 0, 0.0, 7, "No face is labelled [blue].") for trial in trials]
    monkeypatch.setattr("inspect_fer.training.sweep_run.run_sweep", lambda *_, **__: iter(results))
    sweeping._run(trials, "synthetic:42", folder, "cpu", restart=False)
    err = capsys.readouterr().err
    assert "[red] [bold]  failed: No face is labelled [blue]." in err
    assert "[red] :smile:  failed" in err
    sweeping._print_table(sweep, results)
    out = capsys.readouterr().out
    for words in (" [red] ", " [bold] ", " :smile: "):
        assert words in out


def test_sweeps_are_listed_with_the_number_of_their_trials(call, folder, monkeypatch):
    home = folder / "home" / "recipes" / "sweeps"
    home.mkdir(parents=True)
    (home / "mine.toml").write_text(f'note = "My own."\n{SWEEP}')
    monkeypatch.setenv("INSPECT_FER_HOME", str(folder / "home"))
    code, out, _ = call("sweep --list")
    assert code == 0
    listed = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert listed["mine"] == ["6", "trials", "My", "own."]
    assert listed["lmu"][:2] == ["128", "trials"]


def test_a_sweep_in_which_all_failed_says_why(call, folder):
    (folder / "small.toml").write_text(SWEEP.replace("0.1, 0.01, ", ""))
    code, _, err = call(LINE)
    assert code == 2
    assert "All 2 trials failed, the first: The loss is not a number any more" in err.splitlines()[-1]
    assert len(rows(folder)) == 2
    assert not (folder / "swept" / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sweep nothing --data synthetic:42 --out swept", "No sweep is called 'nothing'"),
        ("sweep odd.toml --data synthetic:42 --out swept", "Did you mean 'training.learning_rate'"),
        (
            "sweep bad.toml --data synthetic:42 --out swept",
            "training.epochs = 0, training.patience = 0: epochs must be at least 1, not 0",
        ),
        ("sweep small.toml --data nothing:42 --out swept", "nothing"),
        ("sweep small.toml --data synthetic:7 --out swept", "7 faces do not fill one batch of 14"),
        ("sweep small.toml --data synthetic:42 --out swept --device abacus", "There is no device 'abacus'"),
        ("sweep small.toml --data synthetic:42 --out thesis", "thesis is there already and holds no sweep"),
        ("sweep small.toml --data synthetic:42 --out small.toml", "small.toml is there already and holds no sweep"),
        ("sweep small.toml --data synthetic:42 --out small.toml/below", "small.toml/below cannot be made a folder"),
        ("sweep small.toml --data synthetic:42 --out /proc/nothing", "/proc/nothing cannot be made a folder"),
    ],
)
def test_a_mistake_is_one_line_and_trains_nothing(call, folder, line, says):
    (folder / "odd.toml").write_text('recipe = "baseline"\n[grid]\ntraining.learning_rat = [0.1]\n')
    (folder / "bad.toml").write_text(f"{SWEEP}\n".replace("epochs = [1, 2]", "epochs = [1, 0]"))
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.tex").write_text("...")
    code, _, err = call(line)
    assert code == 2
    told = [row for row in err.splitlines() if row.strip()]
    assert len(told) == 1
    assert says in told[0]
    assert not (folder / "swept").exists()  # so that the same folder can be named again
    assert [path.name for path in (folder / "thesis").iterdir()] == ["chapter.tex"]


def test_short_names():
    keys = ["training.learning_rate", "finetune.learning_rate", "network.options.dropout", "augment"]
    assert list(short_names(keys).values()) == [*keys[:2], "dropout", "augment"]


def test_a_wrong_test_split_is_told_before_the_first_trial(call, folder):
    code, _, err = call(LINE.replace("synthetic:42", "synthetic:42?test=PrivatTest"))
    assert (code, "Did you mean 'PrivateTest'" in err) == (2, True)
    assert not (folder / "swept").exists()


def test_a_damaged_best_network_comes_with_advice(call, folder):
    (folder / "small.toml").write_text(SWEEP.replace(", 1e12", ""))
    call(f"{LINE} --trials 1")
    (folder / "swept" / "best.safetensors").write_bytes(b"damaged")
    code, _, err = call(f"{LINE} --trials 1")
    assert (code, "Delete it, and the best trial is scored again." in err) == (2, True)
    (folder / "swept" / "best.safetensors").unlink()
    assert call(f"{LINE} --trials 1")[0] == 0
