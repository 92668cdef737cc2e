"""What is computed for a report, against loops and theory."""

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
import torch
from PIL import Image

from inspect_fer.render import SCALES
from inspect_fer.report import FIGURES, Report
from inspect_fer.report.album import one_size, place_of, strip_bytes, tile_side
from inspect_fer.report.augmented import MANY, changed_faces
from inspect_fer.report.gallery import cards
from inspect_fer.report.material import FEW, choose, take_turns
from inspect_fer.report.means import class_means, strongest
from inspect_fer.report.ranking import POINTS, rankings
from inspect_fer.report.stored import maps_of
from inspect_fer.runs.store import StoredMaps, write_maps
from inspect_fer.schema import Prediction, Run, Samples


def guesses(n=60, classes=3):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(-1, classes, (n,), generator=generator)
    logits = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(n), labels.clamp(min=0)] += 1
    return Prediction(tuple(map(str, range(n))), logits, labels, tuple("abc"[:classes]))


def auc_by_hand(truth, score):
    """Share of the pairs that are in the right order (Hanley and McNeil, Radiology 143, 1982); ties count half."""
    pairs = [
        (a, b) for a, yes in zip(score, truth, strict=True) if yes for b, no in zip(score, truth, strict=True) if not no
    ]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


def test_areas_below_roc_curves_are_shares_of_pairs_in_order():
    prediction = guesses()
    known = prediction.labels >= 0
    for number, one in enumerate(rankings(prediction).values()):
        truth = (prediction.labels[known] == number).tolist()
        score = prediction.probabilities[known, number].tolist()
        assert one.auc == pytest.approx(auc_by_hand(truth, score))
        assert np.trapezoid(one.found, one.false_alarms) == pytest.approx(one.auc)
        assert one.share == pytest.approx(sum(truth) / len(truth))
        order = sorted(zip(score, truth, strict=True), reverse=True)
        hits = [sum(yes for _, yes in order[:k]) for k in range(len(order) + 1)]
        gained = sum((hits[k] - hits[k - 1]) * hits[k] / k for k in range(1, len(order) + 1))
        assert one.average_precision == pytest.approx(gained / sum(truth))
        best = max(hits[k] / k for k in range(1, len(order) + 1) if hits[k] >= 0.6 * sum(truth))
        assert one.precision_at(0.6) == pytest.approx(best)


def test_long_curves_are_thinned_without_losing_area():
    for one in rankings(guesses(5000, 2)).values():
        assert len(one.false_alarms) <= POINTS
        assert np.trapezoid(one.found, one.false_alarms) == pytest.approx(one.auc, abs=2e-3)
        assert (one.false_alarms[0], one.found[0], one.false_alarms[-1], one.found[-1]) == (0, 0, 1, 1)


def test_classes_that_cannot_be_ranked_are_left_out():
    prediction = guesses()
    assert list(rankings(replace(prediction, labels=prediction.labels.clamp(max=1)))) == ["a", "b"]
    assert rankings(replace(prediction, labels=torch.zeros(60, dtype=torch.int64))) == {}


def test_mean_maps_are_those_of_the_predicted_class(made_up):
    run, faces = made_up()
    why = run.explanations["grad-cam"]
    why.maps[4] = float("nan")
    means = class_means(run, faces)
    for place, name in enumerate(means.classes):
        rows = [row for row in range(30) if run.prediction.predicted[row] == name]
        total = sum(why.upsampled()[row, name].double() for row in rows if row != 4)
        torch.testing.assert_close(means.maps["grad-cam"][place], (total / len(set(rows) - {4})).float())
        assert means.counts["grad-cam"][place] == len(set(rows) - {4})
        torch.testing.assert_close(means.faces[place].float(), faces.pixels[rows].float().mean(0), atol=0.51, rtol=0)


