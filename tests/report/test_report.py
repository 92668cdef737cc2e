import re
from dataclasses import replace

import pytest
import torch

from inspect_fer.errors import DataError, UnknownNameError
from inspect_fer.report import gallery, page, write_report

HOSTILE = "\"><script>alert('x')</script>"


def words_of(folder):
    """The words of all pages by path."""
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def maps_in(html):
    """The maps on the cards of a page."""
    return re.findall(r'<figure><div class="tile"><img class="map"[^>]*>', html)


def test_pages_need_nothing_from_outside_and_every_link_leads_somewhere(tmp_path, made_up, learnt, told, layers):
    run, faces = made_up()
    path = write_report(told(learnt(run), layers=layers), faces)
    assert path == tmp_path / "index.html"
    assert {file.name for file in tmp_path.iterdir()} == {"index.html", "report"}
    found = words_of(tmp_path)
    assert len(found) == 1 + 7 + 14  # classes; right and wrong answers of each
    for place, html in found.items():
        assert not re.search(r"https?://|@import|<iframe|//cdn", html)
        assert "default-src 'none'" in html
        targets = re.findall(r'(?:src|href)="([^"]+)"', html) + re.findall(r"url\(([^)]+)\)", html)
        for target in targets:
            file, _, anchor = target.partition("#")
            assert file.startswith("data:image/") or (place.parent / file).resolve().exists(), target
            assert not anchor or f'id="{anchor}"' in html, target
    style = (tmp_path / "report" / "style.css").read_text()
    assert "url(" not in style
    assert "{{" not in style


def test_every_page_is_reached_from_the_first_one_and_leads_back(tmp_path, made_up, report):
    report(*made_up())
    found = words_of(tmp_path)
    reached, waiting = set(), [tmp_path / "index.html"]
    while waiting:
        place = waiting.pop()
        reached.add(place)
        links = (place.parent / link for link in re.findall(r'href="([^"#]+\.html)', found[place]))
        waiting += [link.resolve() for link in links if link.resolve() not in reached]
        if place.name != "index.html":
            assert 'href="../index.html"' in found[place]
    assert reached == set(found)


def test_it_says_what_was_run_and_how_well(tmp_path, made_up, learnt, report):
    run, faces = made_up()
    faces = replace(faces, dropped={"blank picture": 4})
    html = report(learnt(run), faces)
    for words in (
        "resnet18 on synthetic",
        "66.7 %",
        "Always anger",
        "95 % interval",
        "inspect-fer run --model resnet18",
        f"inspect-fer report {tmp_path}",
        "train.epochs",
        "<dt>Wrong</dt><dd>0.1</dd>",
        "<dt>Read from</dt><dd>synthetic:30</dd>",
        "Labels of the split test",
        "4 rows of the source left out: blank picture",
        "Training",
        "Calibration",
    ):
        assert words in html, words
    assert "{&#39;" not in html  # no dictionary is shown as Python writes it
    assert "None" not in html


def test_it_says_which_network(made_up, told, report):
    run, faces = made_up(n=7)
    model = {"origin": "/nets/mine.safetensors", "sha256": "0123456789abcdef" * 4, "parameters": 9}
    html = report(told(run, model=model), faces)
    assert "<h1>mine on synthetic</h1>" in html
    assert "<dt>SHA-256 of the weights</dt><dd>0123456789ab…</dd>" in html
    assert "<dt>Architecture</dt><dd>resnet18</dd>" in html


def test_a_share_is_written_one_way_everywhere(tmp_path, made_up, report):
    run, faces = made_up()
    html = report(run, faces)
    row = run.metrics["per_class"]["fear"]
    percents = [f"{100 * row[name]:.1f} %" for name in ("precision", "recall", "f1")]
    one = (tmp_path / "report" / "class-2.html").read_text()
    table = html[html.index('id="classes"') :]
    line = re.findall(r"<td>(?:<b>)?([^<]*)", table[table.index(">fear<") :])[:3]
    assert line == percents
    assert all(f"<dd>{value}</dd>" in one for value in percents)
    scores = html[html.index('id="scores"') : html.index('id="confusion"')]
    assert set(re.findall(r"<b>([^<]*)</b>", scores)) >= {"66.7 %", f"{run.metrics['ece']:.3f}"}
    assert len(re.findall(r"<b>[\d.]+ %</b>", scores)) == 7


