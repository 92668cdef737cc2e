import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspect_fer.datasets.splits import FER2013_SPLITS, ROLES, WHOLE_TRAIN, by_subject, held_out, split_names
from inspect_fer.errors import DataError

PEOPLE = st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=3, max_size=40)


@pytest.mark.parametrize(
    ("split", "own", "meant"),
    [
        ("test", FER2013_SPLITS, ("PrivateTest",)),
        ("Training", FER2013_SPLITS, ("Training",)),
        ("Validation", ROLES, ("select",)),
        ("all", FER2013_SPLITS, FER2013_SPLITS),
        ("PublicTest+PrivateTest", FER2013_SPLITS, ("PublicTest", "PrivateTest")),
        ("test+select+test", ROLES, ("test", "select")),
        ("train_all", ROLES, ("train", "select")),
        ("train_all+test", ROLES, ROLES),
    ],
)
def test_names_of_splits(split, own, meant):
    assert split_names(split, own, WHOLE_TRAIN) == meant


def test_an_unknown_name_among_several():
    with pytest.raises(DataError, match="No split is called 'PrivatTest'. Did you mean 'PrivateTest'"):
        split_names("PublicTest+PrivatTest", FER2013_SPLITS)


@given(people=PEOPLE, seed=st.integers(0, 5))
def test_every_person_has_one_split_of_about_a_fifth_or_three(people, seed):
    roles = by_subject(people, seed=seed)
    assert set(roles) == people
    count = {role: list(roles.values()).count(role) for role in ROLES}
    assert count["select"] == count["test"] >= 1
    assert abs(count["test"] - 0.2 * len(people)) <= 0.8
    assert count["train"] >= 1
    assert roles == by_subject(sorted(people, reverse=True), seed=seed)


def test_a_seed_gives_the_same_split_for_ever():
    """Splits that changed from version to version would lead to training on what was reported on before."""
    roles = by_subject((f"S{number:03}" for number in range(5, 15)), seed=0)
    apart = {name: role for name, role in roles.items() if role != "train"}
    assert apart == {"S007": "select", "S011": "select", "S005": "test", "S012": "test"}
    rows = [f"train_{number:05}" for number in range(1, 21)]
    assert [name for name, chosen in zip(rows, held_out(rows, [0] * 20, 0.1), strict=True) if chosen] == [
        "train_00005",
        "train_00013",
    ]


def test_two_people_cannot_be_split():
    with pytest.raises(DataError, match="takes three people or more, here: a, b. Ask for split 'all'"):
        by_subject(["b", "a"])


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=80), share=st.sampled_from([0.05, 0.1, 0.5]))
def test_a_share_of_every_class_is_held_out_whatever_the_order(labels, share):
    names = [f"face{row}" for row in range(len(labels))]
    chosen = held_out(names, labels, share)
    for label in set(labels):
        rows = [row for row, own in enumerate(labels) if own == label]
        expected = max(round(share * len(rows)), 1 if len(rows) > 1 else 0)
        assert sum(chosen[row] for row in rows) == expected
    again = held_out(names[::-1], labels[::-1], share)
    assert again[::-1] == chosen
