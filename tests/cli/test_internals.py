"""`inspect-fer internals`: every view writes its picture, and every mistake is one line."""

from collections import OrderedDict

import pytest
from PIL import Image
from torch import nn

from inspect_fer.cli import inside
from inspect_fer.cli.inside import VIEWS, layer_table, listed_channels
from inspect_fer.cli.internals import USES
from inspect_fer.errors import ConfigError
from inspect_fer.models import build
from inspect_fer.models.checkpoint import save
from inspect_fer.schema import Classifier, ModelCard

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
PIXEL = Image.new("RGB", (1, 1))


@pytest.fixture
def net(folder):
    """A network with gates, untrained."""
    options = {"width": 2}
    card = ModelCard("se", NAMES, (1, 32, 32), (0.5,), (0.25,), "blocks.4.relu", options)
    save(Classifier(build("se", size=32, options=options), card), folder / "net.safetensors")
    return "net.safetensors"


@pytest.mark.parametrize("what", VIEWS)
def test_every_view_writes_a_picture(call, net, what):
    code, out, err = call(f"internals --model {net} --what {what} --data synthetic:9 --steps 2")
    assert code == 0, err
    assert out.strip() == f"reports/internals/net-{what}.png"
    with Image.open(out.strip()) as picture:
        assert min(picture.size) > 100


def test_without_a_view_the_layers_are_listed(call, net, folder):
    code, out, _ = call(f"internals --model {net}")
    assert code == 0
    assert "blocks.0.se.sigmoid" in out
    assert "1 x 32 x 32" not in out
    assert "2 x 32 x 32" in out
    assert not (folder / "reports").exists()


@pytest.fixture
def transformer(folder):
    """A vision transformer, untrained, of 2 x 2 patches and a class token."""
    pytest.importorskip("timm", reason="timm is an extra")
    name, options = "timm:vit_tiny_patch16_224", {"depth": 2, "embed_dim": 12}
    card = ModelCard(name, NAMES, (1, 32, 32), (0.5,), (0.25,), "", options)
    save(Classifier(build(name, size=32, options=options), card), folder / "tokens.safetensors")
    return "tokens.safetensors"


@pytest.mark.parametrize("what", ["activations", "switched-off", "exciting", "concepts", "visualise"])
def test_tokens_are_drawn(call, transformer, what):
    line = f"--what {what} --layer blocks.0 --data synthetic:4 --steps 1 --out tokens.png"
    code, out, err = call(f"internals --model {transformer} {line}")
    assert (code, out.strip()) == (0, "tokens.png"), err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--what activations", "names no layer; name one with --layer. The view layers lists them"),
        ("--what contributions --layer blocks.0", "5 x 12, not maps"),
        ("--what concepts --layer blocks.0.attn", "also reads what passes it by"),
        ("--what gates", "no squeeze-and-excitation gates"),
    ],
)
def test_what_transformers_do_not_have_is_one_line(call, transformer, line, words):
    code, out, err = call(f"internals --model {transformer} --data synthetic:3 {line}")
    assert (code, out, err.strip().count("\n")) == (2, "", 0)
    assert words in err


def test_names_go_into_a_pipe_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    name = "a_wrapper_whose_name_is_longer_than_most_lines_of_a_terminal_that_is_not_very_wide"
    network = nn.Sequential(OrderedDict([(name, build("se", size=32, options={"width": 2}))])).eval()
    layer_table(Classifier(network, ModelCard("se", NAMES, (1, 32, 32), (0.5,), (0.25,))))
    assert f"{name}.blocks.0.se.sigmoid " in capsys.readouterr().out


def test_contributions_are_coloured_by_what_they_say(call, net, monkeypatch):
    drawn = {}
    monkeypatch.setattr(inside, "channel_sheet", lambda _, rows, **words: drawn.update(words, rows=rows) or PIXEL)
    assert call(f"internals --model {net} --what contributions --target all --data synthetic:3")[0] == 0
    assert drawn["ends"] == ("lowers the logit", "raises it")
    signs = set()
    for _, maps, _, remarks in drawn["rows"]:
        for shade, remark in zip(maps, remarks, strict=True):
            assert (shade * float(remark) >= 0).all()
            signs.add(float(remark) > 0)
    assert signs == {True, False}


def test_many_channels_take_several_rows(call, net, monkeypatch):
    drawn = {}
    monkeypatch.setattr(inside, "channel_sheet", lambda _, rows, **words: drawn.update(words, rows=rows) or PIXEL)
    assert call(f"internals --model {net} --what contributions --channels 0-29 --data synthetic:3")[0] == 0
    assert [len(maps) for _, maps, _, _ in drawn["rows"]] == [12, 12, 6]
    assert [captions[0] for _, _, captions, _ in drawn["rows"]] == ["channel 0", "channel 12", "channel 24"]


def test_classes_are_named_where_the_channels_are_classes(call, net, monkeypatch):
    drawn = {}
    monkeypatch.setattr(inside, "exciting_sheet", lambda rows, *_, **__: drawn.update(rows=rows) or PIXEL)
    line = "--what exciting --layer logits --data synthetic:3 --channels 4,0"
    assert call(f"internals --model {net} {line}")[0] == 0
    assert [captions[0].partition(":")[0] for _, _, captions, _ in drawn["rows"]] == ["sadness", "anger"]


