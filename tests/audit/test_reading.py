"""Every form a table is found in."""

import pytest

from inspect_fer.audit import check_table, read_table, scores_of

MATRIX = [[5, 1, 0], [2, 6, 1], [0, 3, 9]]
REPORT = """
              precision    recall  f1-score   support

       anger       0.71      0.83      0.77         6
  very happy       0.60      0.67      0.63         9
     disgust       0.90      0.75      0.82        12

    accuracy                           0.74        27
   macro avg       0.74      0.75      0.74        27
weighted avg       0.76      0.74      0.74        27
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path)

    return write_and_read


@pytest.mark.parametrize(
    "text",
    [
        "true,anger,fear,joy\nanger,5,1,0\nfear,2,6,1\njoy,0,3,9\n",
        ",anger,fear,joy\nanger,5,1,0\nfear,2,6,1\njoy,0,3,9\n",
        "anger,fear,joy\nanger,5,1,0\nfear,2,6,1\njoy,0,3,9\n",
        "anger,fear,joy\n5,1,0\n2,6,1\n0,3,9\n",
        "anger,5,1,0\nfear,2,6,1\njoy,0,3,9\n",
        "true,joy,anger,fear\nanger,0,5,1\nfear,1,2,6\njoy,9,0,3\n",
        "true;anger;fear;joy\nanger;5;1;0\nfear;2;6;1\njoy;0;3;9\n",
        "true\tanger\tfear\tjoy\r\nanger\t5\t1\t0\r\nfear\t2\t6\t1\r\njoy\t0\t3\t9\r\n",
        "|true|anger|fear|joy|\n|anger|5|1|0|\n|fear|2|6|1|\n|joy|0|3|9|\n",
        "# a note\n\ntrue,anger,fear,joy\nanger,5,1,0\n\nfear,2,6,1\njoy,0,3,9\n",
        "true,anger,fear,joy,All\nanger,5,1,0,6\nfear,2,6,1,9\njoy,0,3,9,12\nAll,7,10,10,27\n",
        "anger,fear,joy,total\n5,1,0,6\n2,6,1,9\n0,3,9,12\n",
        "true,predicted anger,predicted fear,predicted joy\ntrue anger,5,1,0\ntrue fear,2,6,1\ntrue joy,0,3,9\n",
        "true,0,1,2\nanger,5,1,0\nfear,2,6,1\njoy,0,3,9\n",
        "true,anger,fear,joy\nanger,5.0,1.0,0.0\nfear,2.0,6.0,1.0\njoy,0.0,3.0,9.0\n",
        "anger fear joy\n5 1 0\n2 6 1\n0 3 9\n",
    ],
)
def test_confusion_matrices(read, text):
    table = read(text)
    assert table.matrix.tolist() == MATRIX
    assert table.class_names == ("anger", "fear", "joy")
    assert (table.form, table.support) == ("confusion matrix", (6, 9, 12))
    assert "totals" not in {finding.kind for finding in check_table(table)}


@pytest.mark.parametrize(
    "text",
    [
        "5,1,0\n2,6,1\n0,3,9\n",
        ",0,1,2\n0,5,1,0\n1,2,6,1\n2,0,3,9\n",
        "row_0,0,1,2\n0,5,1,0\n1,2,6,1\n2,0,3,9\n",
        "0,1,2\n5,1,0\n2,6,1\n0,3,9\n",
        "[[5 1 0]\n [2 6 1]\n [0 3 9]]\n",
        "\ufeff5,1,0\n2,6,1\n0,3,9\n",
    ],
)
def test_matrices_without_names(read, text):
    table = read(text)
    assert table.matrix.tolist() == MATRIX
    assert table.class_names == ("0", "1", "2")


def test_scores_beside_and_below_a_matrix(read):
    table = read(
        "true,anger,fear,joy,recall,support\nanger,5,1,0,.83,6\nfear,2,6,1,.67,9\njoy,0,3,9,.75,12\n"
        "accuracy,74.1 %\nmacro avg,.74,.75,.74\n"
    )
    assert [row.recall.text for row in table.printed.rows] == [".83", ".67", ".75"]
    assert (table.printed.accuracy.text, table.printed.averages["macro"].recall.text) == ("74.1%", ".75")
    assert "agreement" in {finding.kind for finding in check_table(table)}


def test_a_pasted_report(read):
    table = read(REPORT)
    assert table.class_names == ("anger", "very happy", "disgust")
    assert table.support == (6, 9, 12)
    assert [row.precision.text for row in table.rows] == ["0.71", "0.60", "0.90"]
    assert (table.accuracy.text, table.total) == ("0.74", 27)
    assert table.averages["weighted"].f1.text == "0.74"
    assert "weighted" in read(REPORT.replace("weighted avg", "avg / total")).averages


PANDAS = """,precision,recall,f1-score,support
anger,0.7142857142857143,0.8333333333333334,0.7692307692307693,6.0
fear,0.6,0.6666666666666666,0.631578947368421,9.0
joy,0.9,0.75,0.8181818181818182,12.0
accuracy,0.7407407407407407,0.7407407407407407,0.7407407407407407,0.7407407407407407
macro avg,0.7380952380952381,0.75,0.7396638449269904,27.0
weighted avg,0.7587301587301587,0.7407407407407407,0.7451028503660082,27.0
"""


def turned(text):
    return "\n".join(",".join(column) for column in zip(*(line.split(",") for line in text.split()), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        PANDAS,
        turned(PANDAS.replace(" avg", "-avg")),
        PANDAS.replace(",", ";").replace(".", ","),
        "class" + PANDAS,
    ],
)
def test_reports_saved_by_pandas(read, text):
    table = read(text)
    assert (table.class_names, table.support) == (("anger", "fear", "joy"), (6, 9, 12))
    assert table.rows[1].precision.value == 0.6
    assert table.rows[1].precision.slack < 1e-14  # printed in full, with the zeros left out
    assert (table.accuracy.value, table.total) == (pytest.approx(20 / 27), None)
    assert set(table.averages) == {"macro", "weighted"}
    assert {finding.weight for finding in check_table(table)} == {"note"}


def test_a_number_without_its_zeros_keeps_the_files_rounding(read):
    """pandas writes 0.50 as 0.5: it stands between 0.495 and 0.505 when other scores have two digits."""
    table = read("class,precision,recall,f1,support\na,0.5,0.25,0.33,4\nb,0.57,0.8,0.67,5\naccuracy,,,0.6,9\n")
    assert table.rows[0].precision.slack == table.accuracy.slack == 0.005
    table = read("class,precision,recall,f1,support\na,0.50,0.25,0.33,4\nb,0.57,0.80,0.67,5\naccuracy,,,0.6,9\n")
    assert table.accuracy.slack == 0.05


def test_percentages(read):
    table = read("class,precision,recall,f1,support\na,50,25,33.3,4\nb,57.1%,80,66.7,5\n")
    assert [row.recall.value for row in table.rows] == [0.25, 0.8]
    assert table.rows[0].recall.slack == pytest.approx(0.0005)


def test_tables_of_sets(read):
    table = read("class,TP,FP,FN,TN\nhappy,3,1,2,4\nsad,1,0,0,9\n")
    assert table.matrix.tolist() == [[[4, 1], [2, 3]], [[9, 0], [0, 1]]]
    assert (table.form, table.support) == ("tables of sets", (5, 1))


def test_names_that_cannot_steer_a_terminal(read):
    assert read("a\x1b[31m,b\n1,2\n3,4\n").class_names == ("a?[31m", "b")


def test_averages_without_all_scores(read):
    table = read("class,recall,precision,support\na,.5,.5,4\nb,.8,.8,5\nmacro avg,.65,,9\n")
    assert table.averages["macro"].f1 is None
    assert "agreement" in {finding.kind for finding in check_table(table)}


@pytest.mark.parametrize(
    "text",
    [
        "true,a,b\na,.90,.10\nb,.25,.75\n",
        "true,a,b\na,90.0,10.0\nb,25.5,74.5\n",
        "true,a,b\na,90%,10%\nb,25%,75%\n",
        "true;a;b\na;0,90;0,10\nb;0,25;0,75\n",
    ],
)
def test_a_matrix_normalised_by_row_gives_recall_alone(read, text):
    table = read(text)
    assert table.form == "normalised matrix"
    assert [row.recall.value for row in table.rows] == [0.9, pytest.approx(0.75, abs=0.006)]
    (finding,) = (finding for finding in check_table(table) if finding.kind == "normalised")
    assert "Only recall can be read" in finding.says
    assert scores_of(table)["accuracy"] is None


def test_a_matrix_normalised_by_column_gives_precision(read):
    table = read("true,a,b\na,.90,.25\nb,.10,.75\n")
    assert [row.precision.value for row in table.rows] == [0.9, 0.75]


def test_the_split_gives_a_normalised_matrix_its_supports(read):
    """Of PublicTest's 56 images of disgust no number is 33.0 %."""
    table = read("true,anger,disgust\nanger,.330,.670\ndisgust,.670,.330\n")
    found = {finding.kind: finding.says for finding in check_table(table, "fer2013:PublicTest")}
    assert "disgust .330 of 56 samples (18 are 0.32143 and 19 are 0.33929)" in found["recall"]
    assert "put in" not in found["normalised"]
    assert found["given split"] == "No supports are printed; those of fer2013:PublicTest are taken."
    assert "split" not in found
    assert scores_of(table, "fer2013:PublicTest")["n"] == 523


def test_whole_numbers_that_add_up_to_a_hundred_may_be_percentages(read):
    kinds = {finding.kind for finding in check_table(read("true,a,b\na,90,10\nb,25,75\n"))}
    assert "percentages" in kinds