def test_mean_maps_of_one_target_and_of_methods_without_a_class(made_up):
    run, faces = made_up(methods=("only", "free"))
    only, free = run.explanations["only"], run.explanations["free"]
    one = replace(only, maps=only.maps[:, :1], targets=torch.full((30, 1), 2))
    found = class_means(replace(run, explanations={"only": one, "free": replace(free, class_free=True)}), faces)
    said = [int((run.prediction.predicted == name).sum()) for name in found.classes]
    assert found.counts["only"] == [count if name == 2 else 0 for name, count in zip(found.classes, said, strict=True)]
    assert found.counts["free"] == said
    assert found.maps["only"][0].abs().max() == 0


def test_the_strongest_ninth():
    evidence = torch.zeros(6, 9)
    evidence[4:, 3:6] = 1
    evidence[0, 0], evidence[3, 8] = 2, -9
    assert strongest(evidence) == ("lower centre", 0.75)
    assert strongest(-torch.ones(4, 4)) == ("", 0.0)


def test_taking_turns():
    assert take_turns([[1, 2, 3], [], [4]]) == [1, 4, 2, 3]
    assert take_turns([[1, 2], [2, 1]]) == [1, 2]


def test_the_faces_shown_are_of_every_kind(made_up):
    run, faces = made_up(n=210)
    report = Report(run, faces, limit=60)
    rows = choose(report)
    prediction = run.prediction
    assert len(rows) == len(set(rows)) == 60
    assert rows[0] == report.mistakes[0]
    by_hand = sorted((row for row in range(210) if prediction.wrong[row]), key=lambda row: -prediction.confidence[row])
    assert report.mistakes == by_hand
    assert set(report.mistakes[:FEW]) <= set(rows)
    assert set(report.uncertain[:FEW]) <= set(rows)
    cells = set(zip(prediction.labels.tolist(), prediction.predicted.tolist(), strict=True))
    assert {(int(prediction.labels[row]), int(prediction.predicted[row])) for row in rows} == cells
    assert sorted(choose(replace(report, limit=500))) == list(range(210))


def test_a_rare_cell_is_shown_although_its_mistake_is_not_certain():
    labels = torch.tensor([0] * 40 + [2] + [1] * 30)
    answers = torch.tensor([1] * 40 + [3] + [1] * 30)
    strength = torch.tensor([9.0] * 40 + [3.0] + [1.0] * 30)
    logits = torch.nn.functional.one_hot(answers, 4) * strength[:, None]
    prediction = Prediction(tuple(map(str, range(71))), logits, labels, tuple("abcd"))
    assert 40 in choose(Report(Run(Path(), {}, prediction, {}, {}), limit=12))


def test_changed_faces_begin_with_the_face_and_are_what_the_training_draws(made_up, told):
    run, faces = made_up(n=3)
    card = run.manifest["card"]
    mirror = {"flip": 1.0, "shift": 0.0, "rotate": 0.0, "scale": 0.0}
    found = changed_faces(faces, card | {"recipe": {"augment": mirror}})
    assert found.shape == (3, 1 + MANY, 1, 48, 48)
    assert torch.equal(found[:, 0], faces.pixels)
    difference = (found[:, 1:].int() - faces.pixels.flip(-1)[:, None].int()).abs()
    assert difference.max() <= 1  # rounding
    crops = changed_faces(faces, card | {"recipe": {"augment": mirror | {"ten_crops": True}}})
    assert crops.shape == found.shape
    assert changed_faces(faces, card | {"recipe": {"augment": {"unheard": 1}}}) is None
    assert changed_faces(faces[:0], card) is None


def test_a_strip_is_placed_so_that_the_box_shows_one_tile_without_its_border():
    side, count = 4, 3
    for tile in range(count):
        width, left, top = (value * side / 100 for value in place_of(tile, count, side))
        assert width == pytest.approx(count * (side + 2))
        assert -left == pytest.approx(tile * (side + 2) + 1)
        assert top == pytest.approx(-1)
    tiles = [np.full((side, side, 4), 200, np.uint8)] * count
    with Image.open(BytesIO(strip_bytes(tiles))) as strip:
        assert strip.size == (count * (side + 2), side + 2)
        assert np.asarray(strip)[..., 3].min() == 200  # the border is the tile's own edge


