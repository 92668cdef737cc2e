from collections import Counter
from pathlib import Path

import pytest
import torch

from inspect_fer.datasets.ferplus import COLUMNS, load_ferplus, majority
from inspect_fer.errors import DataError, UnknownNameError

REAL = Path(__file__).parents[3] / "shared" / "data"
USAGE = ["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
VOTES = [
    (10, 0, 0, 0, 0, 0, 0, 0, 0, 0),  # neutral
    (1, 9, 0, 0, 0, 0, 0, 0, 0, 0),  # happiness; the single vote does not count
    (5, 5, 0, 0, 0, 0, 0, 0, 0, 0),  # a tie: no majority
    (0, 0, 0, 0, 0, 0, 0, 0, 2, 8),  # no face
    (0, 0, 6, 2, 2, 0, 0, 0, 0, 0),  # surprise, 6 of 10
    (0, 0, 0, 0, 4, 3, 3, 0, 0, 0),  # no majority
    (0, 0, 0, 0, 0, 0, 0, 7, 3, 0),  # contempt
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),  # no image name
]


def majority_by_hand(votes):
    """The rule of the reference implementation for one face: (label or None, shares)."""
    counted = [vote if vote > 1 else 0 for vote in votes]
    top = counted.index(max(counted))
    kept = counted[top] > sum(counted) / 2 and top < 8
    emotions = counted[:8]
    return (top if kept else None), [vote / sum(emotions) for vote in emotions] if sum(emotions) else [0] * 8


@pytest.fixture
def write_votes(tmp_path, write_csv):
    write_csv()

    def write(rows=None, header=("Usage", "Image name", *COLUMNS)):
        names = [f"fer{row:07}.png" for row in range(7)] + [""]
        rows = rows or [[use, name, *vote] for use, name, vote in zip(USAGE, names, VOTES, strict=True)]
        text = "\n".join(",".join(map(str, row)) for row in [header, *rows])
        (tmp_path / "fer2013new.csv").write_text(text)
        return tmp_path

    return write


def test_majority_matches_the_rule_written_out():
    votes = torch.randint(0, 11, (300, 10), generator=torch.Generator().manual_seed(0)).float()
    labels, shares, reasons = majority(votes)
    for row, vote in enumerate(votes.tolist()):
        label, share = majority_by_hand(vote)
        assert (label is not None) == (reasons[row] == "")
        assert shares[row].tolist() == pytest.approx(share)
        if label is not None:
            assert labels[row] == label


def test_votes_are_joined_by_row_and_every_dropped_row_has_a_reason(write_votes):
    found = load_ferplus(write_votes(), "all")
    assert [name.rsplit("/", 1)[1] for name in found.ids] == ["0", "1", "4", "6"]
    assert [found.class_names[label] for label in found.labels] == ["neutral", "happiness", "surprise", "contempt"]
    assert found.votes[2].tolist() == pytest.approx([0, 0, 0.6, 0.2, 0.2, 0, 0, 0])
    assert Counter(found.dropped) == {"no majority": 2, "unknown or no face": 1, "no image name": 1}


def test_names_are_never_used_to_join(write_votes):
    rows = [[use, "fer0000003.png", *vote] for use, vote in zip(USAGE, VOTES, strict=True)]
    assert load_ferplus(write_votes(rows), "Training").labels.tolist() == [0, 1]


def test_bad_votes_get_one_clear_line(write_votes, tmp_path):
    folder = write_votes(header=("Usage", "name", *COLUMNS))
    with pytest.raises(DataError, match="no column 'Image name'"):
        load_ferplus(folder)
    rows = [[use, "a.png", *vote] for use, vote in zip(USAGE, VOTES, strict=True)]
    write_votes(rows[:5])
    with pytest.raises(DataError, match="has 5 rows, FER2013 8"):
        load_ferplus(folder)
    write_votes([*rows[4:], *rows[:4]])
    with pytest.raises(DataError, match="row 0: Usage differs"):
        load_ferplus(folder)
    with pytest.raises(UnknownNameError, match="No FER\\+ mode is called 'majorty'. Did you mean 'majority'"):
        load_ferplus(folder, mode="majorty")
    write_votes([[use, "a.png", "many", *vote[1:]] for use, vote in zip(USAGE, VOTES, strict=True)])
    with pytest.raises(DataError, match="row 0: votes are whole numbers"):
        load_ferplus(folder)
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match="cannot be read as FER\\+ votes"):
        load_ferplus(folder)
    (tmp_path / "fer2013.csv").unlink()
    with pytest.raises(DataError, match="FER\\+ needs it beside"):
        load_ferplus(folder)


@pytest.mark.skipif(not (REAL / "fer2013new.csv").is_file(), reason="the real FER+ votes are not here")
@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("Training", [8740, 7287, 3149, 3014, 2100, 119, 532, 119]),
        ("PublicTest", [1182, 865, 415, 351, 287, 24, 62, 13]),
        ("PrivateTest", [1090, 893, 396, 384, 273, 18, 83, 16]),
    ],
)
def test_the_real_votes_give_the_published_counts(split, counts, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert list(load_ferplus(REAL, split).counts().values()) == counts
