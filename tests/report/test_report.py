import re
from dataclasses import replace

import pytest
import torch

from inspect_fer.errors import DataError, UnknownNameError
from inspect_fer.metrics import evaluate
from inspect_fer.report import gallery, page, write_report
from inspect_fer.report.gallery import choose, take_turns
from inspect_fer.schema import Explanation, ModelCard, Prediction, Run, Samples

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
HOSTILE = "\"><script>alert('x')</script>"
HISTORY = [{"epoch": e, "loss": 1 / e, "accuracy": 0.1 * e, "select_loss": 2 / e} for e in range(1, 6)]


def made_up(folder, n=30, *, names=NAMES, methods=("grad-cam", "layer-cam"), prefix="face/", size=48, **options):
    """A run and its samples: noise for faces, maps and answers, every third answer wrong."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % len(names)
    logits = torch.randn(n, len(names), generator=generator)
    answers = torch.where(torch.arange(n) % 3 == 0, (labels + 1) % len(names), labels)
    logits[torch.arange(n), answers] += 8
    ids = tuple(f"{prefix}{row}" for row in range(n))
    prediction = Prediction(ids, logits, labels, names, **options)
    targets = torch.arange(len(names)).repeat(n, 1)
    explanations = {
        name: Explanation(
            ids, torch.randn(n, len(names), 6, 6, generator=generator), targets, {"name": name}, "l", (1, size, size)
        )
        for name in methods
    }
    card = ModelCard("resnet18", names, (1, size, size), (0.5,), (0.5,), recipe={"train": {"epochs": 3}}, seed=3)
    manifest = {
        "card": card.as_dict(),
        "dataset": {"spec": "synthetic:30", "split": "test", "options": {"wrong": 0.1}, "counts": {"anger": 30}},
        "command": "inspect-fer run --model resnet18",
    }
    pixels = torch.randint(0, 256, (n, 1, size, size), generator=generator).byte()
    run = Run(folder, manifest, prediction, explanations, evaluate(prediction))
    return run, Samples(ids, pixels, labels, names)


def learnt(run, history=HISTORY):
    """The run with a history in its network's card."""
    return replace(run, manifest=run.manifest | {"card": run.manifest["card"] | {"history": history}})


def report(run, faces, **options):
    return write_report(run, faces, **options).read_text(encoding="utf-8")


def test_one_file_that_needs_nothing_from_outside(tmp_path):
    run, faces = made_up(tmp_path)
    path = write_report(learnt(run), faces)
    html = path.read_text(encoding="utf-8")
    assert path == tmp_path / "index.html"
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
    assert not re.search(r"https?://|@import|<link|<iframe", html)
    assert set(re.findall(r'\ssrc="([^:"]*):', html)) == {"data"}
    assert set(re.findall(r"url\(([^:)]*):", html)) == {"data"}
    assert "default-src 'none'" in html


def test_it_says_what_was_run_and_how_well(tmp_path):
    run, faces = made_up(tmp_path)
    faces = replace(faces, dropped={"blank picture": 4})
    html = report(learnt(run), faces)
    for words in (
        "resnet18 on synthetic",
        "66.7 %",
        "Always anger",
        "inspect-fer run --model resnet18",
        f"inspect-fer report {tmp_path}",
        "train.epochs",
        "Options.wrong",
        "4 rows of the source left out: blank picture",
        "Training",
        "Calibration",
    ):
        assert words in html, words
    assert "{&#39;" not in html  # no dictionary is shown as Python writes it


def test_names_are_escaped(tmp_path):
    run, faces = made_up(tmp_path, names=(HOSTILE, "$x_{$", "fear"), methods=(HOSTILE,), prefix=HOSTILE)
    run.manifest["dataset"]["spec"] = run.manifest["command"] = HOSTILE
    hostile = learnt(run, [{"epoch": 1, "loss": 1.0, HOSTILE: HOSTILE}])
    html = report(hostile, replace(faces, dropped={HOSTILE: 1}))
    assert "<script>alert" not in html
    assert '"><script' not in html


def test_every_picture_has_words(tmp_path):
    run, faces = made_up(tmp_path)
    html = report(learnt(run), faces)
    pictures = re.findall(r"<img [^>]*>", html)
    assert pictures
    assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)
    assert html.count('role="img" aria-label="Face ') == 30


def test_cards_show_maps_of_the_predicted_and_of_the_given_class(tmp_path):
    run, faces = made_up(tmp_path)
    html = report(run, faces)
    assert html.count("<img ") - 1 == 2 * (10 * 2 + 20)  # two methods; wrong faces have two maps, right ones one


def test_remarks_on_health_and_planted_truth(tmp_path):
    run, faces = made_up(tmp_path, n=8, methods=("grad-cam",))
    run.explanations["grad-cam"].maps[:] = -1
    run.explanations["grad-cam"].maps[:, :, 0, 0] = -2
    truth = faces.labels.clone()
    truth[1] = 5
    html = report(run, replace(faces, truth={"label": truth}))
    assert "no positive evidence" in html
    assert html.count("planted wrong label: drawn as surprise") == 1


def test_a_run_without_maps_and_without_training(tmp_path):
    html = report(*made_up(tmp_path, methods=()))
    assert 'name="method"' not in html
    assert 'id="training"' not in html
    assert 'id="faces"' in html


