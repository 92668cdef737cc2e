import warnings

import pytest

from inspect_fer.datasets import known as known_counts
from inspect_fer.datasets import samples
from inspect_fer.datasets.known import PUBLISHED, check_counts, checked, class_order

SIZES = {
    "fer2013": {"Training": 28709, "PublicTest": 3589, "PrivateTest": 3589},
    "ferplus": {"Training": 25060, "PublicTest": 3199, "PrivateTest": 3153},
    "rafdb": {"train_all": 12271, "test": 3068},
    "ckplus": {"all": 327},
    "ckplus48": {"all": 981},
    "ckextended": {"all": 920},
}


def test_the_tables_add_up_to_the_published_totals():
    assert {kind: {split: sum(row) for split, row in table.items()} for kind, table in PUBLISHED.items()} == SIZES
    for kind, table in PUBLISHED.items():
        assert {len(row) for row in table.values()} == {len(class_order(kind))}


def counts(kind, split):
    return dict(zip(class_order(kind), PUBLISHED[kind][split], strict=True))


@pytest.mark.parametrize(("kind", "split"), [(kind, split) for kind, table in PUBLISHED.items() for split in table])
def test_published_counts_and_other_counts_are_no_news(kind, split):
    published = counts(kind, split)
    assert check_counts(kind, split, published) is None
    assert check_counts(kind, split, {name: count + 1 for name, count in published.items()}) is None
    assert check_counts(kind, split, {}) is None


def test_changed_places_are_named():
    """The class names of source 000, which had FER2013's classes in another order than their ids."""
    names = ("surprise", "fear", "anger", "neutral", "sadness", "disgust", "happiness")
    found = check_counts("fer2013", "PrivateTest", dict(zip(names, PUBLISHED["fer2013"]["PrivateTest"], strict=True)))
    assert "fer2013".upper() in found
    for words in ("surprise has 491, published for anger", "neutral has 879, published for happiness"):
        assert words in found
    assert "sadness has" not in found
    assert "\n" not in found


def test_joined_splits_are_added_up():
    both = {
        name: sum(PUBLISHED["fer2013"][split][index] for split in ("PublicTest", "PrivateTest"))
        for index, name in enumerate(class_order("fer2013"))
    }
    assert check_counts("fer2013", "PublicTest+PrivateTest", both) is None
    both["fear"], both["anger"] = both["anger"], both["fear"]
    assert "fear has 958, published for anger" in check_counts("fer2013", "PublicTest+PrivateTest", both)


def test_what_is_not_published_is_no_news():
    assert check_counts("folder", "test", {"anger": 3}) is None
    assert check_counts("rafdb", "select", {"anger": 3}) is None


def test_loaders_warn(shared_miniature, monkeypatch):
    table = {"Training": (2, 2, 2, 2, 2, 2, 2), "PublicTest": (1, 2, 3, 4, 5, 6, 7)}
    monkeypatch.setattr(known_counts, "PUBLISHED", {"fer2013": table})
    spec = shared_miniature("fer2013")
    assert len(samples(spec, "Training")) == 14
    few = samples(spec, "PublicTest")[[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]]
    monkeypatch.setitem(table, "PublicTest", (2, 2, 1, 2, 2, 2, 2))
    with pytest.warns(UserWarning, match="anger has 1, published for fear; fear has 2, published for anger"):
        checked(few, "fer2013", ["PublicTest"])


def test_every_kind_of_loader_asks(shared_miniature, monkeypatch):
    asked = []
    monkeypatch.setattr(known_counts, "check_counts", lambda kind, split, _: asked.append((kind, split)))
    with warnings.catch_warnings():
        for layout in ("fer2013", "fer2013-folders", "ferplus", "ferplus-folders", "rafdb", "rafdb-kaggle"):
            samples(shared_miniature(layout), "test")
        for layout in ("ckplus", "ckplus48", "ckextended"):
            samples(shared_miniature(layout), "all")
        samples(shared_miniature("ferplus"), "test", mode="crossentropy")
        samples(shared_miniature("ckplus"), "all", frames=2)
    assert asked == [
        *[("fer2013", "PrivateTest")] * 2,
        *[("ferplus", "PrivateTest")] * 2,
        *[("rafdb", "train_all"), ("rafdb", "test")] * 2,
        *[(kind, "all") for kind in ("ckplus", "ckplus48", "ckextended")],
    ]