def test_tiles_are_as_fine_as_their_maps_and_of_one_size_in_a_strip():
    assert [tile_side(cells) for cells in (3, 6, 11, 48, 60, 224)] == [32, 32, 48, 48, 96, 96]
    tiles = [np.full((side, side, 4), side, np.uint8) for side in (32, 48)]
    small, large = one_size(tiles)
    assert small.shape == large.shape == (48, 48, 4)
    assert abs(small.astype(int) - 32).max() <= 4  # colours are weighed by their strength
    assert one_size([]) == []


class Lazy(Mapping):
    """Explanations of which one at a time may be held."""

    def __init__(self, found):
        self.found, self.given, self.most = found, [], 0

    def __getitem__(self, name):
        why = replace(self.found[name])
        self.given.append(ref(why))
        self.most = max(self.most, sum(one() is not None for one in self.given))
        return why

    def __iter__(self):
        return iter(self.found)

    def __len__(self):
        return len(self.found)


def test_methods_are_read_one_after_the_other(made_up, report):
    run, faces = made_up(methods=("a", "b", "c", "d"))
    lazy = Lazy(run.explanations)
    report(replace(run, explanations=lazy), faces)
    assert 1 <= lazy.most <= 2  # the next is read before the name of the last is free


def test_stored_maps_are_read_a_shard_at_a_time_and_mean_the_same(made_up, told, tmp_path, monkeypatch):
    run, faces = made_up(n=20)
    for name in run.explanations:
        why = run.explanations[name]
        why.maps[:] = why.maps.half().float()  # as precise as they are stored
        for start in (0, 8, 16):
            write_maps(tmp_path / f"{name}-{start}.npy", why.of(list(range(start, min(start + 8, 20)))), {})
    places = {name: [tmp_path / f"{name}-{start}.npy" for start in (0, 8, 16)] for name in run.explanations}
    stored = replace(run, explanations=StoredMaps(places, run.prediction))
    monkeypatch.setattr(StoredMaps, "__getitem__", None)  # reads all shards of a method
    found, expected = (class_means(one, faces) for one in (stored, run))
    assert found.counts == expected.counts
    for name, maps in expected.maps.items():
        torch.testing.assert_close(found.maps[name], maps, atol=2e-3, rtol=2e-3)
    (tmp_path / "pictures").mkdir()
    for scale in SCALES:
        views = [
            [
                (card.row, card.methods)
                for card in cards(Report(one, faces, scale=scale), tmp_path / "pictures", budget=10**9)
            ]
            for one in (stored, run)
        ]
        assert views[0] == views[1]
    assert {name: one.ids for name, one in maps_of(stored, "grad-cam", ["face/3", "face/17"]).items()} == {
        "face/3": ("face/3",),
        "face/17": ("face/17",),
    }
    assert FIGURES["mistakes"](Report(stored, faces)).size == FIGURES["mistakes"](Report(run, faces)).size


def test_a_large_run_reads_only_the_faces_that_it_shows(made_up, report):
    run, faces = made_up(n=2000, methods=())

    class Counted:
        """Pixels that remember how many rows were read."""

        def __init__(self, pixels, read):
            self.pixels, self.read, self.shape = pixels, read, pixels.shape

        def __getitem__(self, rows):
            found = self.pixels[rows]
            self.read.append(len(found))
            return found

        def select(self, rows):
            return Counted(self.pixels[rows], self.read)

    read = []
    lazy = Samples(faces.ids, Counted(faces.pixels, read), faces.labels, faces.class_names)
    report(run, lazy, limit=20)
    assert sum(read) < 20 + 24 + 4 + 7 * 100 + 1
    assert max(read) <= 100
