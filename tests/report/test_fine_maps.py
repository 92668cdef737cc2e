"""Maps as fine as the image: every picture is the same whether one pixel lies at the 99th percentile or far beyond."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from inspect_fer.render import SCALES, report_figures
from inspect_fer.report import FIGURES, Report, compare_page, figures, write_report
from inspect_fer.report.compare import compare

NOTE = "full colour at the 99th percentile"


@pytest.fixture
def fine(made_up):
    """Make up a run of a method whose maps speak for a class on the left, against it on the right, and once loudly."""

    def made(outlier, *, methods=("lrp",)):
        run, faces = made_up(methods=methods)
        maps = torch.full((30, 7, 48, 48), 0.5)
        maps[..., 24:] = -0.5
        maps[..., 7, 7] = outlier
        return replace(
            run, explanations={**run.explanations, "lrp": replace(run.explanations["lrp"], maps=maps)}
        ), faces

    return made


@pytest.mark.parametrize("scale", SCALES)
def test_pictures_of_pages(fine, report, tmp_path, scale):
    found = []
    for outlier in (0.5, 100):
        report(*fine(outlier), scale=scale, out=tmp_path / str(outlier))
        folder = tmp_path / str(outlier) / "report" / "pictures"
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert {"0-maps.webp", "mean-0-maps.webp"} <= set(found[0])
    assert found[0] == found[1]
    with Image.open(tmp_path / "100" / "report" / "pictures" / "0-maps.webp") as strip:
        assert np.asarray(strip.convert("RGBA"))[..., 3].min() == 255


@pytest.mark.parametrize("name", FIGURES)
def test_figures(fine, name):
    mild, wild = (FIGURES[name](Report(*fine(outlier))) for outlier in (0.5, 100))
    if isinstance(mild, Image.Image):
        np.testing.assert_array_equal(np.asarray(mild), np.asarray(wild))


def test_shares_of_the_evidence_are_those_of_whole_maps(fine):
    """24 x 48 pixels of 0.5 speak for it, one of them with 100 instead; it lies in the upper left ninth of 256."""
    means = Report(*fine(100)).means
    words, share = means.places["lrp"][0]
    assert words == "upper left"
    assert share == pytest.approx((255 * 0.5 + 100) / (1151 * 0.5 + 100))


@pytest.mark.parametrize(("methods", "whose"), [(("lrp",), ""), (("grad-cam", "lrp", "occlusion"), " for lrp")])
def test_every_legend_says_so(fine, tmp_path, methods, whose):
    write_report(*fine(100, methods=methods))
    pages = list(tmp_path.rglob("*.html"))
    for path in pages:
        html = path.read_text(encoding="utf-8")
        scales = re.findall(r"(?:on its own scale|on one scale)[^.<]*", html)
        assert scales
        assert all(words.endswith(f", {NOTE}{whose}") for words in scales), path
    assert len(pages) > 7


def test_coarse_maps_keep_their_peak_and_say_nothing(made_up, report, tmp_path):
    report(*made_up())
    assert not any(NOTE in path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html"))


@pytest.mark.parametrize("name", ["mistakes", "uncertain"])
def test_titles_of_sheets_say_so(fine, made_up, monkeypatch, name):
    monkeypatch.setattr(figures, "sheet", lambda _, title: title)
    assert FIGURES[name](Report(*fine(100))).endswith(f": lrp, {NOTE}")
    assert FIGURES[name](Report(*made_up())).endswith(": grad-cam")


def test_the_title_of_class_means_says_so(fine, monkeypatch):
    monkeypatch.setattr(report_figures, "sheet", lambda _, title, **__: title)
    found = FIGURES["class-means"](Report(*fine(100, methods=("grad-cam", "lrp"))))
    assert found == f"Class means, each map on its own scale, {NOTE} for lrp"


@pytest.mark.parametrize("outlier", [0.5, 100])
def test_comparisons(fine, monkeypatch, outlier):
    run, faces = fine(outlier)
    other = replace(
        run, folder=run.folder / "other", prediction=replace(run.prediction, logits=run.prediction.logits.roll(1, 1))
    )
    monkeypatch.setattr(compare_page, "faces_of", lambda _: faces)
    html = compare_page.page_text(compare([run, other]), "")
    scales = re.findall(r"each map on its own scale[^.<]*", html)
    assert scales
    assert all(words.endswith(f", {NOTE}") for words in scales)
    views = [
        compare_page.Album([one], faces.ids[:1]).view(0, "lrp", faces.ids[0], "anger", "")
        for one in (run, fine(0.5)[0])
    ]
    assert views[0].uri == views[1].uri
