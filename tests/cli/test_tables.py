import json
import shlex
from pathlib import Path

import pytest

from inspect_fer.cli import main

PUBLISHED = Path(__file__).parents[1] / "published"


@pytest.fixture
def call(monkeypatch, capsys):
    """Run `inspect-fer check-table` as a user does; returns exit code, standard output and standard error."""
    monkeypatch.chdir(PUBLISHED)
    monkeypatch.setenv("COLUMNS", "300")

    def run(line):
        monkeypatch.setattr("sys.argv", ["inspect-fer", "check-table", *shlex.split(line)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code or 0, printed.out, printed.err

    return run


def test_a_matrix_is_scored_again_and_its_names_corrected(call):
    code, out, err = call("000_resnet18_matrix.csv")
    assert (code, err) == (0, "")
    assert "confusion matrix, 7 classes, 3,574 samples, accuracy 67.04%" in out
    assert "macro average" in out
    assert "printed Surprise is anger, Fear is disgust" in out


def test_a_report_is_given_with_its_bounds(call):
    code, out, _ = call("002_report.csv")
    assert code == 0
    assert "accuracy 53.92% ±0.50%" in out
    assert "predictions of 20 epochs or runs are pooled" in out


def test_json(call):
    code, out, _ = call("000_lenet_ferplus_sets.csv --json")
    found = json.loads(out)
    assert code == 0
    assert (found["form"], found["n"], found["per_class"]["neutral"]["support"]) == ("tables of sets", 3505, 822)
    assert {"kind", "weight", "strength", "says"} == set(found["findings"][0])
    assert found["findings"][0]["kind"] == "no true class"


def test_a_split_to_compare_with(call):
    assert "as asked" in call("004_model1_matrix.csv --split fer2013:PublicTest")[1]
    code, out, err = call("004_model1_matrix.csv --split fer2013:Public")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "No split is called 'fer2013:Public'" in err


@pytest.mark.parametrize("line", ["absent.csv", ".", "bad.csv"])
def test_unusable_input_is_one_line(call, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    code, out, err = call(f"{tmp_path / line}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("inspect-fer: ")


def test_names_are_printed_as_they_are(call, tmp_path):
    (tmp_path / "odd.csv").write_text("true,[red]a[/red],:smile:\n[red]a[/red],1,2\n:smile:,3,4\n")
    code, out, _ = call(str(tmp_path / "odd.csv"))
    assert code == 0
    assert "[red]a[/red]" in out
    assert ":smile:" in out
