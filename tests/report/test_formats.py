import csv
import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from inspect_fer.errors import ConfigError, UnknownNameError
from inspect_fer.render.report_figures import on_page
from inspect_fer.report import FACELESS, FIGURES, FORMATS, Report, formats
from inspect_fer.report.facts import label_counts

EVERYTHING = {
    *("scores", "confusion", "confusion-by-row", "confusion-by-column", "sets", "roc", "precision-recall"),
    *("reliability", "training", "class-means", "mistakes", "uncertain", "labels", "random", "network"),
}


@pytest.fixture
def whole(made_up, learnt, told, layers):
    """A report of a run that has all there can be, with a class name that is half a formula."""
    names = ("anger", "disgust", "fear", "happiness", "sadness", "_surprise", "$x_{$")
    run, faces = made_up(n=14, output="sigmoid", names=names)
    return Report(told(learnt(run), layers=layers), faces)


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_figure_is_drawn_and_written(whole, tmp_path):
    assert set(FIGURES) == EVERYTHING
    paths = FORMATS["svg"](whole, tmp_path, ())
    assert {path.stem for path in paths} == EVERYTHING
    assert all(path.parent == tmp_path / "figures" for path in paths)
    assert {path.stem for path in paths if path.suffix == ".png"} == {"class-means", "mistakes", "uncertain", "random"}
    (drawn,) = FORMATS["png"](whole, tmp_path, ["roc"])
    with Image.open(drawn) as picture:
        assert min(picture.size) > 500


def test_every_figure_holds_the_command_that_makes_it_again(whole, tmp_path):
    command = f"inspect-fer report {whole.run.folder} --out {tmp_path / 'here'} --format"
    for path in FORMATS["svg"](whole, tmp_path / "here", ["roc", "mistakes"]):
        if path.suffix == ".svg":
            assert f"<dc:description>{command} svg --figure roc</dc:description>" in path.read_text()
        else:
            with Image.open(path) as picture:
                assert picture.info["Description"] == f"{command} svg --figure mistakes"
    (drawn,) = FORMATS["png"](whole, tmp_path / "here", ["roc"])
    with Image.open(drawn) as picture:
        assert picture.info["Description"] == f"{command} png --figure roc"


def test_pages_of_a_pdf_are_of_one_size_and_say_the_command(whole, tmp_path, monkeypatch):
    captions = []
    monkeypatch.setattr(formats, "on_page", lambda page, caption: captions.append(caption) or on_page(page, caption))
    (path,) = FORMATS["pdf"](whole, tmp_path, ["roc", "network", "mistakes"])
    sizes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", path.read_bytes())
    assert len(sizes) == 4
    assert len(set(sizes)) == 1
    again = f"Made with inspect-fer report {whole.run.folder} --format pdf"
    if tmp_path != whole.run.folder:
        again = again.replace(" --format", f" --out {tmp_path} --format")
    assert captions[0] == f"{again} --figure roc --figure network --figure mistakes"
    assert captions[1:] == [f"{again} --figure {name}" for name in ("roc", "network", "mistakes")]


def test_a_pdf_has_a_page_of_words_and_a_page_a_figure(whole, tmp_path):
    (path,) = FORMATS["pdf"](whole, tmp_path, ["roc", "network", "mistakes"])
    assert path == tmp_path / "report.pdf"
    assert path.read_bytes().startswith(b"%PDF")
    assert path.read_bytes().count(b"/Type /Page ") == 4


def test_json_and_csv_agree_with_the_run_and_need_no_faces(whole, tmp_path):
    report = replace(whole, faces=None)
    prediction = report.prediction
    assert set(FACELESS) == {"json", "csv"}
    (path,) = FORMATS["json"](report, tmp_path, ())
    told = json.loads(path.read_text())
    assert told["scores"]["accuracy"] == report.scores["accuracy"]
    assert told["intervals"]["accuracy"] == list(report.intervals["accuracy"])
    assert told["ranking"]["fear"]["auc"] == report.ranking["fear"].auc
    scores, samples, labels = map(table, FORMATS["csv"](report, tmp_path, ()))
    assert {row["label"]: int(row["faces"]) for row in labels} == {**label_counts(prediction), "": 0}
    assert told["labels"]["this run"]["classes"] == label_counts(prediction)
    assert "No option of synthetic is called 'wrong'" in told["uncounted"]  # those of other splits
    assert len(told["samples"]) == len(samples) == len(prediction)
    for row, one in enumerate(samples):
        assert one["id"] == told["samples"][row]["id"] == prediction.ids[row]
        assert one["predicted"] == prediction.class_names[prediction.predicted[row]]
        assert float(one["p_fear"]) == pytest.approx(float(prediction.probabilities[row, 2]))
    found = {(one["score"], one["class"]): one for one in scores}
    assert float(found["Accuracy", ""]["value"]) == report.scores["accuracy"]
    assert float(found["recall", "fear"]["value"]) == report.scores["per_class"]["fear"]["recall"]
    assert float(found["recall", "fear"]["low"]) == report.intervals["per_class"]["fear"]["recall"][0]


def test_without_labels_there_are_rows_and_few_figures(whole, tmp_path):
    prediction = replace(whole.prediction, labels=torch.full((14,), -1))
    report = replace(whole, run=replace(whole.run, prediction=prediction, metrics={}))
    drawn = {path.stem for path in FORMATS["png"](report, tmp_path, ())}
    assert drawn == {"uncertain", "class-means", "labels", "random", "network", "training"}
    scores, samples, labels = map(table, FORMATS["csv"](report, tmp_path, ()))
    assert [row["faces"] for row in labels if row["label"] == ""] == ["14"]
    assert {row["value"] for row in scores} == {"", "0"}
    assert {row["label"] for row in samples} == {""}
    FORMATS["json"](report, tmp_path, ())
    assert "NaN" not in (tmp_path / "report.json").read_text()


def test_what_there_is_not_is_said_in_one_line(whole, tmp_path):
    plain = replace(whole, run=replace(whole.run, explanations={}))
    with pytest.raises(ConfigError, match="nothing to draw for the figure class-means"):
        FORMATS["png"](plain, tmp_path, ["class-means"])
    with pytest.raises(UnknownNameError, match="figure is called 'rok'"):
        FORMATS["png"](plain, tmp_path, ["rok"])
    for form in ("html", "json", "csv"):
        with pytest.raises(ConfigError, match="pdf, png and svg"):
            FORMATS[form](plain, tmp_path, ["roc"])