def test_logits_are_a_layer_where_the_help_says_so(call, net):
    for what in ("activations", "exciting", "visualise"):
        code, _, err = call(f"internals --model {net} --what {what} --layer logits --data synthetic:3 --steps 1")
        assert code == 0, err
    _, out, _ = call("internals --help")
    assert "activations, exciting and visualise" in " ".join(out.split())


def test_concepts_stand_with_the_faces_and_what_the_network_answers(call, net, monkeypatch):
    drawn = {}

    def draw(*given, **words):
        drawn.update(words, given=given)
        return PIXEL

    monkeypatch.setattr(inside, "concept_sheet", draw)
    assert call(f"internals --model {net} --what concepts --data synthetic:9 --limit 7 --count 3")[0] == 0
    pixels, maps, answers, names, labels = drawn["given"]
    assert (len(pixels), maps.shape[:2], answers.shape, len(labels)) == (6, (6, 3), (3, 7), 6)
    assert names == NAMES
    assert answers.sum(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert drawn["title"] == "blocks.4.relu: 3 concepts of 7 faces, each on one scale"


def test_every_view_says_what_it_heeds():
    assert list(USES) == ["layers", *VIEWS]


def test_the_help_names_every_view(call):
    _, out, _ = call("internals --help")
    assert all(f"{what}," in out or f"{what}." in out for what in VIEWS)


def test_layers_channels_and_classes_can_be_named(call, net):
    for line in (
        "--what activations --layer logits --data synthetic:3 --sample 2",
        "--what contributions --layer blocks.0.conv --target all --channels 0-1 --data synthetic:3",
        "--what contributions --target label --data synthetic:3",
        "--what contributions --target Happy --data synthetic:3",
        "--what concepts --layer blocks.0.conv --count 2 --data synthetic:3",
        "--what exciting --layer classifier.0 --channels 3 --limit 2 --data synthetic:3",
        "--what visualise --layer blocks.1.conv --channels 0,3 --steps 1 --seed 5",
        "--what weights --layer classifier.0 --out deep/weights.png",
    ):
        code, _, err = call(f"internals --model {net} {line}")
        assert code == 0, err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--what gate", "Did you mean 'gates'? Choose from: layers, filters"),
        ("--what layers --layer blocks.0", "takes no --layer; these do: filters, weights, activations"),
        ("--what layers --out layers.png", "takes no --out"),
        ("--what gates --layer blocks.0 --data synthetic:3", "'gates' takes no --layer"),
        ("--what filters --channels 500", "takes no --channels; these do: contributions, switched-off"),
        ("--what activations", "name them with --data"),
        ("--what activations --data synthetic:3 --sample 3", "no face 3; they are 0 to 2"),
        ("--what filters --layer blocks.0", "is a Sequential, no convolution"),
        ("--what weights --layer blocks.0.conv", "no linear layer. Choose from: blocks.0.se.squeeze"),
        ("--what contributions --data synthetic:3 --target 9", "no class 9"),
        ("--what contributions --data synthetic:3 --layer classifier.0", "not maps"),
        ("--what switched-off --data synthetic:3 --channels 99", "channels 0 to 31; 99 names others"),
        ("--what concepts --data synthetic:3 --count 1", "2 to 64 concepts, not 1"),
        ("--what concepts --data synthetic:3 --count 0", "2 to 64 concepts, not 0"),
        ("--what concepts --data synthetic:3 --layer logits", "without places"),
        ("--what concepts --data synthetic:3 --channels 2", "'concepts' takes no --channels"),
        ("--what exciting --data synthetic:3 --count 4", "takes no --count; these do: concepts"),
        ("--what visualise --channels x", "such as 0,3,8-11, not 'x'"),
        ("--what visualise --layer blocks.9", "No layer is called 'blocks.9'"),
        ("--what filters --out kernels.jpg", "call it kernels.png"),
        ("--what exciting --data nothing:3", "nothing"),
    ],
)
def test_mistakes_are_one_line(call, net, line, words):
    code, out, err = call(f"internals --model {net} {line}")
    assert code == 2
    assert words in err
    assert err.strip().count("\n") == 0
    assert not out


def test_a_network_without_gates_is_told(call, folder):
    card = ModelCard("baseline", NAMES, (1, 32, 32), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
    save(Classifier(build("baseline", size=32, options={"width": 2}), card), folder / "plain.safetensors")
    code, _, err = call("internals --model plain.safetensors --what gates --data synthetic:2")
    assert code == 2
    assert "no squeeze-and-excitation gates" in err


def test_channels_are_numbers_and_ranges():
    assert listed_channels("3, 0,8-10,8", 11) == [3, 0, 8, 9, 10, 8]
    for words in ("", "1-", "-1", "a", "1.5"):
        with pytest.raises(ConfigError, match="numbers and ranges"):
            listed_channels(words, 4)
    for words in ("4", "0-4", "3-1"):
        with pytest.raises(ConfigError, match="channels 0 to 3"):
            listed_channels(words, 4)
