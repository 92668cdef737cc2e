import json
import subprocess
import sys

import pytest
import torch
import typer
from PIL import Image

from inspect_fer.cli import app, main
from inspect_fer.cli.terminal import counted, print_scores
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load
from inspect_fer.runs import open_run
from inspect_fer.schema import ModelCard

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
RECIPE = """
[network]
architecture = "baseline"
size = 24
options = { width = 2 }
[training]
epochs = 2
batch_size = 14
"""


COMMANDS = [command.name for command in app.registered_commands]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(call, name):
    code, out, _ = call(f"{name} --help")
    assert code == 0
    assert f"inspect-fer {name}" in out.split("Options:")[1]
    assert all(line.strip() for line in out.splitlines() if line.startswith("  -"))


def test_train_evaluate_explain_report_one_after_the_other(call, folder):
    (folder / "small.toml").write_text(RECIPE)
    code, out, err = call("train --recipe small.toml --data synthetic:28 --out mine.safetensors --licence MIT")
    assert code == 0, err
    assert "test split" in out
    assert "epoch   2/2" in err
    card = load("mine.safetensors").card
    assert (card.licence, card.dataset, card.seed, len(card.history)) == ("MIT", "synthetic", 0, 2)
    assert card.scores["test"]["n"] == 28
    code, out, _ = call("evaluate --model mine.safetensors --data synthetic:28 --json")
    assert json.loads(out)["accuracy"] == pytest.approx(card.scores["test"]["accuracy"], abs=1e-5)
    code, out, _ = call(
        "explain --model mine.safetensors --data synthetic:28 --method grad-cam --method occlusion --targets all"
        " --limit 5 --out reports/mine"
    )
    assert code == 0
    run = open_run("reports/mine")
    assert {name: tuple(found.maps.shape) for name, found in run.explanations.items()} == {
        "grad-cam": (5, 7, 3, 3),
        "occlusion": (5, 7, 5, 5),
    }
    with Image.open("reports/mine/occlusion.png") as picture:
        assert picture.width > 100
    code, out, _ = call("report reports/mine")
    assert code == 0
    assert "index.html" in out


def test_a_finished_training_is_not_trained_again(call, folder):
    (folder / "small.toml").write_text(RECIPE)
    call("train --recipe small.toml --data synthetic:28 --out mine.safetensors")
    before = (folder / "mine.safetensors").read_bytes()
    code, _, err = call("train --recipe small.toml --data synthetic:28 --out mine.safetensors")
    assert code == 0, err
    assert (folder / "mine.safetensors").read_bytes() == before


def test_run_predicts_all_and_explains_some(call, net):
    code, out, _ = call(f"run --model {net} --data synthetic:21 --methods grad-cam,occlusion --limit 4 --out reports/r")
    assert code == 0
    run = open_run("reports/r")
    assert (len(run), len(run.explanations["grad-cam"])) == (21, 4)
    assert "majority" in out or "always" in out


@pytest.mark.filterwarnings("default:The network will not be scored")
def test_a_dataset_without_test_split_still_gives_a_network(call, folder):
    for split in ("train", "select"):
        for number in range(14):
            path = folder / "faces" / split / ("sad", "happy")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (24, 24), 15 * number).save(path)
    (folder / "small.toml").write_text(RECIPE)
    code, out, err = call("train --recipe small.toml --data folder:faces --out mine.safetensors")
    assert code == 0
    early, late = (line for line in err.splitlines() if "has no split 'test'" in line)
    assert early.startswith("inspect-fer: warning: The network will not be scored on the test split")
    assert late.startswith("not scored on the test split")
    assert "selection split" in out
    assert set(load("mine.safetensors").card.scores) == {"select", "select, ten-crop"}


def test_a_class_may_be_named(call, net):
    assert call(f"explain --model {net} --data synthetic:2 --targets Happy")[0] == 0
    assert open_run("reports/explain-net").explanations["grad-cam"].targets.tolist() == [[3], [3]]


def test_explain_takes_files(call, net, folder):
    Image.new("RGB", (60, 40), (90, 90, 90)).save("face.png")
    code, _, _ = call(f"explain face.png --model {net} --targets 3")
    assert code == 0
    assert open_run("reports/explain-net").explanations["grad-cam"].targets.tolist() == [[3]]


