"""Reports of runs that explain some faces only: shown first, said which, and nothing about maps where none is."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest
from PIL import Image

from inspect_fer.report import FORMATS, Report, figures
from inspect_fer.report.material import choose
from inspect_fer.report.shown import left_out, totals_of


@pytest.fixture
def limited(made_up):
    """Sixty faces, of which the given ones are explained."""

    def make(rows=range(20, 40), n=60):
        run, faces = made_up(n=n)
        maps = {name: why.of(list(rows)) for name, why in run.explanations.items()}
        manifest = {**run.manifest, "command": "inspect-fer run --model resnet18 --limit 20"}
        return replace(run, explanations=maps, manifest=manifest), faces

    return make


def test_explained_faces_are_chosen_first(limited):
    chosen = choose(Report(*limited(), limit=30))
    assert sorted(chosen[:20]) == list(range(20, 40))
    assert len(set(chosen)) == 30


def test_the_first_page_says_how_many_faces_are_explained_and_marks_the_others(limited, report):
    html = report(*limited())
    assert "20 of 60 faces are explained; the run's command without <code>--limit</code> explains the rest" in html
    assert html.count('<p class="unexplained">not explained</p>') == 40
    first = [re.search(r'data-explained="1"', card) for card in html.split("<article")[1:]]
    assert any(first[:5])
    assert "over all explained faces that are predicted to be it" in html


def test_a_whole_run_says_nothing_of_it(made_up, report):
    html = report(*made_up())
    assert "explained" not in re.sub(r'data-explained="1"', "", html[: html.index('id="faces"')])
    assert "not explained" not in html


def test_pages_without_a_map_have_no_controls_of_maps(tmp_path, limited, report):
    """Faces 0 and 21 are anger answered disgust; 21 is explained. Of disgust answered fear face 15 is not, 36 is."""
    index = report(*limited(rows=[21]))
    (with_map, without) = ((tmp_path / "report" / f"cell-{cell}.html").read_text() for cell in ("0-1", "1-2"))
    for html, there in ((index, True), (with_map, True), (without, False)):
        for words in ('name="method"', 'name="opacity"', "for the class", "Hold the space bar"):
            assert (words in html) == there, words
    assert "explained ones first" in with_map


def test_thumbs_are_of_explained_faces_and_say_so(limited, report):
    html = report(*limited(rows=range(45)))  # of them 15 wrong
    assert html.count("Among the 45 explained faces, under the grad-cam map for the answer.") == 2
    html = report(*limited(rows=[0, 1, 2]))
    assert "Explained faces first, under the grad-cam map for the answer; 11 are not explained." in html
    html = report(*limited(rows=[1]))  # a right answer
    assert "None of them is explained." in html


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (range(60), "Most certain mistakes: grad-cam"),
        (range(45), "Most certain mistakes among the explained faces: grad-cam"),
        ([0], "Most certain mistakes, explained first: grad-cam"),
        ([1], "Most certain mistakes"),
    ],
)
def test_titles_of_pictures_say_what_lies_over_the_faces(limited, monkeypatch, rows, words):
    titles = []
    monkeypatch.setattr(figures, "sheet", lambda _, title: titles.append(title) or Image.new("RGB", (1, 1)))
    figures.FIGURES["mistakes"](Report(*limited(rows=rows)))
    assert titles == [words]


def test_mean_maps_of_few_faces_and_of_none_are_marked(limited, report):
    run, faces = limited(rows=[1, 2, 8])
    answers = run.prediction.predicted[[1, 2, 8]].bincount(minlength=7).tolist()
    html = report(run, faces)
    means = html[html.index('id="means"') : html.index('id="first"')]
    told = re.findall(r"n = (\d+)(, no map|, few)?", means)
    assert told == [(str(n), ", few" if n else ", no map") for n in answers] * 2
    assert means.count('class="tile rare"') == 14
    assert means.count('<img class="map"') == 2 * sum(n > 0 for n in answers)


def test_the_advice_knows_which_faces_are_left_out(made_up, report):
    run, faces = made_up()
    html = report(run, faces, limit=10)
    told = json.loads(unescape(re.search(r'data-left="([^"]*)"', html).group(1)))
    assert sum(number for *_, number, _, _ in told) == 20
    pairs = {(given, predicted) for _, given, predicted, *_ in told}
    assert ("anger", "anger") in pairs
    assert ("disgust", "disgust") in pairs
    assert not any(status == "wrong" and given == predicted for status, given, predicted, *_ in told)
    assert left_out(Report(run, faces), []) != []


def test_a_report_that_is_full_does_not_advise_a_larger_limit(made_up, report, monkeypatch):
    from inspect_fer.report import page

    monkeypatch.setattr(page, "BUDGET", 150_000)
    html = report(*made_up())
    assert "the report would be too large with them" in html
    assert "with a larger" not in html


def test_a_class_page_says_how_many_of_how_many(tmp_path, made_up, report, monkeypatch):
    from inspect_fer.report import page

    monkeypatch.setattr(page, "RIGHT", 1)
    run, faces = made_up(n=60)
    report(run, faces)
    html = (tmp_path / "report" / "class-1.html").read_text()
    right = totals_of(Report(run, faces), 1)["Right"]
    assert right > 1
    assert f'Right <small>1 of {right}; <a href="cell-1-1.html">{right} on their own page</a>' in html
    assert "all of them" not in html


def test_commands_below_figures_and_tables_make_what_stands_above(made_up, report):
    html = report(*made_up())
    made = set(re.findall(r"--format (\w+) --figure ([\w-]+)", html))
    assert {name for form, name in made if form == "png"} == {"class-means", "mistakes", "uncertain", "random"}
    assert ("svg", "roc") in made
    scores = html[html.index('id="scores"') : html.index('id="confusion"')]
    assert "--format csv</code>" in scores


def test_pictures_are_png_whatever_the_format(limited, tmp_path):
    paths = FORMATS["svg"](Report(*limited()), tmp_path, sorted(figures.PICTURES))
    assert {path.suffix for path in paths} == {".png"}
