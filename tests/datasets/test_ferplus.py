from collections import Counter
from pathlib import Path

import pytest
import torch

from inspect_fer.datasets import samples
from inspect_fer.datasets.ferplus import load_ferplus
from inspect_fer.datasets.votes import COLUMNS
from inspect_fer.errors import DataError, UnknownNameError

REAL = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not (REAL / "fer2013new.csv").is_file(), reason="the real FER+ votes are not here")
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


def test_votes_are_joined_by_row_and_every_dropped_row_has_a_reason(write_votes):
    found = load_ferplus(write_votes(), "all")
    assert [name.rsplit("/", 1)[1] for name in found.ids] == ["0", "1", "4", "6"]
    assert [found.class_names[label] for label in found.labels] == ["neutral", "happiness", "surprise", "contempt"]
    assert found.votes[2].tolist() == pytest.approx([0, 0, 0.6, 0.2, 0.2, 0, 0, 0])
    assert Counter(found.dropped) == {"no majority": 2, "unknown or no face": 1, "no image name": 1}


def test_modes_keep_and_label_rows_by_their_own_rules(write_votes):
    folder = write_votes()
    spread = load_ferplus(folder, "all", mode="crossentropy")
    assert [name.rsplit("/", 1)[1] for name in spread.ids] == ["0", "1", "2", "4", "5", "6"]
    assert spread.votes[2].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    drawn = load_ferplus(folder, "all", mode="probability")
    assert drawn.ids == spread.ids
    assert torch.equal(drawn.votes, spread.votes)
    several = load_ferplus(folder, "all", mode="multi_target")
    assert several.votes[3].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert several.votes[4].tolist() == pytest.approx([0, 0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0])
    assert several.dropped == {"unknown or no face": 1, "no image name": 1}


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
    write_votes(rows, header=rows[0])
    with pytest.raises(DataError, match="has no header"):
        load_ferplus(folder)
    with pytest.raises(UnknownNameError, match="No FER\\+ mode is called 'majorty'. Did you mean 'majority'"):
        load_ferplus(folder, mode="majorty")
    for vote in ("many", "1.5", "-1"):
        write_votes([[use, "a.png", vote, *row[1:]] for use, row in zip(USAGE, VOTES, strict=True)])
        with pytest.raises(DataError, match="row 0: votes are whole numbers"):
            load_ferplus(folder)
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match="fer2013new.csv cannot be read"):
        load_ferplus(folder)
    (tmp_path / "fer2013.csv").unlink()
    with pytest.raises(DataError, match="FER\\+ needs it beside"):
        load_ferplus(folder)


def test_folders_hold_the_same_faces_and_votes_as_the_csv(shared_miniature):
    for mode in ("majority", "crossentropy", "multi_target"):
        listed, filed = (samples(shared_miniature(name), "all", mode=mode) for name in ("ferplus", "ferplus-folders"))
        assert torch.equal(listed.pixels, filed.pixels[:])
        assert torch.equal(listed.labels, filed.labels)
        assert torch.equal(listed.votes, filed.votes)
        assert sum(listed.dropped.values()) == sum(filed.dropped.values())


def test_a_name_that_occurs_twice_in_label_csv_counts_once(tree):
    folder = tree("ferplus-folders", per_class=2)
    path = folder / "FER2013Test" / "label.csv"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, first, *rest]))
    found = load_ferplus(folder, "test")
    assert len(found) == 16
    assert found.dropped["image name occurs twice"] == 1


def test_a_list_cut_short_is_told(tree):
    folder = tree("ferplus-folders", per_class=2)
    path = folder / "FER2013Test" / "label.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:10]))
    with pytest.warns(
        UserWarning, match="8 of 18 pictures of this ferplus are in no row of its list; was it cut short"
    ):
        found = load_ferplus(folder, "test")
    assert len(found) + sum(found.dropped.values()) == 18


def test_bad_folders(tree):
    folder = tree("ferplus-folders", per_class=2)
    path = folder / "FER2013Test" / "label.csv"
    text = path.read_text()
    path.write_text("name,box," + ",".join(COLUMNS) + "\n" + text)
    with pytest.raises(DataError, match="label.csv has no header"):
        load_ferplus(folder)
    path.write_text(text.rsplit(",", 3)[0])
    with pytest.raises(DataError, match=r"row 17: votes are whole numbers"):
        load_ferplus(folder)
    path.write_text(text)
    next((folder / "FER2013Test").glob("*.png")).unlink()
    with pytest.raises(DataError, match="1 of 16 pictures are not there, the first is"):
        load_ferplus(folder)
    path.unlink()
    with pytest.raises(DataError, match="label.csv cannot be read"):
        load_ferplus(folder)


@real
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


@real
@pytest.mark.parametrize(
    ("mode", "kept"), [("crossentropy", (27956, 3505, 3505)), ("multi_target", (27671, 3472, 3472))]
)
def test_how_many_of_the_real_votes_are_kept(mode, kept, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    found = Counter(name.split("/")[1] for name in load_ferplus(REAL, "all", mode=mode).ids)
    assert tuple(found[split] for split in ("Training", "PublicTest", "PrivateTest")) == kept


@real
def test_the_unanimous_rows_are_those_of_source_000(monkeypatch):
    """Its truth kept the 2446 of 3505 rows where one emotion has every vote; these are the supports it printed."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    found = load_ferplus(REAL, "PrivateTest", mode="crossentropy")
    one = found[found.votes.amax(1) == 1]
    assert list(one.counts().values()) == [822, 833, 303, 229, 199, 8, 43, 9]
