import json
import pickle
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from inspect_fer.errors import CheckpointError, UnknownNameError
from inspect_fer.models import build
from inspect_fer.models.checkpoint import checkpoint_paths, fingerprint, load, read_card, save
from inspect_fer.schema import Classifier, ModelCard

CARD = ModelCard(
    architecture="baseline",
    class_names=("anger", "fear", "happiness"),
    input_size=(1, 16, 16),
    mean=(0.5,),
    std=(0.25,),
    cam_layer="blocks.3.relu",
    options={"width": 2},
    scores={"test": {"accuracy": 0.5}},
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Classifier(build("baseline", classes=3, size=16, options={"width": 2}).eval(), CARD)


@pytest.fixture
def path(model, tmp_path):
    save(model, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_a_saved_network_comes_back_with_its_card(model, path):
    again = load(path)
    assert again.card == CARD
    assert again.origin == str(path)
    assert not again.network.training
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(again.network(images), model.network(images))
    assert read_card(path) == CARD


def test_half_precision_halves_the_file_and_comes_back_as_float32(model, path, tmp_path):
    save(model, tmp_path / "half.safetensors", half=True)
    again = load(tmp_path / "half.safetensors")
    assert {weights.dtype for weights in again.network.parameters()} == {torch.float32}
    difference = again.network(torch.ones(1, 1, 16, 16)) - model.network(torch.ones(1, 1, 16, 16))
    assert 0 < difference.abs().max() < 1e-2
    assert (tmp_path / "half.safetensors").stat().st_size < path.stat().st_size


def test_equal_networks_make_equal_files_and_fingerprints(model, path, tmp_path):
    save(model, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert fingerprint(load(path).network) == fingerprint(model.network)
    with torch.no_grad():
        model.network.classifier[0].bias[0] += 1
    assert fingerprint(load(path).network) != fingerprint(model.network)


def test_loading_keeps_the_random_state(path):
    before = torch.random.get_rng_state()
    load(path)
    assert torch.equal(before, torch.random.get_rng_state())


def header(card):
    return {"card": json.dumps(card)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": "transformer"}, "No network is called 'transformer'"),
        ({"class_names": ["a", "b"]}, "has in another shape classifier.5.bias"),
        ({"options": {"width": 3}}, "in another shape"),
        ({"options": {"width": 10**7}}, "in another shape"),
        ({"options": {"depth": 1}}, "cannot be built"),
        ({"input_size": [1, 8, 8]}, "16 or more"),
        ({"std": [-1]}, "positive standard deviations"),
        ({"mean": None}, "card"),
        ({"virus": "rm -rf"}, "no entry 'virus'"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(model, tmp_path, change, says):
    path = tmp_path / "odd.safetensors"
    save_file(model.network.state_dict(), path, metadata=header(json.loads(json.dumps(CARD.as_dict())) | change))
    with pytest.raises(CheckpointError, match=says) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a whole safetensors file"),
        (b"hello", "not a whole safetensors file"),
        (struct.pack("<Q", 2**62) + b"{}", "not a whole safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "carries no model card"),
        (pickle.dumps({"a": 1}), "not a whole safetensors file"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, says):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        load(path)


def test_a_truncated_file_and_missing_or_surplus_weights(model, path, tmp_path):
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(path)
    weights = model.network.state_dict()
    missing = {name: value for name, value in weights.items() if name != "classifier.0.weight"}
    save_file(missing, tmp_path / "less.safetensors", metadata=header(CARD.as_dict()))
    with pytest.raises(CheckpointError, match=r"lacks classifier.0.weight"):
        load(tmp_path / "less.safetensors")
    save_file(weights | {"extra": torch.zeros(1)}, tmp_path / "more.safetensors", metadata=header(CARD.as_dict()))
    with pytest.raises(CheckpointError, match="unknown to the network, extra"):
        load(tmp_path / "more.safetensors")


def test_names_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("INSPECT_FER_HOME", str(tmp_path))
    with pytest.raises(UnknownNameError, match="No published checkpoint is called 'resnet1999'"):
        load("resnet1999")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load(tmp_path / "nowhere.safetensors")


def test_the_users_home_comes_first(model, tmp_path, monkeypatch):
    monkeypatch.setenv("INSPECT_FER_HOME", str(tmp_path))
    save(model, tmp_path / "checkpoints" / "mine.safetensors")
    assert load("mine").card == CARD
    assert checkpoint_paths()["mine"] == tmp_path / "checkpoints" / "mine.safetensors"


def test_a_foreign_state_dict_needs_a_card(model, tmp_path):
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in model.network.state_dict().items()}},
        tmp_path / "net.pth",
    )
    images = torch.randn(1, 1, 16, 16)
    assert torch.equal(load(tmp_path / "net.pth", card=CARD).network(images), model.network(images))
    with pytest.raises(CheckpointError, match="holds weights alone"):
        load(tmp_path / "net.pth")


class Bomb:
    fired = False

    def __reduce__(self):
        return (setattr, (Bomb, "fired", True))


def test_nothing_is_ever_unpickled(model, tmp_path):
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    torch.save(model.network, tmp_path / "whole.pt")
    for name in ("bomb.pt", "bomb.pth", "whole.pt"):
        with pytest.raises(CheckpointError, match="not a state dict that loads without running code"):
            load(tmp_path / name, card=CARD)
    assert not Bomb.fired
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="Nothing of it was run") as caught:
        load(tmp_path / "empty.pth", card=CARD)
    assert "weights_only" not in str(caught.value)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="something other than a state dict"):
        load(tmp_path / "list.pt", card=CARD)


def test_a_given_card_serves_a_file_without_one(model, tmp_path):
    save_file(model.network.state_dict(), tmp_path / "bare.safetensors")
    with pytest.raises(CheckpointError, match="carries no model card"):
        load(tmp_path / "bare.safetensors")
    assert load(tmp_path / "bare.safetensors", card=CARD).card == CARD


def test_what_could_not_be_loaded_again_is_not_written(model, tmp_path):
    own = Classifier(model.network, replace(CARD, architecture="MyNetwork"))
    with pytest.raises(CheckpointError, match="MyNetwork could not be loaded again"):
        save(own, tmp_path / "own.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(model, tmp_path / "file" / "net.safetensors")


def test_a_full_or_forbidden_place_keeps_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(model, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
