import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from inspect_fer.errors import DataError, RunError
from inspect_fer.metrics import evaluate
from inspect_fer.report import compare_page
from inspect_fer.report.compare import Asked, compare
from inspect_fer.report.compare_page import page_text
from inspect_fer.report.compare_tables import class_rows, csv_text, in_words, json_text, score_rows, verdict
from inspect_fer.report.map_agreement import MOST, map_agreement
from inspect_fer.schema import Explanation, Footprint, Prediction, Run, Samples
from inspect_fer.statistics import intervals

NAMES = ("anger", "fear", "happiness")
HOSTILE = "\"><script>alert('x')</script>"


def logits_of(answers, classes=3, sure=4.0):
    """Logits (N, K) that give these answers; `sure` is a number or one a sample."""
    hot = torch.nn.functional.one_hot(torch.as_tensor(answers), classes).float()
    return hot * torch.as_tensor(sure).view(-1, 1)


def run_of(folder, labels, answers, *, names=NAMES, ids=None, maps=None, sure=4.0, spec="synthetic:9", **options):
    """A run with these answers; maps: (N, T, h, w) by method, of all classes."""
    ids = ids or tuple(f"face/{row}" for row in range(len(answers)))
    prediction = Prediction(ids, logits_of(answers, len(names), sure), torch.as_tensor(labels), names, **options)
    targets = torch.arange(len(names)).repeat(len(ids), 1)
    explanations = {
        name: Explanation(ids, found, targets[:, : found.shape[1]], {"name": name}, "l", (1, 8, 8))
        for name, found in (maps or {}).items()
    }
    manifest = {"dataset": {"spec": spec, "split": "test", "options": {}}, "card": {"architecture": "small"}}
    return Run(folder, manifest, prediction, explanations, evaluate(prediction))


@pytest.fixture
def two(tmp_path, generator):
    """Two runs of nine faces: a right on eight, b on five of them; maps of one method."""
    labels = [0, 1, 2] * 3
    a, b = [0, 1, 2, 0, 1, 2, 0, 1, 0], [0, 1, 2, 0, 1, 1, 1, 0, 0]
    maps = torch.randn(2, 9, 3, 4, 4, generator=generator)
    return [
        run_of(tmp_path / "a", labels, a, maps={"grad-cam": maps[0]}, sure=torch.arange(1.0, 10)),
        run_of(tmp_path / "b", labels, b, maps={"grad-cam": maps[1], "rise": maps[0]}),
    ]


@pytest.fixture
def faces(monkeypatch, generator):
    """Noise for the faces of every run."""

    def read(run):
        ids = run.prediction.ids
        pixels = torch.randint(0, 256, (len(ids), 1, 8, 8), generator=generator).byte()
        return Samples(ids, pixels, run.prediction.labels, run.prediction.class_names)

    monkeypatch.setattr(compare_page, "faces_of", read)


def test_scores_and_intervals_are_those_of_each_run(two):
    found = compare(two)
    for scores, run in zip(found.scores, two, strict=True):
        assert {name: scores[name] for name in run.metrics} == run.metrics
        assert scores["intervals"] == intervals(run.prediction)
    accuracy, *_, calibration = score_rows(found)
    assert [cell.value for cell in accuracy.cells] == pytest.approx([8 / 9, 5 / 9])
    assert [cell.best for cell in accuracy.cells] == [True, False]
    assert accuracy.always == pytest.approx(1 / 3)
    least = min(calibration.cells, key=lambda cell: cell.value)
    assert [cell.best for cell in calibration.cells] == [cell is least for cell in calibration.cells]
    assert [row.name for row in class_rows(found)] == list(NAMES)
    assert [row.faces for row in class_rows(found)] == [3, 3, 3]


