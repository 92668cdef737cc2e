import csv
import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

import inspect_fer as fer
from inspect_fer.models import build
from inspect_fer.schema import Classifier, ModelCard

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs of fourteen synthetic faces, made by two small networks."""
    folder = tmp_path_factory.mktemp("runs")
    faces = fer.samples("synthetic:14", size=24)
    card = ModelCard("baseline", NAMES, (1, 24, 24), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        model = Classifier(build("baseline", size=24, options={"width": 2}).eval(), card)
        answer = fer.predict(model, faces)
        answer = replace(answer, logits=answer.logits.roll(seed, 1))  # so that they disagree, whatever was drawn
        fer.save_run(folder / name, model, faces, answer, fer.explain(model, faces, ["grad-cam"], targets="all"))
    return folder


@pytest.fixture
def runs(made, folder):
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def test_tables_on_the_terminal(call, runs):
    code, out, err = call("compare first second")
    assert (code, err) == (0, "")
    for words in (
        "first, second: 14 faces that all have, 14 with a label",
        "Balanced accuracy",
        "always anger",
        "recall of",
        "McNemar p",
        "first and second answer differently on",
        "most certain",
        "grad-cam",
        "Rank correlation",
    ):
        assert words in out, words
    assert sorted(path.name for path in runs.iterdir()) == ["first", "second"]


def test_a_page_is_written_and_says_how_to_make_it_again(call, runs):
    code, out, _ = call("compare first second --out compared.html --limit 2 --seed 3")
    assert code == 0
    assert re.search(r"compared\.html \(\d+(\.\d)? kB\)", out)
    html = (runs / "compared.html").read_text(encoding="utf-8")
    assert "inspect-fer compare first second --out compared.html --limit 2 --seed 3" in html
    assert html.count('class="duel"') == 2 + 2


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_opens_from_disk_with_the_network_off(call, runs, browser, width):
    call("compare first second --out compared.html")
    tab = browser.new_page(viewport={"width": width, "height": 900})
    problems, requests = [], []
    tab.on("pageerror", lambda problem: problems.append(str(problem)))
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("request", lambda request: requests.append(request.url[:5]))
    tab.goto((runs / "compared.html").as_uri())
    assert tab.locator("details img").first.is_visible()
    assert tab.locator(".duel img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert problems == []
    assert set(requests) <= {"file:", "data:"}
    tab.close()


@pytest.mark.browser
def test_three_runs_fit_a_telephone_with_their_chart_and_intervals(call, runs, browser):
    shutil.copytree(runs / "first", runs / "third")
    call("compare first second third --out compared.html")
    tab = browser.new_page(viewport={"width": 420, "height": 900})
    tab.goto((runs / "compared.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for chart in tab.locator("#classes tbody .spans").all():
        assert chart.bounding_box()["width"] > 300
    assert tab.locator("#classes .ends").inner_text().split("\n") == ["0 %", "100 %"]
    for table in ("#scores", "#classes"):
        assert tab.locator(f"{table} .scroll").evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
    tab.close()


def test_one_unit_everywhere(call, runs):
    """Shares are in percent on the terminal as on the page."""
    _, out, _ = call("compare first second --out compared.html")
    html = (runs / "compared.html").read_text(encoding="utf-8")
    tables = html[html.index('id="scores"') : html.index('id="answers"')]
    cells = re.findall(r"<td>(?:<b>)?([^<\s]+)( %)?", tables[: tables.index('id="tests"')])
    assert {unit for number, unit in cells if number != "none"} == {" %", ""}
    assert sum(not unit for _, unit in cells) == 2  # calibration errors are no shares
    accuracy = next(line for line in out.splitlines() if "Accuracy" in line)
    assert accuracy.count(" %") == 3
    assert "0 %" in html


def test_json_and_csv_printed_or_written(call, runs):
    code, out, _ = call("compare first second --format json")
    assert code == 0
    contents = json.loads(out)
    assert set(contents["scores"]) == {"first", "second"}
    code, _, _ = call("compare first second --out compared.csv")
    assert code == 0
    written = (runs / "compared.csv").read_text(encoding="utf-8")
    found = {row["name"]: row["value"] for row in csv.DictReader(written.splitlines()) if row["run"] == "second"}
    assert float(found["Accuracy"]) == contents["scores"]["second"]["accuracy"]
    assert call("compare first second --format csv")[1].strip() == written.strip()
    assert call("compare first second --format json --out compared.txt")[0] == 0
    assert json.loads((runs / "compared.txt").read_text(encoding="utf-8"))["faces"] == 14


def test_json_and_csv_need_no_faces(call, runs):
    """A page shows faces, which have to be there; the tables come from the runs alone."""
    for name in ("first", "second"):
        manifest = json.loads((runs / name / "run.json").read_text())
        manifest["dataset"]["spec"] = "fer2013:gone.csv"
        (runs / name / "run.json").write_text(json.dumps(manifest))
    assert call("compare first second --format json")[0] == 0
    assert call("compare first second")[0] == 0
    code, _, err = call("compare first second --out compared.html")
    assert (code, err.count("\n")) == (2, 1)
    assert "gone.csv" in err
    assert not (runs / "compared.html").exists()


def test_runs_without_maps(call, runs):
    for name in ("first", "second"):
        run = fer.open_run(runs / name)
        model = Classifier(build("baseline", size=24, options={"width": 2}), ModelCard.from_dict(run.manifest["card"]))
        fer.save_run(runs / f"{name}-bare", model, fer.samples("synthetic:14", size=24), run.prediction)
    code, out, _ = call("compare first-bare second-bare --out bare.html")
    assert code == 0
    assert "No method has maps in two of the runs" in out
    assert 'id="maps"' not in (runs / "bare.html").read_text(encoding="utf-8")


def test_nothing_is_replaced_unless_asked(call, runs):
    (runs / "mine.html").write_text("mine")
    code, out, err = call("compare first second --out mine.html")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--force" in err
    assert (runs / "mine.html").read_text() == "mine"
    assert call("compare first second --out mine.html --force")[0] == 0
    assert (runs / "mine.html").read_text() != "mine"


def test_a_place_that_cannot_be_written_is_told_before_any_work(call, runs):
    code, out, err = call("compare first second --out first/run.json/below/compared.json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Name a place that can be written" in err
    assert err.startswith("inspect-fer: first/run.json/below/compared.json: ")
    assert call("compare first second --out new/folder/compared.json")[0] == 0


def test_a_damaged_card_says_of_which_run(call, runs):
    manifest = json.loads((runs / "second" / "run.json").read_text())
    del manifest["card"]["architecture"]
    (runs / "second" / "run.json").write_text(json.dumps(manifest))
    code, out, err = call("compare first second")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "second" in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compare first", "two runs or more"),
        ("compare first first", "each named once"),
        ("compare first nowhere", "nowhere holds no run"),
        ("compare first second --format pdf", "No format is called 'pdf'"),
        ("compare first second --out compared.txt", "compared.txt does not say its format: let it end in .html"),
        ("compare first second --out first", "first is there already. Name another file."),
        ("compare first other", "no sample in common"),
    ],
)
def test_mistakes_are_one_line(call, runs, line, words):
    if "other" in line:
        faces = fer.samples("synthetic:7", split="train", size=24)
        card = ModelCard("baseline", NAMES, (1, 24, 24), (0.5,), (0.25,), "blocks.3.relu", {"width": 2})
        model = Classifier(build("baseline", size=24, options={"width": 2}).eval(), card)
        fer.save_run(runs / "other", model, faces, fer.predict(model, faces))
    code, out, err = call(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
