import csv
import re
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import inspect_fer as fer
from inspect_fer import scoring
from inspect_fer.models import build
from inspect_fer.models.checkpoint import load, save
from inspect_fer.schema import Classifier, ModelCard, Prediction
from inspect_fer.scoring import emotions, pictures_in, score_files

NAMES = ("surprise", "fear", "sad, or not")


def write_net(path, *, size=24, **card):
    card = ModelCard("baseline", NAMES, (1, size, size), (0.5,), (0.25,), "blocks.3.relu", {"width": 2}, **card)
    save(Classifier(build("baseline", classes=3, size=size, options={"width": 2}), card), path)


@pytest.fixture
def net(folder):
    write_net(folder / "net.safetensors")
    return "net.safetensors"


@pytest.fixture
def pictures(folder):
    """Seven pictures, two of them in a folder below, and things that are no pictures."""
    noise = np.random.default_rng(0)
    for name in ("a.png", 'b "x", y.png', "c.JPG", "d.png", "e.bmp", "below/f.png", "below/deeper/ü.png"):
        path = folder / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (30, 24), dtype=np.uint8)).save(path)
    (folder / "faces" / "notes.txt").write_text("no picture")
    (folder / "faces" / ".hidden.png").write_text("not looked at")
    (folder / "faces" / "folder.png").mkdir()
    return folder / "faces"


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_row_a_picture_and_a_column_a_class_in_the_networks_order(call, net, pictures, folder):
    code, out, err = call(f"score faces --out scores.csv --model {net}")
    assert (code, err.strip()) == (0, "")
    assert "7 pictures, 3 classes, network net: scores.csv" in out
    head, *rows = rows_of(folder / "scores.csv")
    assert head == ["file", *NAMES]
    assert [row[0] for row in rows] == [
        "a.png",
        'b "x", y.png',
        "below/deeper/ü.png",
        "below/f.png",
        "c.JPG",
        "d.png",
        "e.bmp",
    ]
    model = load(net)
    for name, *chances in rows:
        pixels = fer.images.read_image(pictures / name, size=24, channels=1)
        expected = model.network(model.normalise(pixels[None])).softmax(1)[0]
        torch.testing.assert_close(torch.tensor([float(chance) for chance in chances]), expected.detach())


def test_in_full_means_every_digit(net, pictures):
    found = score_files(load(net), pictures, pictures_in(pictures))
    written = found.table().to_csv(index=False)
    read = [[float(value) for value in row[1:]] for row in list(csv.reader(written.splitlines()))[1:]]
    assert torch.equal(torch.tensor(read), found.prediction.probabilities)


def test_rounded_and_not_recursive(call, net, pictures, folder):
    assert call(f"score faces --out new/scores.csv --model {net} --round 2 --no-recursive")[0] == 0
    _, *rows = rows_of(folder / "new" / "scores.csv")
    assert [row[0] for row in rows] == ["a.png", 'b "x", y.png', "c.JPG", "d.png", "e.bmp"]
    assert all(re.fullmatch(r"[01]\.\d\d", value) for row in rows for value in row[1:])


def test_sets_of_emotions_for_networks_trained_on_votes(call, folder, pictures):
    write_net(folder / "votes.safetensors", output="sigmoid", threshold=0.5)
    assert call("score faces --out scores.csv --model votes.safetensors")[0] == 0
    head, *rows = rows_of(folder / "scores.csv")
    assert head == ["file", *NAMES, "emotions"]
    for _, *chances, found in rows:
        above = [name for name, chance in zip(NAMES, chances, strict=True) if float(chance) > 0.5]
        best = NAMES[max(range(3), key=lambda k: float(chances[k]))]
        assert found == ";".join(above or [best])


def test_an_empty_set_becomes_the_most_probable_emotion():
    logits = torch.tensor([[2.0, -1.0, 3.0], [-3.0, -1.0, -2.0], [0.0, -1.0, -1.0]])
    prediction = Prediction(("a", "b", "c"), logits, torch.full((3,), -1), ("x", "y", "z"), "sigmoid", 0.5)
    assert emotions(prediction) == [("x", "z"), ("y",), ("x",)]  # exactly at the threshold is not above it


def test_unreadable_pictures_are_told_at_the_end_and_the_rest_goes_on(call, net, pictures, folder, monkeypatch):
    monkeypatch.setattr(scoring, "BATCH", 2)
    (pictures / "a.png").write_bytes(b"not a picture")
    (pictures / "d.png").write_bytes((pictures / "d.png").read_bytes()[:200])
    code, out, err = call(f"score faces --out scores.csv --model {net}")
    assert code == 0
    assert "5 pictures" in out
    first, second, last = err.strip().splitlines()
    assert first == "left out: faces/a.png cannot be read as a picture: it is none, or it is cut short."
    assert second.startswith("left out: faces/d.png cannot be read")
    assert last == "2 of 7 pictures could not be scored."
    assert len(rows_of(folder / "scores.csv")) == 6