def test_what_is_taken_for_a_class_stands_in_falling_order(tmp_path, made_up, report):
    run, faces = made_up(n=70)
    answers = torch.tensor([0] * 2 + [0] * 5 + [0] * 3 + [1] * 60)
    labels = torch.tensor([1] * 2 + [2] * 5 + [3] * 3 + [1] * 60)
    logits = torch.nn.functional.one_hot(answers, 7) * 9.0
    report(replace(run, prediction=replace(run.prediction, logits=logits, labels=labels), metrics={}), faces)
    page = (tmp_path / "report" / "class-0.html").read_text()
    table = page[page.index("Answered anger, given") :]
    counts = re.findall(r"<td>(\d+)</td>", table[: table.index("</table>")])
    assert counts == ["5", "3", "2"]


def test_mean_maps_say_of_how_many_faces_and_galleries_under_which_map(made_up, report):
    run, faces = made_up()
    html = report(run, faces)
    counts = run.prediction.predicted.bincount().tolist()
    shown = re.findall(r"n = (\d+)", html[html.index('id="means"') :])
    assert shown == [str(count) for count in counts] * 2
    assert html.count("Under the grad-cam map for the answer.") == 2


def test_a_larger_limit_is_advised_where_faces_were_left_out_alone(made_up, report):
    run, faces = made_up()
    assert "with a larger" not in report(run, faces)
    assert "with a larger" in report(run, faces, limit=10)


def test_names_are_escaped_on_every_page(tmp_path, made_up, learnt, told, layers, report):
    names = (HOSTILE, "$x_{$", "_fear")
    run, faces = made_up(names=names, methods=(HOSTILE,), prefix=HOSTILE, output="sigmoid")
    run.manifest["dataset"]["spec"] = run.manifest["command"] = HOSTILE
    strange = [{**row, "name": HOSTILE, "kind": HOSTILE} for row in layers]
    hostile = told(learnt(run, [{"epoch": 1, "loss": 1.0, HOSTILE: HOSTILE}]), layers=strange)
    hostile = told(hostile, unreadable={HOSTILE: HOSTILE})
    report(hostile, replace(faces, dropped={HOSTILE: 1}, votes=torch.full((30, 3), 1 / 3)))
    found = words_of(tmp_path)
    assert len(found) == 1 + 3 + 3
    for html in found.values():
        assert "<script>alert" not in html
        assert '"><script>' not in html


def test_every_picture_has_words_and_every_chart_a_table(made_up, learnt, report):
    run, faces = made_up()
    html = report(learnt(run), faces)
    pictures = re.findall(r"<img [^>]*>", html)
    assert pictures
    assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)
    assert html.count('role="img" aria-label="Face ') == 30
    charts = re.findall(r'<img class="plate"[^>]*>', html)
    assert len(charts) == 5  # three curves, loss and accuracy
    assert all("table below" in chart for chart in charts)
    assert html.count("<details><summary>As a table") == 5  # the training's two share one, mean maps have one


def test_every_figure_says_the_command_that_makes_it_again(tmp_path, made_up, learnt, told, layers, report):
    run, faces = made_up()
    html = report(told(learnt(run), layers=layers), faces, limit=20, scale="own", out=tmp_path / "else")
    command = f"inspect-fer report {tmp_path} --limit 20 --scale own --out {tmp_path / 'else'} --format "
    found = dict(re.findall(re.escape(command) + r"(svg|png) --figure ([\w-]+)</code>", html))
    made = {kind: set(re.findall(re.escape(command) + rf"{kind} --figure ([\w-]+)</code>", html)) for kind in found}
    charts = {"roc", "precision-recall", "reliability", "training", "network", "labels", "scores", "confusion-by-row"}
    assert charts <= made["svg"]
    assert made["png"] == {"class-means", "mistakes", "uncertain", "random"}
    assert made["svg"] | made["png"] <= set(page.FIGURES)


def test_cards_show_maps_of_the_predicted_and_of_the_given_class(made_up, report):
    html = report(*made_up())
    assert len(maps_in(html)) == 2 * (10 * 2 + 20)  # two methods; wrong faces have two maps, right ones one


