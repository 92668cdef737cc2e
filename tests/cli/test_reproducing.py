from dataclasses import replace

import pytest

from inspect_fer.cli import reproducing
from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.models.checkpoint import load
from inspect_fer.training.experiments import Outcome, experiments


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """Enough faces for a batch of 64."""
    return write_miniature("fer2013", tmp_path_factory.mktemp("data"), per_class=10)


def test_without_data_all_experiments_are_listed(call):
    code, out, err = call("reproduce")
    assert (code, err) == (0, "")
    for each in experiments():
        assert f" {each.name} " in out
    for words in ("test 54.09", "Labels 1 to 6 went into six outputs", "The class names of its tables"):
        assert words in out
    assert "--data ferplus:PATH" in out


def test_one_source_is_listed(call):
    code, out, _ = call("reproduce 002")
    assert code == 0
    assert "s002_lenet5_bn_balanced" in out
    assert "s004_small" not in out


def test_an_unknown_source_is_told_in_a_line(call):
    code, _, err = call("reproduce 03")
    assert code == 2
    assert err.startswith("inspect-fer: No source is called '03'. Did you mean '003'?")
    assert len(err.splitlines()) == 1


def test_data_are_learnt_from_and_figures_set_side_by_side(call, spec):
    line = f"reproduce 004 --only s004_majority --only s004_residual_live --data {spec} --out here"
    code, out, err = call(f"{line} --only s003_vgg_rafdb")
    assert code == 2
    assert "No experiment is called 's003_vgg_rafdb'" in err
    code, out, err = call(line)
    assert code == 0, err
    assert "s004_majority: trained, 14.29 of 70 (PrivateTest)" in err
    assert "test 24" in out
    assert "here: reproduce.csv, reproduce.md" in out
    assert load("here/s004_majority.safetensors").card.scores["test"]["n"] == 70
    code, _, err = call(line)
    assert "s004_majority: evaluated, 14.29 of 70 (PrivateTest)" in err


def test_experiments_without_data_are_said_and_nothing_is_trained(call, spec):
    code, out, err = call(f"reproduce 003 --data {spec} --evaluate-only --out here")
    assert code == 0
    assert "s003_vgg_rafdb: no data, needs --data rafdb:PATH" in err
    assert "s003_vgg_fer2013: no checkpoint" in err
    assert "no data" in out


def test_a_failing_experiment_has_its_line(call, spec):
    code, _, err = call(f"reproduce 000 --only s000_lenet_fer2013 --data {spec} --out here")
    assert code == 2
    assert "s000_lenet_fer2013: failed, " in err
    assert "fer2013new.csv" in err
    assert err.splitlines()[-1] == "inspect-fer: 1 of 1 experiments failed; see above."


def test_one_failure_among_others_is_in_the_exit_code(call, spec):
    line = f"reproduce --only s000_lenet_fer2013 --only s003_vgg_rafdb --only s004_majority --data {spec} --out here"
    code, out, err = call(line)
    assert code == 2
    for words in ("s000_lenet_fer2013: failed, ", "s003_vgg_rafdb: no data, ", "s004_majority: trained, "):
        assert words in err
    assert "here: reproduce.csv, reproduce.md" in out
    assert "1 of 3 experiments failed" in err


@pytest.mark.parametrize("option", ["", "--evaluate-only"])
def test_data_that_no_experiment_can_use_are_told(call, spec, option):
    code, _, err = call(f"reproduce --only s003_vgg_rafdb --data {spec} --out here {option}")
    assert code == 2
    assert "None of these experiments needs --data fer2013." in err.splitlines()
    assert "s003_vgg_rafdb: no data, needs --data rafdb:PATH" in err
    assert err.splitlines()[-1].startswith("inspect-fer: No experiment had all of its data")


def test_data_beside_those_that_are_needed_are_told(call, spec):
    line = f"reproduce --only s004_majority --data {spec} --out here"
    code, _, err = call(f"{line} --data rafdb:nowhere --data tfeid:nowhere")
    assert code == 0, err
    assert "None of these experiments needs --data rafdb or --data tfeid." in err.splitlines()
    code, _, err = call(line)
    assert "None of these" not in err


@pytest.mark.parametrize("out", ["/proc/nothing", "taken.py", "taken.py/below"])
def test_a_folder_that_cannot_be_made_is_told_in_a_line(call, spec, tmp_path, out):
    (tmp_path / "taken.py").write_text("...")
    code, _, err = call(f"reproduce --only s004_majority --data {spec} --out {out}")
    assert code == 2
    assert [line for line in err.splitlines() if line.strip()] == [err.strip()]
    assert f"{out} cannot be made a folder: " in err


def test_words_in_brackets_and_colons_are_printed_as_they_are(monkeypatch, capsys, tmp_path):
    (each,) = experiments(only=["s004_majority"])
    each = replace(each, name="[red]mine", published=replace(each.published, protocol="by :smile: and [bold]"))
    outcome = Outcome(each, "failed", "No face is labelled [blue] or :smile:.")

    def reproduce(chosen, lab, **_):
        lab.watch("[red]mine: training", 1, 2)
        yield outcome

    monkeypatch.setattr("inspect_fer.training.reproduce.reproduce", reproduce)
    monkeypatch.setenv("FORCE_COLOR", "1")  # bars are drawn, with what they are named
    reproducing._print_outcomes(reproducing._reproduce([each], {}, tmp_path, "cpu", evaluate_only=False))
    printed = capsys.readouterr()
    assert "[red]mine: failed, No face is labelled [blue] or :smile:." in printed.err
    assert "[red]mine: training" in printed.err
    for words in ("[red]mine", "by :smile: and [bold]", "No face is labelled [blue]"):
        assert words in " ".join(printed.out.split())


def test_a_smoke_walk_prints_a_line_each(call):
    code, out, err = call("reproduce all --smoke --only s004_small --only s001_keras_cnn4")
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines] == [["s004_small", "trained"], ["s001_keras_cnn4", "trained"]]


def test_a_smoke_walk_brings_its_own_data(call, spec):
    for option, name in ((f"--data {spec}", "--data"), ("--evaluate-only", "--evaluate-only"), ("--out x", "--out")):
        code, _, err = call(f"reproduce 004 --smoke {option}")
        assert (code, err.count("\n")) == (2, 1)
        assert f"--smoke brings its own faces, trains on them and keeps nothing; leave {name} out." in err


def test_a_smoke_walk_with_a_failure_ends_with_a_line(call, monkeypatch):
    monkeypatch.setattr("inspect_fer.training.reproduce.shortened", lambda recipe: recipe)
    code, out, err = call("reproduce --smoke --only s004_small")
    assert code == 2
    assert "s004_small" in out
    assert "1 of 1 experiments failed; see above." in err


@pytest.mark.filterwarnings("default")
def test_a_broken_recipe_of_ones_own_is_told_and_hinders_nothing(call, folder, monkeypatch):
    (folder / "recipes").mkdir()
    (folder / "recipes" / "mine.toml").write_text(
        'base = "s004_small"\n[published]\nsource = "004"\nitem = "x"\nscores = { test = "a" }\n'
    )
    monkeypatch.setenv("INSPECT_FER_HOME", str(folder))
    for line in ("reproduce 004", "recipes"):
        code, out, err = call(line)
        assert code == 0
        assert "inspect-fer: warning: A recipe is left out" in err
        assert "mine.toml: published.scores.test must be float, not 'a'" in err
        assert "s004_small" in out
        assert "mine" not in out.split()