def test_what_only_one_gets_right_and_where_they_disagree(two):
    (pair,) = compare(two).pairs
    assert pair.outcomes == {"both right": 5, "only the first": 3, "only the second": 0, "both wrong": 1}
    assert (pair.test.only_a, pair.test.only_b) == (3, 0)
    assert pair.corrected == pair.test.p == pytest.approx(0.25)
    assert pair.differences["accuracy"].value == pytest.approx(3 / 9)
    assert pair.answers.tolist() == [[3, 1, 0], [1, 2, 0], [0, 1, 1]]
    assert pair.differ == 3
    assert pair.most(NAMES) == [("anger", "fear", 1), ("fear", "anger", 1), ("happiness", "fear", 1)]


def test_the_most_certain_disagreement_comes_first(tmp_path):
    """Both must be certain: a certain answer beside a guess comes after two that are fairly certain."""
    labels = [0, 0, -1]
    a = run_of(tmp_path / "a", labels, [0, 0, 0], sure=torch.tensor([9.0, 4.0, 1.0]))
    b = run_of(tmp_path / "b", labels, [1, 1, 1], sure=torch.tensor([0.5, 3.0, 9.0]))
    (pair,) = compare([a, b]).pairs
    assert [face.id for face in pair.disagreeing] == ["face/1", "face/2", "face/0"]
    first, second, _ = pair.disagreeing
    assert (first.answers, first.label, second.label) == (("anger", "fear"), "anger", "")
    assert first.confidences == pytest.approx([float(run.prediction.confidence[1]) for run in (a, b)])
    assert len(compare([a, b], Asked(shown=2)).pairs[0].disagreeing) == 2


def test_classes_in_another_order_and_spelling_are_matched_by_name(two, tmp_path):
    order = torch.tensor([2, 0, 1])
    other = two[1].prediction
    back = order.argsort()
    mixed = replace(
        two[1],
        folder=tmp_path / "mixed",
        prediction=replace(
            other, logits=other.logits[:, order], labels=back[other.labels], class_names=("Happy", "angry", "fear")
        ),
        explanations={
            name: replace(why, maps=why.maps[:, order], targets=torch.arange(3).repeat(9, 1))
            for name, why in two[1].explanations.items()
        },
    )
    plain, found = compare(two), compare([two[0], mixed])
    assert set(found.class_names) == set(NAMES)
    assert found.pairs[0].outcomes == plain.pairs[0].outcomes
    assert found.pairs[0].maps["grad-cam"].quartiles == pytest.approx(plain.pairs[0].maps["grad-cam"].quartiles)
    assert {face.id: face.answers for face in found.pairs[0].disagreeing} == {
        face.id: face.answers for face in plain.pairs[0].disagreeing
    }
    assert "matched by name" in found.notes[0]


def test_a_network_may_know_more_classes(tmp_path):
    a = run_of(tmp_path / "a", [0, 1, -1], [0, 1, 0])
    b = run_of(tmp_path / "b", [0, 1, 3], [0, 1, 3], names=(*NAMES, "contempt"))
    found = compare([a, b])
    assert (found.faces, found.scores[0]["n"]) == (3, 2)  # a's labels do not know contempt
    assert "contempt" in found.class_names
    assert found.scores[0]["accuracy"] == found.scores[1]["accuracy"] == 1
    assert "different classes" in found.notes[0]


def test_only_common_faces_count(two, tmp_path):
    few = run_of(tmp_path / "few", [0, 1], [1, 1], ids=("face/3", "face/7"))
    found = compare([two[0], few])
    assert (found.faces, found.pairs[0].faces) == (2, 2)
    assert found.scores[0]["accuracy"] == 1
    assert found.scores[1]["accuracy"] == 0.5
    assert found.notes == ("a has 9, few has 2 samples; 2 are in all runs, and the scores are of those.",)
    three = compare([*two, few])
    assert [pair.faces for pair in three.pairs] == [9, 2, 2]


def test_contradicting_labels_do_not_count(tmp_path):
    a, b = run_of(tmp_path / "a", [0, 1, 2], [0, 1, 2]), run_of(tmp_path / "b", [0, 2, 2], [0, 1, 2])
    assert compare([a, b]).pairs[0].labelled == 2