def test_import_turns_a_state_dict_into_a_checkpoint(call, folder):
    card = ModelCard("baseline", NAMES, (1, 24, 24), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
    torch.save(build("baseline", size=24, options={"width": 2}).state_dict(), "net.pth")
    (folder / "card.json").write_text(json.dumps(card.as_dict()))
    assert call("import net.pth --card card.json --out net.safetensors")[0] == 0
    assert load("net.safetensors").card == card


def test_recipes_are_listed(call):
    code, out, _ = call("recipes")
    assert code == 0
    assert {"baseline", "demo", "demo_watermark"} <= {line.split(maxsplit=1)[0] for line in out.splitlines() if line}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("evaluate --model nothing --data synthetic:7", "No published checkpoint is called 'nothing'"),
        ("evaluate --model none.safetensors --data synthetic:7", "There is no checkpoint none.safetensors"),
        ("evaluate --model odd.safetensors --data synthetic:7", "not a whole safetensors file"),
        ("evaluate --model net.safetensors --data fer2013:none.csv", "none.csv cannot be read"),
        ("evaluate --model net.safetensors --data fer2013:odd.csv", "has the columns"),
        ("evaluate --model net.safetensors --data synthetic:0", "synthetic"),
        ("evaluate --model net.safetensors --data synthetic:7 --split tset", "Did you mean 'test'"),
        ("explain --model net.safetensors --data synthetic:7 --method gradcam", "Did you mean 'grad-cam'"),
        ("explain --model net.safetensors --data synthetic:7 --method cam", "grad-cam"),
        ("explain --model net.safetensors --data synthetic:7 --layer blocks.9", "No layer is called 'blocks.9'"),
        ("explain --model net.safetensors --data synthetic:7 --targets 9", "9"),
        ("explain --model net.safetensors --data synthetic:7 --targets everything", "everything"),
        ("explain wall.png --crop --model net.safetensors", "No upright, frontal face was found in wall.png"),
        ("explain --model net.safetensors", "Name either picture files or a dataset"),
        ("explain none.png --model net.safetensors", "none.png cannot be read as a picture"),
        ("explain --model net.safetensors --data synthetic:7 --out thesis", "thesis is there already"),
        ("report nowhere", "nowhere holds no run"),
        ("dashboard nowhere", "nowhere holds no run"),
        ("train --recipe nothing --data synthetic:28 --out a.safetensors", "No recipe is called 'nothing'"),
        ("train --recipe demo --data synthetic:28 --out a.pth", "name --out a.safetensors"),
        ("train --recipe demo --data folder:thesis --out a.safetensors", "thesis is not split"),
        ("train --recipe demo --data synthetic:28 --out net.safetensors", "net.safetensors is there already"),
        ("train --recipe demo --data synthetic:280 --out a.safetensors --device abacus", "There is no device 'abacus'"),
        ("train --recipe demo --data synthetic:28 --out a.safetensors", "28 faces do not fill one batch of 64"),
        ("import odd.pth --card odd.csv --out net.safetensors", "net.safetensors is there already"),
        ("import odd.pth --card odd.csv --out a.pt", "name --out a.safetensors"),
        (
            "explain --model net.safetensors --data synthetic:7 --method occlusion --layer zzz",
            "No layer is called 'zzz'",
        ),
        ("explain --model net.safetensors --data synthetic:7 --targets hapiness", "Did you mean 'happiness'"),
        ("explain --model net.safetensors --data synthetic:7 --targets=--5", "No target is called '--5'"),
        ("import odd.pth --card odd.csv --out a.safetensors", "cannot be read as a model card"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2_and_loses_nothing(call, net, folder, line, says):
    for name in ("odd.safetensors", "odd.csv", "odd.pth"):
        (folder / name).write_text("a,b\n1,2\n")
    Image.new("L", (80, 80), 90).save(folder / "wall.png")
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.tex").write_text("...")
    before = sorted(path.name for path in folder.rglob("*"))
    code, _, err = call(line)
    told = [row for row in err.splitlines() if row.strip()]
    assert code == 2
    assert says in told[-1]
    assert len(told) == 1
    assert told[0].startswith("inspect-fer: ")
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "says", "help_of"),
    [
        ("evaluate --modle demo", "--modle (Possible options: --model).", "evaluate"),
        ("explain --model demo --limit 0", "'--limit': Input should be greater than or equal to 1.", "explain"),
        ("explain", "Missing option '--model' / '-m'.", "explain"),
        ("explain --model", "'--model' requires an argument.", "explain"),
        ("evaluate --model demo --data synthetic:2 extra", "unexpected extra argument(s) (extra).", "evaluate"),
        ("explian", "Did you mean 'explain'?", ""),
        ("--what", "--what.", ""),
    ],
)
def test_a_line_that_does_not_fit_is_told_in_one_line(call, line, says, help_of):
    code, out, err = call(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("inspect-fer: ")
    assert err.endswith(f"{says} See {' '.join(['inspect-fer', help_of]).strip()} --help.\n")


def test_nothing_asked_shows_the_help(call):
    code, _, err = call("")
    assert code == 2
    assert "Commands:" in err
    assert call("--help")[0] == 0


def test_a_question_left_unanswered_is_no_bug(call, monkeypatch):
    def leave(**_):
        raise typer.Abort

    monkeypatch.setattr("inspect_fer.cli.app", leave)
    assert call("rm x")[::2] == (1, "inspect-fer: stopped, nothing more is done.\n")


def test_one_face_is_a_face(capsys):
    print_scores({"n": 0, "unlabelled": 1, "baseline": {}}, "demo")
    assert capsys.readouterr().out == "demo: 1 face without a known label, nothing to score.\n"
    assert (counted(1, "face"), counted(0, "face"), counted(1200, "face")) == ("1 face", "0 faces", "1,200 faces")


def test_a_bug_keeps_its_traceback(monkeypatch, net):
    monkeypatch.setattr("sys.argv", ["inspect-fer", "evaluate", "--model", net, "--data", "synthetic:7"])
    monkeypatch.setattr(sys.modules["inspect_fer.predict"], "predict", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main()


def test_the_installed_command_works():
    command = [
        sys.executable,
        "-c",
        "from inspect_fer.cli import main; main()",
        "evaluate",
        "--model",
        "x",
        "--data",
        "y:z",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("inspect-fer: No published checkpoint is called 'x'.")
