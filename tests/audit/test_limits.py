"""What a table cannot show."""

import pytest

from inspect_fer.audit import check_table, read_table

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger")
SIZES = (329, 74, 160, 1185, 478, 162)


@pytest.fixture
def found(tmp_path):
    """What is said of a matrix, or of the table in a text, by kind."""

    def check(rows, names=None):
        lines = rows if isinstance(rows, str) else "\n".join(",".join(map(str, row)) for row in [names, *rows])
        (tmp_path / "table.csv").write_text(lines)
        return {finding.kind: finding for finding in check_table(read_table(tmp_path / "table.csv"))}

    return check


def diagonal(sizes, right=0.8):
    """A matrix with a share of right answers, the mistakes going to the next class but the last."""
    rows = [[0] * len(sizes) for _ in sizes]
    for place, size in enumerate(sizes):
        rows[place][place] = int(right * size)
        rows[place][(place + 1) % (len(sizes) - 1)] += size - int(right * size)
    return rows


def shifted():
    """RAF-DB without neutral, with a last class that has no output: source 003's labels 1..6 for outputs 0..5."""
    rows = diagonal(SIZES)
    rows[-1] = [40, 22, 50, 20, 30, 0]
    return rows


def test_labels_from_one_under_outputs_from_zero(found):
    kinds = found(shifted(), NAMES)
    assert kinds["unanswered"].says == "anger (162 samples) is never predicted. So accuracy cannot exceed 93.22%."
    assert kinds["label shift"].strength == "likely"
    assert kinds["label shift"].says.startswith("anger stands last and is the only class never predicted.")


def test_a_first_class_without_samples_and_a_last_without_answers(found):
    rows = [[0, *[0] * 6], *([0, *row] for row in shifted())]
    kinds = found(rows, ("nothing", *NAMES))
    assert "label shift" in kinds
    assert kinds["absent"].says == "nothing has no samples, but may count as 0 in macro averages."


def test_a_rare_last_class_may_go_unanswered_for_its_rarity(found):
    rows = diagonal((900, 700, 20))
    rows[-1] = [20, 0, 0]
    kinds = found(rows, ("a", "b", "c"))
    assert "unanswered" in kinds
    assert "label shift" not in kinds


def test_a_class_that_is_predicted_but_never_rightly(found):
    assert (
        "b (3 samples) is never found." in found([[5, 1, 1], [2, 0, 1], [1, 1, 6]], ("a", "b", "c"))["unanswered"].says
    )


def test_one_answer(found):
    kinds = found([[0, 5, 0], [0, 9, 0], [0, 3, 0]], ("a", "b", "c"))
    assert kinds["one answer"].says == "No class but b is ever answered rightly: the baseline, not a result."
    assert kinds["baseline"].weight == "caution"
    assert "unanswered" not in kinds
    kinds = found([[5, 0, 0], [9, 0, 0], [3, 0, 0]], ("a", "b", "c"))
    assert kinds["one answer"].says.endswith("a constant answer.")


def test_nothing_is_right(found):
    assert "a (5 samples) and b (9 samples) are never found" in found([[0, 5], [9, 0]], ("a", "b"))["unanswered"].says


def test_the_same_from_a_report(found):
    kinds = found("class,precision,recall,f1,support\na,.5,.5,.5,900\nb,.4,.6,.48,800\nc,0,0,0,150\n")
    assert kinds["unanswered"].says.startswith("c (150 samples) is never found.")
    kinds = found("class,precision,recall,f1,support\na,.5,.5,.5,900\nb,.4,.6,.48,800\nc,0,.00,0,1500\n")
    assert "unanswered" not in kinds  # .00 may be .004 of 1500


def test_rows_and_columns_exchanged(found):
    """The columns are FER2013's PublicTest, not the rows."""
    sizes = (467, 56, 496, 895, 653, 415, 607)
    rows = [list(column) for column in zip(*diagonal(sizes), strict=True)]
    kinds = found(rows, ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
    assert kinds["transposed"].strength == "certain"
    assert "the counts of fer2013:PublicTest (3,589 samples)" in kinds["transposed"].says
    assert "split" not in kinds


def test_accuracy_with_its_interval_beside_the_baseline(found):
    says = found([[50, 50], [20, 80]], ("a", "b"))["baseline"].says
    assert says == (
        "Accuracy is 65.00% of 200 samples (95 % interval 58.2% to 71.3%), above the 50.00% of always answering a."
    )
    assert "not clearly above" in found([[5, 5], [3, 7]], ("a", "b"))["baseline"].says


def test_few_samples(found):
    says = found([[9, 46], [20, 180]], ("a", "b"))["few samples"].says
    assert says == "Recall of classes with few samples, as 95 % intervals: a 8.9% to 28.3% (55)."
