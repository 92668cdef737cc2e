import pytest
from PIL import Image

from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.models.checkpoint import load
from inspect_fer.training import log

RECIPE = """
[network]
architecture = "baseline"
size = 24
options = { width = 2 }
[training]
epochs = 4
batch_size = 14
[finetune]
head = "classifier"
upper = "blocks.3"
epoch = 2
[data]
watch_test = true
"""


@pytest.fixture
def trained(call, folder):
    (folder / "small.toml").write_text(RECIPE)
    code, _, err = call("train --recipe small.toml --data synthetic:28 --out mine.safetensors")
    assert code == 0, err
    return load("mine.safetensors").card


def test_the_card_holds_every_split_and_view_and_the_test_curve(trained, call):
    assert set(trained.scores) == {"select", "test", "select, ten-crop", "test, ten-crop"}
    assert all("test_accuracy" in line for line in trained.history)
    code, out, _ = call("evaluate --model mine.safetensors --data synthetic:28 --views ten-crop")
    assert code == 0
    assert f"{trained.scores['test, ten-crop']['accuracy']:.2%}" in out
    code, _, err = call("evaluate --model mine.safetensors --data synthetic:28 --views four")
    assert (code, "No way to view an image is called 'four'" in err) == (2, True)


def test_curves_are_drawn_with_the_line_where_fine_tuning_begins(trained, call, folder):
    assert call("curves mine.safetensors --out curves.png")[0] == 0
    with Image.open(folder / "curves.png") as picture:
        assert picture.width > 800
    assert call("curves mine.safetensors --out curves.svg")[0] == 0
    drawn = (folder / "curves.svg").read_text()
    assert drawn.count("<!-- fine-tuning -->") == 2 == drawn.count("<!-- test -->")
    code, _, err = call("curves mine.safetensors --out curves.docx")
    assert (code, "drawn as .png, .svg or .pdf" in err) == (2, True)


def test_recipes_are_listed_and_shown(call):
    code, out, _ = call("recipes")
    assert code == 0
    head, *lines = out.splitlines()[:-2]
    for column in ("recipe", "network", "data", "note"):
        place = head.index(column)
        assert all(line[place - 1] == " " != line[place] for line in lines if place), column
    assert any(line.startswith("baseline ") for line in lines)
    code, out, _ = call("recipes baseline")
    assert (code, 'architecture = "baseline"' in out) == (0, True)
    code, _, err = call("recipes basline")
    assert (code, "Did you mean 'baseline'" in err) == (2, True)


@pytest.mark.filterwarnings("default")
def test_a_class_without_faces_is_one_line_of_warning(call, folder):
    (folder / "small.toml").write_text(
        RECIPE.replace("epochs = 4", "epochs = 3").replace("batch_size = 14", "batch_size = 4")
    )
    code, _, err = call("train --recipe small.toml --data synthetic:6 --out few.safetensors")
    assert code == 0
    assert "inspect-fer: warning: No training face is labelled" in err


@pytest.mark.filterwarnings("default")
def test_a_network_that_learnt_from_the_test_faces_says_so_in_its_card(call, folder):
    (folder / "small.toml").write_text(RECIPE.replace("watch_test = true", 'train = "all"'))
    code, _, err = call("train --recipe small.toml --data synthetic:14 --out live.safetensors")
    assert code == 0
    assert "learnt from too" in err
    assert "learnt from too" in load("live.safetensors").card.note


LINE = "train --recipe small.toml --data synthetic:28 --out mine.safetensors"


@pytest.fixture
def small(folder):
    """A recipe whose loss is a number for two epochs."""
    (folder / "small.toml").write_text(RECIPE.replace("epoch = 2", "epoch = 2\nlearning_rate = 1e30"))
    return folder / "small.toml"