def test_class_and_cell_pages_hold_their_faces(tmp_path, made_up, report):
    report(*made_up())
    folder = tmp_path / "report"
    cell = (folder / "cell-0-1.html").read_text()
    assert "anger answered disgust" in cell
    assert cell.count("<article") == cell.count('data-given="anger" data-predicted="disgust"') == 2  # faces 0 and 21
    one = (folder / "class-0.html").read_text()
    shown = set(re.findall(r'data-given="(\w+)" data-predicted="(\w+)"', one))
    assert shown == {("anger", "anger"), ("anger", "disgust"), ("neutral", "anger")}
    assert "Area below ROC" in one
    assert "95 %" in one


def test_remarks_on_health_and_planted_truth(made_up, report):
    run, faces = made_up(n=8, methods=("grad-cam",))
    run.explanations["grad-cam"].maps[:] = -1
    run.explanations["grad-cam"].maps[:, :, 0, 0] = -2
    truth = faces.labels.clone()
    truth[1] = 5
    html = report(run, replace(faces, truth={"label": truth}))
    assert "no positive evidence" in html
    assert html.count("planted wrong label: drawn as surprise") == 1


def test_votes_stand_on_the_cards(made_up, report):
    run, faces = made_up(n=7)
    votes = torch.zeros(7, 7)
    votes[:, 2], votes[:, 4] = 0.7, 0.3
    html = report(run, replace(faces, votes=votes))
    assert html.count("votes: fear 70 %, sadness 30 %") == 7
    assert html.count('<u style="left:70.0%">') == 7


def test_a_run_without_maps_and_without_training(made_up, report):
    html = report(*made_up(methods=()))
    assert 'name="method"' not in html
    assert 'id="training"' not in html
    assert 'id="means"' not in html
    assert "svg viewBox" not in html
    assert 'id="faces"' in html


def test_a_run_without_labels(tmp_path, made_up, report):
    run, faces = made_up()
    prediction = replace(run.prediction, labels=torch.full((30,), -1))
    html = report(replace(run, prediction=prediction, metrics={}), replace(faces, labels=prediction.labels))
    assert "there are no scores" in html
    assert "Faces without a label" in html
    assert 'id="confusion"' not in html
    assert not list((tmp_path / "report").glob("cell-*"))


def test_a_run_of_no_faces_and_no_manifest(made_up, report):
    run, faces = made_up(n=0)
    assert "0 of 0 faces" in report(replace(run, manifest={}), faces)


def test_maps_of_some_faces_and_of_one_class_only(made_up, report):
    run, faces = made_up(n=12, methods=("grad-cam",))
    part = run.explanations["grad-cam"].of([3, 4])
    part = replace(part, maps=part.maps[:, :1], targets=torch.full((2, 1), 6))
    html = report(replace(run, explanations={"grad-cam": part}), faces)
    assert len([one for one in maps_in(html) if "grad-cam map: neutral (explained)" in one]) == 2


def test_a_method_that_knows_no_class_says_so(made_up, report):
    run, faces = made_up(n=4, methods=("eigen-cam",))
    free = replace(run.explanations["eigen-cam"], class_free=True)
    html = report(replace(run, explanations={"eigen-cam": free}), faces)
    assert len([one for one in maps_in(html) if "eigen-cam map: all classes" in one]) == 4


def test_sets_have_scores_and_a_grid_a_class(made_up, report):
    run, faces = made_up(output="sigmoid", threshold=0.3)
    html = report(run, faces)
    assert "Exact set" in html
    assert html.count('<table class="set">') == 7
    (_, _), (_, found) = run.metrics["sets"]["matrices"]["fear"]
    grid = html[html.index("<caption>fear</caption>") :]
    assert re.findall(r">(\d+)</td>", grid)[3] == str(found)