def test_several_pairs_are_corrected(two, tmp_path):
    third = run_of(tmp_path / "c", [0, 1, 2] * 3, [1, 2, 0] * 3)
    found = compare([*two, third])
    assert [pair.runs for pair in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    raw = [pair.test.p for pair in found.pairs]
    assert [pair.corrected for pair in found.pairs] == pytest.approx(stats_holm(raw))
    assert raw != [pair.corrected for pair in found.pairs]


def stats_holm(p_values):
    """Step down by hand."""
    order, done, least = sorted(range(len(p_values)), key=lambda k: p_values[k]), {}, 0.0
    for rank, k in enumerate(order):
        least = max(least, min(1, p_values[k] * (len(p_values) - rank)))
        done[k] = least
    return [done[k] for k in range(len(p_values))]


def test_without_labels_answers_and_maps_are_still_compared(two, faces):
    bare = [replace(run, prediction=replace(run.prediction, labels=torch.full((9,), -1))) for run in two]
    found = compare(bare)
    (pair,) = found.pairs
    assert (pair.test, pair.corrected, verdict(found, pair)) == (None, None, "")
    assert pair.differ == 3
    html = page_text(found, "again")
    assert "there are no scores" in html
    assert 'id="scores"' not in html
    assert "McNemar" not in csv_text(found, "")


def test_the_same_pictures_are_asked_about(two, tmp_path):
    two[1].manifest["dataset"]["spec"] = "synthetic:9?seed=3&size=24"
    assert "synthetic&seed=3" in compare(two).notes[0]
    two[1].manifest["dataset"]["spec"] = "synthetic:90?size=24"
    assert compare(two).notes == ()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_runs_are_refused(two, count):
    with pytest.raises(RunError, match="two runs or more"):
        compare(two[:count])


def test_the_same_run_twice_is_refused(two):
    with pytest.raises(RunError, match="each named once"):
        compare([two[0], two[1], two[0]])


def test_nothing_in_common_is_one_line(two, tmp_path):
    other = run_of(tmp_path / "other", [0], [0], ids=("fer2013/1",), spec="fer2013:fer2013.csv")
    with pytest.raises(RunError, match=r"a holds synthetic:9 test; other holds fer2013:fer2013.csv test"):
        compare([two[0], other])
    strange = run_of(tmp_path / "c", [0], [0], ids=("face/1",), names=("positive", "negative"))
    with pytest.raises(RunError, match="no class in common"):
        compare([two[0], strange])


def test_runs_of_one_name_are_told_apart_by_their_folders(two, tmp_path):
    same = replace(two[1], folder=tmp_path / "deeper" / "a")
    assert compare([two[0], same]).names == (str(tmp_path / "a"), str(tmp_path / "deeper" / "a"))


def test_agreement_is_the_rank_correlation_of_maps_of_one_face_and_class(two):
    (pair,) = compare(two).pairs
    a, b = (run.explanations["grad-cam"].upsampled() for run in two)
    every = [stats.spearmanr(a[n, t].flatten(), b[n, t].flatten()).statistic for n in range(9) for t in range(3)]
    found = pair.maps["grad-cam"]
    assert list(pair.maps) == ["grad-cam"]  # rise is in one run only
    assert (found.common, found.faces, found.maps, found.undefined) == (9, 9, 27, 0)
    assert found.quartiles == pytest.approx(np.quantile(every, [0.25, 0.5, 0.75]).tolist())


def test_the_maps_that_differ_most_are_of_classes_that_both_answer(two):
    """Then of classes that one of them answers; within these the least correlation comes first, one map a face."""
    found = compare(two).pairs[0].maps["grad-cam"].apart
    a, b = (run.explanations["grad-cam"].upsampled() for run in two)
    agreed = (two[0].prediction.predicted == two[1].prediction.predicted).tolist()
    values = {}
    for n in range(9):
        each = [stats.spearmanr(a[n, t].flatten(), b[n, t].flatten()).statistic for t in range(3)]
        said = {int(run.prediction.predicted[n]) for run in two}
        values[f"face/{n}"] = min((each[t], NAMES[t]) for t in said)
    expected = sorted(values, key=lambda name: (not agreed[int(name[5:])], values[name]))
    assert [face.id for face in found] == expected
    assert [face.target for face in found] == [values[name][1] for name in expected]


def agreement(a, b, name="grad-cam"):
    return map_agreement(name, (a, b), (a.prediction, b.prediction), 12)


def test_identical_maps_agree_fully_whatever_their_targets_columns_and_size(two):
    """b has two of the classes in turn, on another input size and with cells that are windows."""
    a, b = two
    why = a.explanations["grad-cam"]
    assert agreement(a, replace(b, explanations={"grad-cam": why})).quartiles == pytest.approx((1, 1, 1))
    turned = replace(why, maps=why.maps[:, [2, 0]] * 5, targets=torch.tensor([2, 0]).repeat(9, 1))
    found = agreement(a, replace(b, explanations={"grad-cam": turned}))
    assert found.quartiles == pytest.approx((1, 1, 1))
    assert found.maps == 18
    windows = Footprint(*[tuple((2 * row, 2 * row + 2) for row in range(4))] * 2)
    coarse = replace(why, footprint=windows)
    finer = replace(
        why, footprint=Footprint(*[tuple((8 * row, 8 * row + 8) for row in range(4))] * 2), input_size=(3, 32, 32)
    )
    sizes = [replace(run, explanations={"grad-cam": one}) for run, one in ((a, coarse), (b, finer))]
    assert agreement(*sizes).quartiles == pytest.approx((1, 1, 1))


def test_finer_maps_are_averaged_over_the_coarser_pixels(two, generator):
    fine = torch.randn(9, 3, 32, 32, generator=generator)
    maps = [fine, torch.nn.functional.avg_pool2d(fine, 4)]
    sides = [
        replace(
            run, explanations={"rise": replace(run.explanations["grad-cam"], maps=one, input_size=(1, *one.shape[2:]))}
        )
        for run, one in zip(two, maps, strict=True)
    ]
    assert agreement(*sides, name="rise").quartiles == pytest.approx((1, 1, 1))
    assert agreement(*sides[::-1], name="rise").quartiles == pytest.approx((1, 1, 1))


def test_class_free_maps_are_compared_once_a_face(two):
    free = [replace(run, explanations={"fem": replace(run.explanations["grad-cam"], class_free=True)}) for run in two]
    found = agreement(*free, name="fem")
    assert found.maps == 9
    assert {face.target for face in found.apart} == {""}


def test_maps_without_ranks_and_without_common_classes(two):
    flat = replace(two[1].explanations["grad-cam"], maps=torch.zeros(9, 3, 4, 4))
    found = agreement(two[0], replace(two[1], explanations={"grad-cam": flat}))
    assert (found.quartiles, found.undefined, found.apart) == (None, 27, ())
    only = [
        replace(run, explanations={"grad-cam": replace(why, maps=why.maps[:, :1], targets=torch.full((9, 1), target))})
        for run, target in zip(two, (0, 1), strict=True)
        for why in [run.explanations["grad-cam"]]
    ]
    assert agreement(*only).maps == 0
    apart = replace(two[1].explanations["grad-cam"], ids=tuple(map(str, range(9))))
    assert agreement(two[0], replace(two[1], explanations={"grad-cam": apart})).common == 0


def test_of_many_faces_some_are_compared_evenly(tmp_path, generator):
    count = 2 * MOST
    maps = torch.randn(count, 1, 3, 3, generator=generator)
    runs = [run_of(tmp_path / name, [0] * count, [0] * count, maps={"cam": maps}) for name in "ab"]
    found = compare(runs).pairs[0].maps["cam"]
    assert (found.common, found.faces) == (count, MOST)


def test_one_file_that_needs_nothing_from_outside(two, faces):
    html = page_text(compare(two), "inspect-fer compare a b --out c.html")
    assert not re.search(r"https?://|@import|<link|<iframe|<script", html)
    assert set(re.findall(r'\ssrc="([^:"]*):', html)) == {"data"}
    assert "default-src 'none'" in html
    pictures = re.findall(r"<img [^>]*>", html)
    assert len(pictures) == 3 * (3 + 6)  # three faces with two answers, six whose maps differ most
    assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)
    told = (
        "a and b",
        "33.3 % more of the faces",
        "Always anger",
        "3 of 9 faces",
        "inspect-fer compare a b --out c.html",
    )
    for words in told:
        assert words in html, words