def test_a_loss_that_is_not_a_number_leaves_the_best_network_so_far(small, call, folder):
    code, _, err = call(LINE)
    assert code == 2
    last = err.splitlines()[-1]
    assert "in epoch 3, by batch 2 of 2; the epochs before are kept. Lower learning_rate of [finetune]" in last
    kept = load("mine.best.safetensors").card
    best = max(kept.history, key=lambda entry: entry["select_accuracy"])
    assert f"The best network so far, of epoch {int(best['epoch']) + 1}, is in mine.best.safetensors." in last
    assert (len(kept.history), kept.scores) == (2, {})
    assert "Stopped after epoch 2 of 4" in kept.note
    assert not (folder / "mine.safetensors").exists()
    small.write_text(RECIPE)
    assert call(f"{LINE} --restart")[0] == 0
    (folder / "mine.safetensors").replace(folder / "mine.best.safetensors")  # a finished one, of that name
    before = (folder / "mine.best.safetensors").read_bytes()
    small.write_text(RECIPE.replace("epoch = 2", "epoch = 2\nlearning_rate = 1e30"))
    code, _, err = call(f"{LINE} --restart")
    assert (code, "best network so far" in err) == (2, False)
    assert (folder / "mine.best.safetensors").read_bytes() == before


def test_a_loss_that_is_not_a_number_in_the_first_epoch_leaves_nothing(call, folder):
    text = RECIPE.replace("batch_size = 14", 'batch_size = 14\noptimizer = "sgd"\nlearning_rate = 1e30')
    (folder / "small.toml").write_text(text)
    code, _, err = call(LINE)
    assert (code, "in epoch 1" in err, "nothing is kept" in err, "--restart" in err) == (2, True, True, False)
    assert not list(folder.glob("*.safetensors"))


def test_ctrl_c_says_how_far_it_is_and_leaves_the_best_network_so_far(call, folder, monkeypatch):
    (folder / "small.toml").write_text(RECIPE)
    real = log.write_epoch

    def write_epoch(place, state, logits):
        if len(state["history"]) == 3:
            raise KeyboardInterrupt
        real(place, state, logits)

    with monkeypatch.context() as patch:
        patch.setattr(log, "write_epoch", write_epoch)
        code, _, err = call(LINE)
    assert code == 130
    assert "stopped after epoch 2; the same command, without --restart, goes on. The best network so far" in err
    assert len(load("mine.best.safetensors").card.history) == 2
    assert call(LINE)[0] == 0
    assert len(load("mine.safetensors").card.history) == 4


def test_ctrl_c_in_the_first_epoch_leaves_nothing(call, folder, monkeypatch):
    (folder / "small.toml").write_text(RECIPE)

    def write_epoch(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "write_epoch", write_epoch)
    code, _, err = call(LINE)
    assert (code, "stopped before an epoch was whole" in err) == (130, True)
    assert not list(folder.glob("*.safetensors"))


def test_a_wrong_test_split_is_told_before_anything_is_learnt(call, folder):
    (folder / "small.toml").write_text(RECIPE.replace("watch_test = true", 'test = "PrivatTest"'))
    code, _, err = call(LINE)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "Did you mean 'PrivateTest'" in err
    assert not (folder / "mine.training").exists()


@pytest.mark.filterwarnings("default")
def test_a_damaged_test_picture_costs_its_scores_alone(call, folder):
    spec = write_miniature("folder", folder / "faces", per_class=4)
    picture = next(path for path in sorted((folder / "faces" / "test").rglob("*")) if path.is_file())
    picture.write_bytes(picture.read_bytes()[:60])
    (folder / "small.toml").write_text(RECIPE.replace("watch_test = true", ""))
    code, _, err = call(LINE.replace("synthetic:28", spec))
    assert code == 0, err
    warned, said = err.index("warning: The network will not be scored on the test split"), err.index("epoch   1/4")
    assert warned < said < err.index("not scored on the test split: ")
    assert set(load("mine.safetensors").card.scores) == {"select", "select, ten-crop"}
