"""The tables of the source reports, as printed: each yields exactly what is wrong with it."""

from pathlib import Path

import pytest

from inspect_fer.audit import TABLE_CHECKS, check_table, read_table, scores_of
from inspect_fer.audit.arithmetic import whole_numbers
from inspect_fer.audit.published import WEIGHTS
from inspect_fer.audit.tables import Score
from inspect_fer.errors import DataError, UnknownNameError

PUBLISHED = Path(__file__).parents[1] / "published"
NETWORKS = ("lenet", "resnet18", "resnet34", "mobilenetv2")
PERMUTED = {("error", "class names"), ("caution", "split")}
FINE = {("note", "split"), ("note", "baseline"), ("note", "no error")}
EXPECTED = {
    **{f"000_{name}_matrix": {*PERMUTED, ("note", "baseline"), ("note", "few samples")} for name in NETWORKS},
    **{
        f"000_{name}_report": {*PERMUTED, ("note", "baseline"), ("note", "few samples"), ("note", "agreement")}
        for name in NETWORKS
    },
    **{
        f"000_{name}_ferplus_{form}": {("error", "no true class"), ("note", "split"), ("note", "few samples")}
        for name in NETWORKS
        for form in ("sets", "report")
    },
    "002_report": {("error", "pooled"), ("note", "split"), ("note", "baseline"), ("note", "agreement")},
    "002_balanced_report": {
        ("caution", "balanced"),
        ("note", "baseline"),
        ("note", "agreement"),
        ("note", "no error"),
    },
    "003_rafdb_matrix": {*FINE, ("note", "few samples")},
    "003_validation_matrix": FINE,
    **{f"004_model{n}_matrix": {*FINE, ("note", "few samples"), ("note", "agreement")} for n in (1, 2, 3)},
    "004_baseline_matrix": {
        ("note", "split"),
        ("note", "few samples"),
        ("note", "no error"),
        ("caution", "baseline"),
        ("caution", "one answer"),
        ("caution", "cut off"),
    },
}
for name in NETWORKS:
    EXPECTED[f"000_{name}_ferplus_report"] = EXPECTED[f"000_{name}_ferplus_report"] | {("note", "agreement")}
for name in ("000_lenet_ferplus_sets", "000_lenet_ferplus_report", "000_mobilenetv2_ferplus_sets"):
    EXPECTED[name] = EXPECTED[name] | {("caution", "unanswered")}
EXPECTED["000_mobilenetv2_ferplus_report"] = EXPECTED["000_mobilenetv2_ferplus_report"] | {("caution", "unanswered")}
EXPECTED["004_model3_matrix"] = EXPECTED["004_model3_matrix"] | {("caution", "unanswered")}


def table(name):
    return read_table(PUBLISHED / f"{name}.csv")


def says(name, kind, **options):
    return " ".join(finding.says for finding in check_table(table(name), **options) if finding.kind == kind)