def test_each_picture_shows_that_networks_map_for_what_it_says(two, faces, monkeypatch):
    drawn, draw = [], compare_page.overlay_pixels
    monkeypatch.setattr(
        compare_page, "overlay_pixels", lambda pixels, maps, **how: drawn.append(maps) or draw(pixels, maps, **how)
    )
    found = compare(two)
    html = page_text(found, "")
    shown = iter(drawn)
    for face in found.pairs[0].disagreeing:
        for run, name, answer in zip(two, "ab", face.answers, strict=True):
            why = run.explanations["grad-cam"]
            row, column = why.ids.index(face.id), NAMES.index(answer)
            torch.testing.assert_close(next(shown)[0, 0], why.evidence()[row, column])
            assert f"{name}: {answer} " in html
    for face in found.pairs[0].maps["grad-cam"].apart[: compare_page.SHOWN]:
        for run in two:
            why = run.explanations["grad-cam"]
            torch.testing.assert_close(
                next(shown)[0, 0], why.evidence()[why.ids.index(face.id), NAMES.index(face.target)]
            )


def test_names_are_escaped(tmp_path, faces, generator):
    names, ids = (HOSTILE, "$x_{$", "fear"), (HOSTILE, "b")
    maps = {HOSTILE: torch.randn(2, 3, 4, 4, generator=generator)}
    options = {"names": names, "ids": ids, "spec": HOSTILE, "maps": maps}
    runs = [run_of(tmp_path / name, [0, 1], answers, **options) for name, answers in (("a", [0, 1]), ("<b>", [1, 1]))]
    html = page_text(compare(runs), HOSTILE)
    assert "<script" not in html
    assert '"><' + "script" not in html
    assert "<b>b" not in html