def test_a_run_without_labels(tmp_path):
    run, faces = made_up(tmp_path)
    prediction = replace(run.prediction, labels=torch.full((30,), -1))
    html = report(replace(run, prediction=prediction, metrics={}), replace(faces, labels=prediction.labels))
    assert "there are no scores" in html
    assert "Faces without a label" in html
    assert 'id="confusion"' not in html


def test_a_run_of_no_faces_and_no_manifest(tmp_path):
    run, faces = made_up(tmp_path, n=0)
    assert "0 of 0 faces" in report(replace(run, manifest={}), faces)


def test_maps_of_some_faces_and_of_one_class_only(tmp_path):
    run, faces = made_up(tmp_path, n=12, methods=("grad-cam",))
    part = run.explanations["grad-cam"].of([3, 4])
    part = replace(part, maps=part.maps[:, :1], targets=torch.full((2, 1), 6))
    html = report(replace(run, explanations={"grad-cam": part}), faces)
    assert html.count("grad-cam map: neutral (explained)") == 2


def test_a_method_that_knows_no_class_says_so(tmp_path):
    run, faces = made_up(tmp_path, n=4, methods=("eigen-cam",))
    free = replace(run.explanations["eigen-cam"], class_free=True)
    html = report(replace(run, explanations={"eigen-cam": free}), faces)
    assert html.count("eigen-cam map: all classes") == 4


def test_sets_have_scores_of_their_own(tmp_path):
    assert "Exact set" in report(*made_up(tmp_path, output="sigmoid", threshold=0.3))


def test_the_scale_is_said_and_changes_the_maps(tmp_path):
    run, faces = made_up(tmp_path, n=6)
    pages = {scale: report(run, faces, scale=scale) for scale in ("own", "image", "shared")}
    assert "each map on its own scale" in pages["own"]
    assert "all maps on one scale" in pages["shared"]
    assert len({html[html.index('id="faces"') :] for html in pages.values()}) == 3
    with pytest.raises(UnknownNameError, match="scale"):
        report(run, faces, scale="none")


def test_a_missing_face_is_named(tmp_path):
    run, faces = made_up(tmp_path)
    with pytest.raises(DataError, match="not in this dataset"):
        report(run, faces[:10])


def test_mistakes_come_first_and_take_turns_with_right_answers(tmp_path):
    run, _ = made_up(tmp_path)
    rows = choose(run.prediction, 10)
    assert run.prediction.wrong[rows].tolist() == [True, False] * 5
    mistakes = run.prediction.confidence[rows][::2]
    assert (
        mistakes.tolist() == run.prediction.confidence[run.prediction.wrong].sort(descending=True).values[:5].tolist()
    )
    assert len(set(run.prediction.labels[rows][1::2].tolist())) == 5  # right answers of five classes
    assert sorted(choose(run.prediction, 500)) == list(range(30))


def test_taking_turns():
    assert take_turns([[1, 2, 3], [], [4]]) == [1, 4, 2, 3]


def test_500_noisy_faces_stay_below_15_megabytes(tmp_path):
    """Noise compresses worst: no real face is larger."""
    run, faces = made_up(tmp_path, n=500)
    assert write_report(learnt(run), faces).stat().st_size < 15e6


def test_a_page_stops_at_its_budget_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "BUDGET", 10 * (gallery.CARD_BYTES + 10_000))
    run, faces = made_up(tmp_path)
    html = report(run, faces)
    shown = html.count("<article")
    assert 2 < shown < 30
    assert f"{shown} of 30 faces" in html


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_filters_work_in_a_browser(tmp_path, browser, width):
    run, faces = made_up(tmp_path)
    path = write_report(learnt(run), faces)
    tab = browser.new_page(viewport={"width": width, "height": 900})
    problems, requests = [], []
    tab.on("pageerror", lambda problem: problems.append(str(problem)))
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("request", lambda request: requests.append(request.url[:5]))
    tab.goto(path.as_uri())

    def shown():
        return tab.locator(".face:visible").count()

    assert shown() == 30
    tab.select_option("[name=status]", "wrong")
    assert shown() == 10
    assert tab.locator(".count").inner_text() == "10 of 30 faces"
    tab.select_option("[name=given]", "fear")
    found = shown()
    assert 0 < found == tab.locator('.face.wrong[data-given="fear"]').count()
    tab.select_option("[name=method]", "layer-cam")
    assert tab.locator('.method[data-method="grad-cam"]:visible').count() == 0
    assert tab.locator('.method[data-method="layer-cam"]:visible').count() == found
    tab.locator("[name=to]").fill("1")
    assert shown() == 0
    assert tab.locator(".none").is_visible()
    tab.get_by_role("button", name="Reset").click()
    tab.wait_for_function("document.querySelector('.count').textContent.startsWith('30')")
    tab.locator('.matrix a[data-given="anger"][data-predicted="disgust"]').click()
    tab.wait_for_function("!document.querySelector('.count').textContent.startsWith('30')")
    assert shown() == tab.locator('.face[data-given="anger"][data-predicted="disgust"]').count() > 0
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert problems == []
    assert set(requests) <= {"file:", "data:"}
    tab.close()
