import pytest
from PIL import Image

from inspect_fer.models.checkpoint import load

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
    assert "baseline" in out
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