def test_the_layer_table_and_the_drawing(made_up, told, layers, report):
    run, faces = made_up()
    card = run.manifest["card"] | {"cam_layer": "blocks.1"}
    html = report(told(run, layers=layers, card=card), faces)
    assert "5 layers as a table" in html
    assert "<td>16 x 24 x 24</td>" in html
    seen = re.findall(r"<td>([^<]*)</td></tr>", html[html.index("A place sees") :])
    assert seen[:5] == ["3 px", "3 px", "7 px", "unknown", "the image"]
    slabs = re.findall(r'<rect class="(\w+)"[^>]*><title>([^<:]+)', html)
    assert slabs == [("slab", "conv"), ("slab", "blocks.0.conv"), ("read", "blocks.1.conv"), ("slab", "fc")]


def test_unreadable_samples_are_listed_with_their_reasons(made_up, told, report):
    run, faces = made_up()
    reasons = {f"broken/{row}": "it is cut short" for row in range(60)}
    html = report(told(run, unreadable=reasons), faces)
    assert "60 samples" in html
    assert html.count("it is cut short") == 50


def test_the_changes_of_the_training_are_shown_where_the_recipe_has_any(tmp_path, made_up, told, report):
    run, faces = made_up()
    assert "As the training changes them" not in report(run, faces)
    card = run.manifest["card"] | {"recipe": {"augment": {"flip": 1.0, "rotate": 20}}}
    assert "As the training changes them" in report(told(run, card=card), faces)
    assert len(list((tmp_path / "report" / "pictures").glob("changed-*.webp"))) == 4 * 5


def test_the_scale_is_said_and_changes_the_maps(tmp_path, made_up, report):
    run, faces = made_up(n=6)
    found, strips = {}, {}
    for scale in ("own", "image", "shared"):
        found[scale] = report(run, faces, scale=scale)
        strips[scale] = b"".join(
            path.read_bytes() for path in sorted((tmp_path / "report" / "pictures").glob("[0-9]*-maps.webp"))
        )
    assert "each map on its own scale" in found["own"]
    assert "all maps on one scale" in found["shared"]
    assert len(set(strips.values())) == 3
    with pytest.raises(UnknownNameError, match="scale"):
        report(run, faces, scale="none")


def test_a_missing_face_is_named(made_up, report):
    run, faces = made_up()
    with pytest.raises(DataError, match="not in this dataset"):
        report(run, faces[:10])


def test_it_can_be_written_elsewhere_and_leaves_no_old_pages(tmp_path, made_up, report):
    run, faces = made_up()
    out = tmp_path / "else" / "where"
    (out / "report").mkdir(parents=True)
    (out / "report" / "mine.html").write_text("kept")
    assert report(run, faces, out=out) == (out / "index.html").read_text()
    before = {path.name for path in (out / "report").rglob("*")}
    report(run, faces, out=out, limit=4)
    after = {path.name for path in (out / "report").rglob("*")}
    assert after < before
    assert "mine.html" in after
    assert not (tmp_path / "index.html").exists()


def test_500_noisy_faces_stay_below_15_megabytes(tmp_path, made_up, learnt):
    """Noise compresses worst: no real face is larger. On disk, too, where a file takes whole blocks of 4 KiB."""
    run, faces = made_up(n=500)
    write_report(learnt(run), faces)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "index.html").read_text().count("<article") == 500
    assert sum(sizes) < 15e6
    assert sum(-(-size // 4096) * 4096 for size in sizes) < 15e6


def test_a_report_stops_at_its_budget_and_says_so(tmp_path, made_up, report, monkeypatch):
    monkeypatch.setattr(page, "BUDGET", 10 * (gallery.CARD_BYTES + 10_000))
    run, faces = made_up()
    html = report(run, faces)
    shown = html.count("<article")
    assert 2 < shown < 30
    assert f"{shown} of 30 faces" in html
    pictures = sum(path.stat().st_size for path in tmp_path.rglob("[0-9]*-maps.webp"))  # faces are drawn at random, too
    assert shown * gallery.CARD_BYTES + len(maps_in(html)) * gallery.VIEW_BYTES + pictures < page.BUDGET


def test_the_line_where_fine_tuning_begins_is_drawn():
    history = [{"epoch": e, "phase": 1.0 + (e > 2), "loss": 1 / (e + 1)} for e in range(5)]
    (whole,), (plain,) = (page._curves(log).values() for log in (history, [line | {"phase": 1.0} for line in history]))
    assert len(whole) > len(plain)