def test_faces_that_have_gone_are_borrowed_from_the_other_run(two, faces, monkeypatch):
    read = compare_page.faces_of

    def gone(run):
        if run.folder.name == "a":
            raise DataError("gone")
        return read(run)

    monkeypatch.setattr(compare_page, "faces_of", gone)
    assert page_text(compare(two), "").count("<img ") == 27
    monkeypatch.setattr(compare_page, "faces_of", lambda _: gone(two[0]))
    with pytest.raises(DataError, match="gone"):
        page_text(compare(two), "")


def test_three_runs_on_a_page(two, tmp_path, faces):
    third = run_of(tmp_path / "c", [0, 1, 2] * 3, [1, 2, 0] * 3)
    html = page_text(compare([*two, third]), "")
    assert "corrected by Holm for 3 pairs" in html
    assert html.count('class="crossed"') == 3


def test_faces_that_both_explain_come_first_and_others_stand_once(two, faces):
    """The first run explains face 5 alone of those with two answers."""
    few = replace(two[0], explanations={"grad-cam": two[0].explanations["grad-cam"].of([0, 5])})
    found = compare([few, two[1]])
    (pair,) = found.pairs
    assert pair.pictured[0].id == "face/5"
    assert pair.pictured[1:] == tuple(face for face in pair.disagreeing if face.id != "face/5")
    html = page_text(found, "")
    assert "grad-cam explains 2 of 9 faces in both runs; those come first." in html
    answers = html[html.index('id="answers"') : html.index('id="maps"')]
    cards = answers.split('<article class="duel">')[1:]
    assert [card.count("<img") for card in cards] == [3, 3, 3]  # the second run explains the others
    assert answers.count('class="remark">not explained') == 2
    none = replace(two[1], explanations={"grad-cam": two[1].explanations["grad-cam"].of([0, 5])})
    html = page_text(compare([few, none]), "")
    cards = html[html.index('id="answers"') : html.index('id="maps"')].split('<article class="duel">')[1:]
    assert [card.count("<img") for card in cards] == [3, 1, 1]
    assert cards[1].count('<div class="said">') == 1
    assert "\N{MIDDLE DOT} not explained" in cards[1]
    assert "pictured" not in json.loads(json_text(found, ""))["pairs"][0]