def test_batches_and_threads_change_nothing(net, pictures, monkeypatch):
    paths = pictures_in(pictures)
    whole = score_files(load(net), pictures, paths)
    ticks = []
    monkeypatch.setattr(scoring, "BATCH", 2)
    slow = {paths[0]: 0.1}
    read = scoring.read_image
    monkeypatch.setattr(
        scoring, "read_image", lambda path, **options: time.sleep(slow.get(path, 0)) or read(path, **options)
    )
    parts = score_files(load(net), pictures, paths, tick=lambda done, total: ticks.append((done, total)))
    assert parts.prediction.ids == whole.prediction.ids
    torch.testing.assert_close(parts.prediction.logits, whole.prediction.logits)
    assert ticks == [(2, 7), (4, 7), (6, 7), (7, 7)]


def test_no_more_is_read_than_a_few_batches_ahead(monkeypatch, tmp_path):
    monkeypatch.setattr(scoring, "BATCH", 2)
    asked = []
    batches = scoring._read_ahead(asked.append, [tmp_path / str(n) for n in range(100)], threads=2)
    assert next(batches)[0] == 0
    time.sleep(0.05)
    assert len(asked) == 2 * (scoring.AHEAD + 1)


def test_the_face_is_found_first(call, net, folder, monkeypatch):
    """A picture without a face is left out; where there is one, its box is what the network sees."""
    boxes = {10: (2, 3, 20, 20)}
    monkeypatch.setattr("inspect_fer.faces.find_face", lambda pixels: boxes.get(int(pixels[0, 0, 0])))
    for name, corner in (("face", 10), ("wall", 20)):
        grey = np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)
        grey[0, 0] = corner
        (folder / "in").mkdir(exist_ok=True)
        Image.fromarray(grey).save(folder / "in" / f"{name}.png")
    code, _, err = call(f"score in --out scores.csv --model {net} --crop")
    assert code == 0
    assert "No upright, frontal face was found in in/wall.png" in err
    (_, (name, *chances)), model = rows_of(folder / "scores.csv"), load(net)
    cut = fer.images.fit(torch.from_numpy(grey[3:23, 2:22].copy())[None, None], size=24, channels=1)
    expected = model.network(model.normalise(cut)).softmax(1)[0].detach()
    torch.testing.assert_close(torch.tensor([float(chance) for chance in chances]), expected)
    assert name == "face.png"


def test_an_answer_that_is_no_number_is_left_out(net, pictures):
    model = load(net)
    next(model.network.parameters()).data[:] = torch.nan
    found = score_files(model, pictures, pictures_in(pictures))
    assert len(found.prediction) == len(found.table()) == 0
    assert "is not a number" in found.left_out["a.png"]


def test_nothing_is_replaced_unless_asked(call, net, pictures, folder):
    (folder / "scores.csv").write_text("mine")
    code, out, err = call(f"score faces --out scores.csv --model {net}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--force" in err
    assert (folder / "scores.csv").read_text() == "mine"
    assert call(f"score faces --out scores.csv --model {net} --force")[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["faces", "net.safetensors", "scores.csv"]


def test_a_place_that_cannot_be_written_is_told_before_the_work(call, net, pictures, monkeypatch):
    monkeypatch.setattr("inspect_fer.scoring.score_files", lambda *_, **__: pytest.fail("worked for nothing"))
    code, _, err = call(f"score {pictures.name} --out /proc/s3.csv --model {net}")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("inspect-fer: /proc/s3.csv: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("score nowhere --out s.csv", "nowhere is not a folder"),
        ("score empty --out s.csv", "no picture in or below empty"),
        ("score bad --out s.csv", "None of the 1 pictures of bad could be read"),
        ("score faces --out faces", "faces is there already"),
        ("score faces --out net.safetensors/s.csv", "Name a place that can be written"),
        ("score faces --out /proc/s3.csv", "inspect-fer: /proc/s3.csv: "),
        ("score faces --out s.csv --model basline", "Did you mean"),
        ("score faces --out s.csv --model wide.safetensors", "takes 24 x 48"),
        ("score faces --out s.csv --round 99", "--round"),
    ],
)
def test_mistakes_are_one_line(call, net, pictures, folder, line, words):
    (folder / "empty").mkdir()
    (folder / "bad").mkdir()
    (folder / "bad" / "x.png").write_text("no picture")
    if "wide" in line:
        model = load(net)
        wide = replace(model, card=replace(model.card, input_size=(1, 24, 48)))
        save(wide, folder / "wide.safetensors")
    code, out, err = call(f"{line}{'' if '--model' in line else f' --model {net}'}")
    assert (code, out) == (2, "")
    assert words in err
    assert not (folder / "s.csv").exists()
    if "99" not in line:
        assert len(err.strip().splitlines()) == 1
