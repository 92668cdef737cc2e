"""The label histogram of every split, on the page and in the tables."""

import csv
import json
import re
from dataclasses import replace

import pytest

from inspect_fer.datasets import labelled_as, samples
from inspect_fer.report import FORMATS, Report
from inspect_fer.report.facts import RUN, histograms

SPEC = {"spec": "synthetic:21?wrong_labels=0.4", "split": "test", "options": {"size": 48, "channels": 1}}


def tables_in(html):
    """The histograms of a page: by caption, the numbers of faces by label."""
    place = html[html.index('id="dataset"') : html.index('id="faces"')]
    found = {}
    for table in re.findall(r'<table class="figures bars.*?</table>', place, re.DOTALL):
        caption = re.sub(r"<[^>]+>", " ", re.search(r"<caption>(.*?)</caption>", table)[1]).split()
        rows = re.findall(r'<th scope="row"[^>]*>([^<]*)</th>.*?<td>([^<]*)</td>', table)
        found[" ".join(caption)] = {label: int(count) for label, count in rows}
    return found


@pytest.fixture
def synthetic_run(made_up, told):
    """A run of the first n synthetic faces of a split."""

    def make(n=21, dataset=SPEC):
        run, _ = made_up(n=n, methods=())
        faces = samples(dataset["spec"], dataset["split"])[:n]
        prediction = replace(run.prediction, ids=faces.ids, labels=faces.labels)
        return told(replace(run, prediction=prediction, metrics={}), dataset=dataset), faces

    return make


def test_every_split_stands_on_the_page_and_the_runs_own_is_marked(synthetic_run, report):
    html = report(*synthetic_run())
    assert tables_in(html) == {
        f"{name}{' this run' * (name == 'test')} 21 faces": samples(SPEC["spec"], name).counts()
        for name in ("train", "select", "test")
    }
    assert html.count('<table class="figures bars own">') == 1
    assert "not counted" not in html


def test_a_run_of_a_part_stands_beside_the_whole(synthetic_run, report):
    run, faces = synthetic_run(n=10)
    found = tables_in(report(run, faces))
    assert list(found) == [f"{RUN} 10 faces", "train 21 faces", "select 21 faces", "test split of this run 21 faces"]
    assert found[f"{RUN} 10 faces"] == faces.counts()


def test_bars_are_shares_on_one_scale(synthetic_run, report):
    html = report(*synthetic_run(n=10))
    place = html[html.index('id="labels"') :]
    bars = [float(width) for width in re.findall(r'<i style="width:([\d.]+)%">', place[: place.index("Made with")])]
    shares = [count / 10 for count in samples(SPEC["spec"], "test")[:10].counts().values()]
    for name in ("train", "select", "test"):
        shares += [count / 21 for count in samples(SPEC["spec"], name).counts().values()]
    assert bars == pytest.approx([100 * share / max(shares) for share in shares], abs=0.051)


def test_a_dataset_that_has_gone_leaves_the_runs_own_and_says_why(synthetic_run, report, tmp_path):
    gone = {"spec": f"fer2013:{tmp_path / 'none.csv'}", "split": "PrivateTest", "options": {}}
    run, faces = synthetic_run()
    html = report(replace(run, manifest={**run.manifest, "dataset": gone}), replace(faces, source={}))
    assert tables_in(html) == {"Labels of the split PrivateTest": faces.counts()}
    assert re.search(r"The labels of the other splits are not counted: .*none.csv cannot be read", html)


def test_a_dataset_that_has_moved_is_read_where_it_lies_now(synthetic_run, tmp_path):
    run, faces = synthetic_run()
    moved = replace(run, manifest={**run.manifest, "dataset": SPEC | {"spec": f"fer2013:{tmp_path / 'none.csv'}"}})
    assert list(histograms(Report(moved, faces))) == ["train", "select", "test"]


def test_faces_of_no_dataset_have_no_other_splits(synthetic_run, report):
    run, faces = synthetic_run()
    html = report(replace(run, manifest={**run.manifest, "dataset": {}}), replace(faces, source={}))
    assert tables_in(html) == {"Labels of these faces": faces.counts()}
    assert "not counted" not in html


def test_classes_that_the_network_does_not_know_are_counted_as_unlabelled(synthetic_run, report):
    run, faces = synthetic_run()
    names = ("anger", "fear", "joy")  # joy is happiness
    few = labelled_as(faces, names)
    prediction = replace(run.prediction, labels=few.labels, class_names=names, logits=run.prediction.logits[:, :3])
    found = tables_in(report(replace(run, prediction=prediction), few))
    for name, counts in found.items():
        by_hand = samples(SPEC["spec"], name.split()[0]).counts()
        told = {"anger": by_hand["anger"], "fear": by_hand["fear"], "joy": by_hand["happiness"]}
        assert counts == told | {"no label": 21 - sum(told.values())}
    assert len(found) == 3


def test_tables_hold_every_split(synthetic_run, tmp_path):
    run, _ = synthetic_run()
    FORMATS["json"](Report(run), tmp_path, ())
    FORMATS["csv"](Report(run), tmp_path, ())
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["uncounted"] is None
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in ("train", "select", "test"):
        by_hand = samples(SPEC["spec"], name).counts()
        own = name == "test"
        assert told["labels"][name] == {"classes": by_hand, "unlabelled": 0, "own": own, "total": 21}
        mine = {row["label"]: int(row["faces"]) for row in rows if row["split"] == name}
        assert mine == by_hand | {"": 0}
        assert {row["own"] for row in rows if row["split"] == name} == {str(own)}
