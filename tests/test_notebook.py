"""What notebooks show: static HTML of every object, whatever is in it."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from inspect_fer.errors import DataError
from inspect_fer.explain import explain
from inspect_fer.metrics import evaluate
from inspect_fer.predict import predict
from inspect_fer.render import map_sheet
from inspect_fer.runs import open_run, save_run
from inspect_fer.schema import Samples


@pytest.fixture
def faces(tiny_model, generator):
    names, size = tiny_model.card.class_names, (6, *tiny_model.card.input_size)
    pixels = torch.randint(256, size, generator=generator, dtype=torch.uint8)
    return Samples(tuple("abcdef"), pixels, torch.arange(6) % len(names), names)


class Page(HTMLParser):
    """Words, pictures and the tags left open."""

    def __init__(self, html):
        super().__init__()
        self.words, self.pictures, self.open = "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += f" {data}"


def shown(thing):
    html = thing._repr_html_()
    page = Page(html)
    assert not page.open
    assert "http" not in html
    assert "<script" not in html
    for picture in page.pictures:
        assert picture["src"].startswith("data:image/")
        assert picture["alt"]
    return page


def test_faces_are_drawn_under_their_counts(faces):
    page = shown(faces)
    assert f"{len(faces)} faces" in page.words
    assert len(page.pictures) == 1
    for name, count in faces.counts().items():
        assert f"{name} {count}" in page.words


def test_a_network_shows_its_card_and_its_layers(tiny_model):
    page = shown(tiny_model)
    count = sum(weight.numel() for weight in tiny_model.network.parameters())
    assert f"{count:,} parameters" in page.words
    assert all(name in page.words for name in tiny_model.card.class_names)
    assert len(page.pictures) == 1


def test_answers_show_scores_or_what_was_predicted(tiny_model, faces):
    answer = predict(tiny_model, faces)
    page = shown(answer)
    assert f"accuracy {100 * evaluate(answer)['accuracy']:.2f} %" in page.words
    unlabelled = shown(replace(answer, labels=torch.full_like(answer.labels, -1)))
    assert "no labels" in unlabelled.words
    assert len(page.pictures) == len(unlabelled.pictures) == 1


@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam", "occlusion"])
def test_maps_are_drawn_with_what_is_to_be_said_of_them(tiny_model, faces, method):
    why = explain(tiny_model, faces, method, targets="all")
    page = shown(why)
    assert f"{len(faces)} faces x 5 targets" in page.words
    assert len(page.pictures) == 1
    broken = shown(replace(why, maps=torch.full_like(why.maps, torch.nan)))
    assert f"not finite {why.targets.numel()} maps" in " ".join(broken.words.split())


def test_a_sheet_of_maps_has_a_row_a_face_and_a_column_a_target(tiny_model, faces):
    why = explain(tiny_model, faces, "grad-cam", targets="all")
    one, two = (map_sheet(why, limit=limit) for limit in (1, 2))
    assert one.width == two.width
    assert two.height > one.height + 90
    assert map_sheet(why.of([])).width > 0


def test_a_run_shows_its_folder_scores_and_maps(tiny_model, faces, tmp_path):
    why = explain(tiny_model, faces, ["grad-cam", "fem"], targets="predicted")
    save_run(tmp_path / "run <1>", tiny_model, faces, predict(tiny_model, faces), why)
    page = shown(open_run(tmp_path / "run <1>"))
    assert "run <1>" in page.words
    assert "grad-cam" in page.words
    assert "fem" in page.words
    assert len(page.pictures) == 1


def test_nothing_is_shown_as_nothing(faces):
    assert "0 faces" in shown(faces[:0]).words


def test_what_cannot_be_read_is_told(faces):
    class Gone:
        shape = faces.pixels.shape

        def __getitem__(self, rows):
            raise DataError("The file <x> is gone.")

        def select(self, rows):
            return self

    gone = Samples(faces.ids, Gone(), faces.labels, faces.class_names)
    assert "The file <x> is gone." in shown(gone).words
