"""What the pages are made of: words, charts, option widgets, remarks."""

import os
from dataclasses import fields
from typing import Literal, get_type_hints

import numpy as np
import pytest
import torch

from inspect_fer.dashboard import panel, shared
from inspect_fer.dashboard.charts import confusion_cells, probability_rows, reliability_rows
from inspect_fer.dashboard.panel import REMARKS, shown_columns
from inspect_fer.dashboard.pickers import kinds_of, row_of
from inspect_fer.errors import DataError
from inspect_fer.explain import METHODS
from inspect_fer.metrics import evaluate
from inspect_fer.schema import HEALTH, Explanation, Prediction, Samples


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("plain words, 3 x 4.", "plain words, 3 x 4."),
        ("a_b *c* [d](e) $f$ <g>", r"a\_b \*c\* \[d\](e) \$f\$ \<g\>"),
        ("`a_b --c` d_e", r"`a_b --c` d\_e"),
    ],
)
def test_markdown_is_left_to_code(words, shown):
    assert shared.plain(words) == shown


def test_a_row_is_found_by_id_or_number():
    ids = ("x/0", "7", "x/2")
    assert row_of("x/2", ids) == 2
    assert row_of("7", ids) == 1, "an id goes before a number"
    assert row_of("0", ids) == 0
    with pytest.raises(DataError, match="0 to 2"):
        row_of("3", ids)


def test_cells_keep_small_counts_in_sight():
    cells = confusion_cells([[99, 1], [0, 0]], ["a", "b"], by_row=False).set_index(["true", "predicted"])
    assert cells.loc[("a", "b"), "shade"] > 0.09
    assert cells.loc[("b", "a"), "shade"] == 0
    assert list(confusion_cells([[1, 3], [0, 0]], ["a", "b"], by_row=True)["text"]) == ["25", "75", "0", "0"]


def prediction(logits, labels, names=("a", "b", "c")):
    logits = torch.tensor(logits)
    return Prediction(tuple(map(str, range(len(logits)))), logits, torch.tensor(labels), names)


def test_reliability_keeps_filled_bins():
    rows = reliability_rows(evaluate(prediction([[3.0, 0, 0], [0, 1.0, 0]], [0, 2]))["reliability"])
    assert rows["count"].tolist() == [1, 1]
    assert rows["accuracy"].tolist() == [0, 1]


def test_probabilities_know_their_roles():
    answer = prediction([[3.0, 0, 0]], [1])
    assert probability_rows(answer, 0, 1)["role"].tolist() == ["predicted", "given", ""]
    assert probability_rows(answer, 0, 0)["role"].tolist() == ["predicted, given", "", ""]
    assert probability_rows(answer, 0, -1)["role"].tolist() == ["predicted", "", ""]
    assert probability_rows(answer, 0, 2, most=1)["class"].tolist() == ["a", "c"], "the given class is always there"


def test_every_unhealthy_map_has_its_words():
    assert set(REMARKS) == set(HEALTH) - {"ok"}


def test_shown_columns_follow_the_targets():
    made = Explanation(("x",), torch.zeros(1, 2, 1, 1), torch.tensor([[2, 0]]), {"name": "m"}, "", (1, 4, 4))
    assert shown_columns(made, 0, 2) == {1: "predicted", 0: "given"}
    assert shown_columns(made, 0, -1) == {1: "predicted"}
    assert shown_columns(made, 1, 1) == {0: "explained"}


@pytest.mark.parametrize("scale", ["own", "image"])
def test_a_map_of_pixels_is_no_paler_for_one_peak(monkeypatch, scale):
    """The picture is the same whether one pixel lies at the 99th percentile or far beyond."""
    drawn = []
    monkeypatch.setattr(panel.st, "image", lambda picture, **_: drawn.append(picture))
    face = Samples(("x",), torch.full((1, 1, 48, 48), 128).byte(), torch.tensor([0]), ("a",))
    for outlier in (0.5, 100):
        maps = torch.full((1, 1, 48, 48), 0.5)
        maps[..., 7, 7] = outlier
        made = Explanation(("x",), maps, torch.tensor([[0]]), {"name": "m"}, "", (1, 48, 48))
        panel.show_maps(face, made, {0: ""}, ("a",), scale=scale)
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("name", METHODS)
def test_every_option_has_a_widget(name):
    hints = get_type_hints(METHODS[name])
    for entry in fields(METHODS[name]):
        known = {int, float, bool, str, None}
        assert any(kind in known or isinstance(kind, str) for kind in kinds_of(hints[entry.name])), entry.name


def test_kinds_of_unions_and_words():
    assert kinds_of(float | Literal["mean", "blur"]) == [float, "mean", "blur"]
    assert kinds_of(int | None) == [int, None]
    assert kinds_of(bool) == [bool]


def test_a_file_is_hashed_again_only_when_it_changed(tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    first = shared.digest(file)
    file.write_text("two!")
    os.utime(file, ns=(1, 1))
    assert shared.digest(file) != first


def test_a_run_can_be_named_by_its_path(surroundings, place, tmp_path):
    surroundings.setenv("INSPECT_FER_REPORTS", str(tmp_path))
    surroundings.setenv("INSPECT_FER_RUN", str(place / "reports" / "small"))
    assert shared.runs_by_name() == {"small": place / "reports" / "small"}
