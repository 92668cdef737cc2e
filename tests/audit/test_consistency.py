"""What follows from a table's numbers: nothing that is right is accused, and what is wrong is found."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import classification_report

from inspect_fer.audit import ConfusionTable, check_table, read_table
from inspect_fer.audit.arithmetic import computed, harmonic, has_counts, wilson
from inspect_fer.audit.consistency import KINDS
from inspect_fer.audit.tables import ReportTable, Row, Score, Span

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


@pytest.fixture
def found(tmp_path):
    """What is said of the table in a text, by kind."""

    def check(text, **options):
        (tmp_path / "table.csv").write_text(text)
        return {finding.kind: finding for finding in check_table(read_table(tmp_path / "table.csv"), **options)}

    return check


def pairs_of(matrix):
    """Labels and predictions that give a matrix."""
    rows, columns = np.indices(matrix.shape)
    return np.repeat(rows, matrix.ravel()), np.repeat(columns, matrix.ravel())


def as_text(labels, predicted, names):
    return classification_report(labels, predicted, labels=range(len(names)), target_names=names, zero_division=0)


def as_frame(labels, predicted, names):
    report = classification_report(
        labels, predicted, labels=range(len(names)), target_names=names, zero_division=0, output_dict=True
    )
    return pd.DataFrame(report)


FORMS = {
    "text": as_text,
    "pandas": lambda *given: as_frame(*given).T.to_csv(),
    "pandas lying": lambda *given: as_frame(*given).to_csv(),
    "pandas rounded": lambda *given: as_frame(*given).T.round(3).to_csv(),
    "per cent": lambda *given: (as_frame(*given).T * [100, 100, 100, 1]).round(1).to_csv(sep=";", decimal=","),
    "text with four digits": lambda labels, predicted, names: classification_report(
        labels, predicted, labels=range(len(names)), target_names=names, zero_division=0, digits=4
    ),
}
matrices = (
    st.integers(2, 7)
    .flatmap(lambda k: arrays(np.int64, (k, k), elements=st.integers(0, 60) | st.integers(0, 3)))
    .filter(lambda matrix: matrix.sum() > 0)
)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=15)
@example(matrix=np.array([[1, 23, 0, 0], [23, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))  # averages of 1 %
@given(matrix=matrices)
def test_the_report_of_any_matrix_is_not_accused(tmp_path_factory, form, matrix):
    path = tmp_path_factory.getbasetemp() / "report.csv"
    path.write_text(FORMS[form](*pairs_of(matrix), NAMES[: len(matrix)]))
    table = read_table(path)
    assert table.support == tuple(matrix.sum(1))
    assert not KINDS & {finding.kind for finding in check_table(table)}


@settings(deadline=None, max_examples=40)
@given(matrices, st.integers(2, 5))
def test_bounds_from_a_report_hold_the_scores_of_its_matrix(matrix, digits):
    import torch

    names = NAMES[: len(matrix)]
    exact = computed(ConfusionTable(names, torch.from_numpy(matrix), ReportTable(names)))

    def printed(place):
        rounded = [round(exact.classes[name][place].low + 2.5e-12, digits) for name in ("precision", "recall", "f1")]
        return [Score(str(value), value, 0.5 * 10**-digits) for value in rounded]

    rows = tuple(Row(*printed(place), support=int(size)) for place, size in enumerate(matrix.sum(1)))
    bounds = computed(ReportTable(names, rows))
    assert bounds.accuracy.meets(exact.accuracy)
    for average, row in bounds.averages.items():
        for measure, span in row.items():
            assert span.meets(exact.averages[average][measure]), (average, measure)
    assert all(map(has_counts, rows))


def counts_by_hand(precision, recall, f1, support, most):
    """Every number of hits and predictions, tried out."""
    return any(
        abs(h / p - precision) <= 0.005 + 1e-9
        and abs(h / support - recall) <= 0.005 + 1e-9
        and abs(2 * h / (p + support) - f1) <= 0.005 + 1e-9
        for h, p in product(range(1, support + 1), range(1, most))
        if h <= p
    )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.integers(20, 100), st.data())
def test_counts_are_found_where_trying_all_finds_them(support, precision, data):
    hits = data.draw(st.integers(1, support))
    recall = round(hits / support, 2)
    f1 = round(2 * precision / 100 * recall / (precision / 100 + recall), 2) + data.draw(
        st.sampled_from([0, 0.01, -0.01])
    )
    scores = [Score("", value, 0.005) for value in (precision / 100, recall, f1)]
    assert has_counts(Row(*scores, support=support)) == counts_by_hand(precision / 100, recall, f1, support, 70)


def test_harmonic_mean_by_hand():
    span = harmonic(Span(0.4, 0.5), Span(0.2, 0.25))
    assert (span.low, span.high) == (pytest.approx(0.16 / 0.6), pytest.approx(0.25 / 0.75))
    assert harmonic(Span(0, 0), Span(0, 0)) == Span(0, 0)


@pytest.mark.parametrize(("right", "whole"), [(9, 55), (0, 8), (8, 8), (1938, 3589)])
def test_wilson_equals_scipy(right, whole):
    expected = scipy.stats.binomtest(right, whole).proportion_ci(method="wilson")
    assert wilson(right / whole, whole).low == pytest.approx(expected.low, abs=1e-5)
    assert wilson(right / whole, whole).high == pytest.approx(expected.high, abs=1e-5)


REPORT = """class,precision,recall,f1-score,support
anger,.68,.43,.53,467
disgust,.63,.39,.48,56
happy,.75,.91,.82,895
accuracy,,,.73,1418
macro avg,.69,.58,.61,1418
weighted avg,.72,.73,.71,1418
"""


@pytest.mark.parametrize(
    ("old", "new", "kind", "says"),
    [
        (".43,.53", ".43,.56", "F1", "anger (.68, .43) .56, where 0.5216 to 0.5321 follows"),
        (
            "disgust,.63,.39",
            "disgust,.63,.385",
            "recall",
            "disgust .385 of 56 samples (21 are 0.37500 and 22 are 0.39286)",
        ),
        ("macro avg,.69,.58,.61", "macro avg,.69,.58,.57", "averages", "macro f1 .57"),
        ("weighted avg,.72", "weighted avg,.77", "averages", "weighted precision .77"),
        (",,,.73,", ",,,.76,", "accuracy", "accuracy .76, where"),
        (".61,1418", ".61,1400", "totals", "macro 1,400, the classes have 1,418"),
        ("anger,.68,.43,.53", "anger,.30,.43,.35", "predictions", "the columns cannot belong together"),
    ],
)
def test_a_changed_number_is_found(found, old, new, kind, says):
    assert REPORT.count(old) == 1
    problem = found(REPORT.replace(old, new))[kind]
    assert (problem.weight, problem.strength) == ("error", "certain")
    assert says in problem.says


def test_the_unchanged_report_agrees(found):
    kinds = found(REPORT)
    assert not KINDS & set(kinds)
    assert "agreement" in kinds


def test_a_row_that_no_counts_give(found):
    """3 of 8 found: .38. With 3 hits precision .45 would need 6.67 predictions; the mean of both alone looks right."""
    kinds = found("class,precision,recall,f1,support\na,.45,.38,.41,8\nb,.50,.50,.50,10\n")
    assert "a .45, .38, .41 of 8 samples" in kinds["counts"].says
    assert "recall" not in kinds
    assert "F1" not in kinds


def test_scores_beside_a_matrix_must_follow_from_it(found):
    text = "true,a,b,precision,recall,f1,support\na,3,1,.60,.75,.67,4\nb,2,4,.80,.67,.72,5\n"
    kinds = found(text)
    assert "f1 of b .72, where 0.7273 follows" in kinds["class scores" if "class scores" in kinds else "cut off"].says
    assert "b 5, the row has 6" in kinds["totals"].says


def test_an_accuracy_that_no_count_gives(found):
    text = "class,recall,precision,support\na,,,300\nb,,,300\naccuracy,{},,600\n"
    kinds = found(text.format("78.5%"))
    assert "accuracy" not in kinds
    problem = found(text.format("78.1%"))["accuracy"]
    assert problem.weight == "caution"
    assert problem.says == (
        "No number of right answers among 600 samples gives an accuracy of 78.1%: 468 right are 78.0000% and 469 right "
        "are 78.1667%. Either the last digit is cut off instead of rounded, or there were 599 samples, as when a row "
        "is taken for a header."
    )
    assert found(text.format("78.10%"))["accuracy"].weight == "error"


VALIDATION = (
    *(68.8, 67.9, 72.0, 66.8, 71.1, 72.1, 78.1, 35.6, 42.1, 43.6, 40.2, 40.7, 46.2, 41.6, 61.4, 73.8, 72.8, 75.0, 74.5),
    *(52.6, 59.6, 62.8, 56.4, 60.3, 62.6),
)


def test_source_003_lost_one_validation_image(found):
    """Of its 26 validation accuracies 13 are impossible with 600 images, all but one possible with 599."""
    text = "class,recall,precision,support\na,,,{}\nb,,,300\naccuracy,{}%,,{}\n"
    impossible = [value for value in (*VALIDATION, 70.0) if "accuracy" in found(text.format(300, value, 600))]
    assert len(impossible) == 13
    assert [value for value in (*VALIDATION, 70.0) if "accuracy" in found(text.format(299, value, 599))] == [70.0]


@pytest.mark.parametrize(
    ("new", "hint"),
    [
        ("macro avg,.69,.58,.71", "(it is the weighted average)"),
        ("macro avg,.69,.58,.63", "(it is the harmonic mean of the averages)"),
        ("macro avg,.69,.58,.55", "follows."),
    ],
)
def test_an_average_that_is_another_one(found, new, hint):
    """Two formulas go by the name of macro F1 (Opitz and Burst, arXiv:1911.03347)."""
    assert hint in found(REPORT.replace("macro avg,.69,.58,.61", new))["averages"].says


def test_sets_of_different_sizes(found):
    kinds = found("class,TN,FP,FN,TP\na,4,1,2,3\nb,4,1,2,3\nc,4,1,2,4\n")
    assert "c 11 samples, other classes 10" in kinds["totals"].says


def test_many_mistakes_are_one_finding(found):
    rows = "".join(f"c{n},.9,.1,.5,100\n" for n in range(20))
    assert found("class,precision,recall,f1,support\n" + rows)["F1"].says.endswith("; and 12 more.")