def test_cells_of_the_table_of_answers_show_zeros(two, faces):
    table = page_text(compare(two), "").split('class="crossed"')[1].split("</table>")[0]
    assert re.findall(r">(\d*)</td>", table[table.index("<tbody>") :]) == ["3", "1", "0", "1", "2", "0", "0", "1", "1"]


def test_json_and_csv_hold_the_same_numbers(two):
    found = compare(two)
    contents = json.loads(json_text(found, "again"))
    assert contents["command"] == "again"
    assert contents["scores"]["a"]["accuracy"] == found.scores[0]["accuracy"]
    assert contents["pairs"][0]["runs"] == ["a", "b"]
    assert contents["pairs"][0]["answers"] == found.pairs[0].answers.tolist()
    assert contents["pairs"][0]["test"]["p"] == found.pairs[0].test.p
    rows = list(csv.DictReader(io.StringIO(csv_text(found, ""))))
    by = {(row["table"], row["run"], row["other"], row["name"], row["of"]): row for row in rows}
    assert len(by) == len(rows)
    accuracy = by["scores", "a", "", "Accuracy", ""]
    assert float(accuracy["value"]) == found.scores[0]["accuracy"]
    assert (float(accuracy["low"]), float(accuracy["high"])) == found.scores[0]["intervals"]["accuracy"]
    assert float(by["scores", "b", "", "recall", "fear"]["value"]) == pytest.approx(2 / 3)
    assert float(by["tests", "a", "b", "McNemar p", ""]["value"]) == found.pairs[0].test.p
    assert int(by["answers", "a", "b", "happiness", "fear"]["value"]) == 1
    maps = by["maps", "a", "b", "rank correlation, median and quartiles", "grad-cam"]
    assert float(maps["value"]) == found.pairs[0].maps["grad-cam"].quartiles[1]


def test_the_verdict_names_the_better_network_and_says_whether_it_is_chance(tmp_path):
    labels = [0] * 40
    worse, better = [0] * 20 + [1] * 20, [0] * 40
    a, b = run_of(tmp_path / "a", labels, worse), run_of(tmp_path / "b", labels, better)
    found = compare([a, b])
    said = verdict(found, found.pairs[0])
    assert said.startswith("b is right on 50.0 % more of the faces than a (")
    low, high = map(float, re.search(r"\((\d.*) to (\d.*) %\): more than chance", said).groups())
    assert 30 < low < 50 < high < 70
    slight = run_of(tmp_path / "c", labels, [0] * 38 + [1] * 2)
    found = compare([slight, b])
    assert "no more than chance may do (McNemar p = 0.500)" in verdict(found, found.pairs[0])
    for order in (1, -1):  # an interval that holds zero says so, whichever run comes first
        e = run_of(tmp_path / "e", labels, [0] * 20 + [1] * 20)
        f = run_of(tmp_path / "f", labels, [1] * 19 + [0] * 21)
        found = compare([e, f][::order])
        low, high = re.search(r"\((.*) to (.*) %\): no more", verdict(found, found.pairs[0])).groups()
        assert low.startswith("\u2212")  # a minus, not a hyphen
        low, high = (float(end.replace("\u2212", "-")) for end in (low, high))
        assert low < 0 < high
    found = compare([b, run_of(tmp_path / "d", labels, better)])
    assert verdict(found, found.pairs[0]) == "b and d get equally many faces right."
    assert [in_words(p) for p in (None, 0.0004, 0.0416, 1.0)] == ["", "< 0.001", "0.042", "1.000"]