def test_every_published_table_is_expected():
    assert {path.stem for path in PUBLISHED.glob("*.csv")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_exactly_what_is_wrong_is_found(name):
    assert {(finding.weight, finding.kind) for finding in check_table(table(name))} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_findings_are_sentences_errors_first_certain_before_likely(name):
    found = check_table(table(name))
    places = [(WEIGHTS.index(finding.weight), finding.strength == "likely") for finding in found]
    assert places == sorted(places)
    for finding in found:
        assert finding.says.endswith(".")
        assert "\n" not in finding.says
        assert "  " not in finding.says


@pytest.mark.parametrize("form", ["matrix", "report"])
@pytest.mark.parametrize("network", NETWORKS)
def test_source_000_has_its_class_names_permuted(network, form):
    assert says(f"000_{network}_{form}", "class names") == (
        "The class names are permuted. By the supports, printed Surprise is anger, Fear is disgust, Angry is fear, "
        "Neutral is happiness, Disgust is surprise and Happy is neutral; right is Sad. No other order fits."
    )
    assert says(f"000_{network}_{form}", "split") == (
        "The supports are the counts of fer2013:PrivateTest (3,589 samples) less 15 samples (anger 2, fear 1, "
        "happiness 3, sadness 5, surprise 2 and neutral 2). For as many rows FER+ names no image."
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_source_000_has_samples_without_any_class(network):
    assert "1,059 of 3,505 samples (30.2%) have no true class" in says(f"000_{network}_ferplus_sets", "no true class")
    assert "so 29% to 3" in says(f"000_{network}_ferplus_report", "no true class")


def test_classes_that_are_never_found_are_named():
    assert says("000_lenet_ferplus_sets", "unanswered").startswith(
        "disgust (8 samples) and contempt (9 samples) are never predicted."
    )
    assert says("000_mobilenetv2_ferplus_sets", "unanswered") == "contempt (9 samples) is never found."
    assert "cannot exceed 98.44%" in says("004_model3_matrix", "unanswered")


def test_source_002_pools_twenty_epochs_of_the_public_test():
    assert "20 times the counts of fer2013:PublicTest (3,589 samples)" in says("002_report", "split")
    assert "predictions of 20 epochs or runs" in says("002_report", "pooled")
    assert says("002_balanced_report", "balanced").endswith(
        "It may be fer2013:PublicTest, each class reduced to the smallest, 56, 11 versions of each image, 20 epochs "
        "pooled: 12,320 = 20 x 11 x 56."
    )


def test_the_splits_of_sources_003_and_004():
    assert "the counts of rafdb:test without neutral (2,388 samples)" in says("003_rafdb_matrix", "split")
    assert "gimefive:validation (600 samples)" in says("003_validation_matrix", "split")
    for number in (1, 2, 3):
        assert "the counts of fer2013:PublicTest (3,589 samples)" in says(f"004_model{number}_matrix", "split")


def test_the_baseline_of_source_004_is_cut_off_not_rounded():
    assert "accuracy .24, where 0.2494 follows" in says("004_baseline_matrix", "cut off")
    assert "macro f1 .05, where 0.0570 follows" in says("004_baseline_matrix", "cut off")


ACCURACY = dict(zip(NETWORKS, (0.5409, 0.6704, 0.6774, 0.5951), strict=True))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_matrices_of_source_000_give_its_reports(network):
    """Matrix and report of one network were printed apart; what follows from one is what the other says."""
    counted, printed = scores_of(table(f"000_{network}_matrix")), table(f"000_{network}_report")
    assert round(counted["accuracy"], 4) == ACCURACY[network]
    for name, row in zip(printed.class_names, printed.rows, strict=True):
        for measure in ("precision", "recall", "f1"):
            score = getattr(row, measure)
            assert abs(counted["per_class"][name][measure] - score.value) <= score.slack + 1e-9, (name, measure)
    for average, row in printed.averages.items():
        for measure in ("precision", "recall", "f1"):
            score = getattr(row, measure)
            assert abs(counted["averages"][average][measure] - score.value) <= score.slack + 1e-9, (average, measure)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_sets_of_source_000_give_its_reports(network):
    counted, printed = scores_of(table(f"000_{network}_ferplus_sets")), table(f"000_{network}_ferplus_report")
    for rows, lines in (
        (counted["per_class"], zip(printed.class_names, printed.rows, strict=True)),
        (counted["averages"], printed.averages.items()),
    ):
        for name, row in lines:
            for measure in ("precision", "recall", "f1"):
                if name != "samples":
                    score = getattr(row, measure)
                    assert abs(rows[name][measure] - score.value) <= score.slack + 1e-9, (name, measure)


@pytest.mark.parametrize(
    ("name", "accuracy", "precision", "recall", "f1"),
    [
        ("003_rafdb_matrix", 0.8379, None, 0.7626, 0.744),
        ("003_validation_matrix", 0.7717, None, 0.7717, None),
        ("004_model1_matrix", 0.4720, 0.4658, 0.3993, 0.4023),
        ("004_model2_matrix", 0.5124, 0.5030, 0.4586, 0.4691),
        ("004_model3_matrix", 0.4439, 0.3553, 0.3612, 0.3443),
    ],
)
def test_scores_from_the_matrices(name, accuracy, precision, recall, f1):
    found = scores_of(table(name))
    macro = found["averages"]["macro"]
    assert round(found["accuracy"], 4) == accuracy
    assert round(macro["recall"], 4) == recall
    assert precision is None or round(macro["precision"], 4) == precision
    assert f1 is None or macro["f1"] == pytest.approx(f1, abs=0.0005)


@pytest.mark.parametrize("name", ["002_report", "002_balanced_report"])
def test_scores_from_a_report_are_bounds_that_hold_what_is_printed(name):
    found, printed = scores_of(table(name)), table(name)
    exact = {"002_report": 0.537476, "002_balanced_report": 0.305195}[name]  # 1929 of 3589, 1316 of 4312, last epoch
    low, high = found["accuracy"]
    assert low <= printed.accuracy.value + printed.accuracy.slack
    assert abs(exact - (low + high) / 2) < 0.01
    low, high = found["averages"]["macro"]["f1"]
    assert low <= printed.averages["macro"].f1.value <= high


@pytest.mark.parametrize(
    ("percent", "digits", "total"),
    [
        *((value, 2, 3589) for value in (73.06, 72.64, 73.11, 73.14, 73.28)),  # Khaireddin and Chen
        *((value, 2, 3505) for value in (56.72, 67.05, 67.28, 62.62)),  # source 000 on FER+
        (53.7476, 4, 3589),
        (99.3417, 4, 28709),
        (97.1137, 4, 33572),
        (30.5195, 4, 4312),
        (28.64, 2, 4312),
    ],
)
def test_published_accuracies_that_some_count_gives(percent, digits, total):
    first, last = whole_numbers(Score("", percent / 100, 0.005 * 10**-digits).span, total)
    assert first == last


def test_a_given_split_is_compared_class_by_class():
    assert says("004_model1_matrix", "given split", split="fer2013:PublicTest").endswith("as asked.")
    text = says("004_model1_matrix", "given split", split="fer2013:PrivateTest")
    assert "angry 467 instead of 491, disgust 56 instead of 55" in text
    assert says("003_rafdb_matrix", "given split", split="rafdb:test").endswith("as asked.")  # its neutral is left out


def test_a_split_that_is_not_known_or_has_other_classes_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'fer2013:PublicTest'"):
        check_table(table("004_model1_matrix"), "fer2013:publictest")
    with pytest.raises(DataError, match="rafdb:test has the classes surprise.*the table has neutral"):
        check_table(table("000_lenet_ferplus_sets"), "rafdb:test")


def test_every_check_has_a_docstring_and_leaves_the_table_alone():
    for name, check in TABLE_CHECKS.items():
        assert check.__doc__, name
        matrix = table("004_model3_matrix")
        before = matrix.matrix.clone()
        list(check(matrix))
        assert (matrix.matrix == before).all()
