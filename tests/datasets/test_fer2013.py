import gzip
from pathlib import Path

import pytest
import torch
from PIL import Image

from inspect_fer.datasets import pixel_csv
from inspect_fer.datasets.fer2013 import load_fer2013
from inspect_fer.datasets.known import PUBLISHED
from inspect_fer.datasets.pixel_csv import parse
from inspect_fer.emotions import EMOTIONS
from inspect_fer.errors import DataError, UnknownNameError

REAL = Path(__file__).parents[3] / "shared" / "data" / "fer2013.csv.gz"


def replaced(row, old, new):
    def change(rows):
        rows[row] = rows[row].replace(old, new, 1)
        return rows

    return change


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("fer2013.csv", {}),
        ("fer2013.csv.gz", {}),
        ("icml_face_data.csv", {"order": ("emotion", "Usage", "pixels"), "header": "emotion, Usage, pixels"}),
        ("icml_face_data.csv.gz", {"order": ("emotion", "Usage", "pixels"), "header": "emotion, Usage, pixels"}),
    ],
)
def test_reads_every_csv_layout(write_csv, faces, name, layout):
    path = write_csv(name, **layout)
    found = load_fer2013(path, "all")
    assert torch.equal(found.pixels, torch.tensor(faces[0], dtype=torch.uint8).view(8, 1, 48, 48))
    assert found.labels.tolist() == faces[1]
    assert found.class_names == EMOTIONS["fer2013"]
    assert load_fer2013(path.parent, "all").ids == found.ids


@pytest.mark.parametrize(
    ("split", "rows"), [("Training", "0123"), ("select", "45"), ("PrivateTest", "67"), ("test", "67")]
)
def test_splits_keep_the_row_number_of_the_complete_file(write_csv, faces, split, rows):
    found = load_fer2013(write_csv(), split)
    assert "".join(name.rsplit("/", 1)[1] for name in found.ids) == rows
    assert found.labels.tolist() == [faces[1][int(row)] for row in rows]


def test_files_without_usage(write_csv, faces):
    train = load_fer2013(write_csv("train.csv", order=("emotion", "pixels")), "Training")
    assert train.labels.tolist() == faces[1]
    test = load_fer2013(write_csv("test.csv", order=("pixels",)), "PrivateTest")
    assert test.labels.tolist() == [-1] * 8


def test_the_second_read_comes_from_the_cache(write_csv, monkeypatch):
    path = write_csv()
    first = load_fer2013(path, "all")
    monkeypatch.setattr(pixel_csv, "parse", lambda _: pytest.fail("parsed again"))
    again = load_fer2013(path, "all")
    assert torch.equal(first.pixels, again.pixels)
    assert first.ids == again.ids


def test_a_changed_file_is_never_read_from_the_cache(write_csv):
    before = load_fer2013(write_csv(), "all")
    after = load_fer2013(write_csv(change=replaced(1, "0,", "5,")), "all")
    assert (before.labels[0], after.labels[0]) == (0, 5)


def test_a_damaged_or_unwritable_cache_is_no_harm(write_csv, tmp_path, monkeypatch):
    path = write_csv()
    load_fer2013(path, "all")
    (cached,) = (tmp_path / "cache").rglob("*.safetensors")
    cached.write_bytes(b"not this")
    assert len(load_fer2013(path, "all")) == 8
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert len(load_fer2013(path, "all")) == 8


def test_a_written_value_is_the_value_read(write_csv):
    path = write_csv(change=lambda rows: [rows[0], "2," + " ".join(["7"] * 2303 + ["255"]) + ",Training"])
    table = parse(path)
    assert table.pixels.flatten()[-2:].tolist() == [7, 255]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replaced(0, "emotion,pixels,Usage", "a,b,c"), "has the columns a, b, c"),
        (lambda rows: rows[1:], "in its first line"),
        (replaced(2, "3,", "7,"), "row 1: emotion 7 is not a label"),
        (replaced(2, "3,", "2.5,"), "row 1: emotion 2.5 is not a label"),
        (replaced(3, " ", " 256 "), "row 2: expected 2304 pixels"),
        (replaced(3, " ", " x "), "row 2: expected 2304 pixels"),
        (lambda rows: [*rows[:-1], rows[-1][:500]], "row 7: expected 2304 pixels"),
        (replaced(2, "3,", "-1,"), "row 1: emotion -1 is not a label"),
        (
            lambda rows: [rows[0], *(f"{int(row[0]) + 1}{row[1:]}" for row in rows[1:])],
            "fit with 1 subtracted from them",
        ),
        (lambda rows: rows[1:], "has no header: a row of data is in its first line and would be lost"),
        (
            lambda rows: ["emotion,pixels,Usage,pixels", *(f"{row},1" for row in rows[1:])],
            "two columns called 'pixels'",
        ),
        (lambda rows: [*rows[:-1], rows[-1].rsplit(",", 1)[0]], "row 7: Usage says nothing"),
        (lambda rows: [*rows[:4], rows[4][:700] + rows[6], *rows[7:]], "row 3: expected 3 columns, found 4"),
        (replaced(1, "Training", "Trainign"), "row 0: Usage says Trainign"),
        (lambda rows: [rows[0], *(row.rsplit(",", 1)[0] + ",7" for row in rows[1:])], "Usage says 7"),
        (lambda rows: rows[:1], "a header and no rows"),
        (lambda _: [""], "is not a csv file"),
    ],
)
def test_bad_files_get_one_clear_line(write_csv, change, says):
    with pytest.raises(DataError, match=says) as caught:
        load_fer2013(write_csv(change=change), "all")
    assert "\n" not in str(caught.value)


def test_a_pixel_out_of_range_is_named(write_csv):
    def brighten(rows):
        label, pixels, usage = rows[5].split(",")
        return [*rows[:5], ",".join([label, " ".join(["300", *pixels.split()[1:]]), usage]), *rows[6:]]

    with pytest.raises(DataError, match=r"row 4: expected 2304 pixels of 0 to 255, found 2304 of \d+ to 300"):
        load_fer2013(write_csv(change=brighten), "all")


def test_a_truncated_gzip_and_no_gzip(write_csv):
    path = write_csv("fer2013.csv.gz")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="cut short"):
        load_fer2013(path, "all")
    path.write_bytes(b"emotion,pixels,Usage\n")
    with pytest.raises(DataError, match="no gzip file"):
        load_fer2013(path, "all")


def test_missing_file_empty_split_and_unknown_split(write_csv, tmp_path):
    with pytest.raises(DataError, match=r"fer.csv cannot be read"):
        load_fer2013(tmp_path / "fer.csv", "all")
    path = write_csv(change=lambda rows: rows[:5])
    with pytest.raises(DataError, match="holds no rows of PrivateTest"):
        load_fer2013(path, "PrivateTest")
    with pytest.raises((DataError, UnknownNameError), match="Did you mean 'PublicTest'"):
        load_fer2013(path, "PublicTst")


@pytest.fixture
def folders(tmp_path):
    for place in (
        "train/angry/Training_1.jpg",
        "train/neutral/Training_2.jpg",
        "test/sad/PublicTest_3.jpg",
        "test/surprise/PrivateTest_4.jpg",
    ):
        path = tmp_path / "tree" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48), 100).save(path)
    return tmp_path / "tree"


def test_the_folder_layout_gets_the_ids_of_the_csv_not_of_the_alphabet(folders):
    names = EMOTIONS["fer2013"]
    assert [names[label] for label in load_fer2013(folders, "train").labels] == ["anger", "neutral"]
    assert load_fer2013(folders, "PublicTest").ids == ("fer2013/PublicTest/PublicTest_3",)
    assert names[load_fer2013(folders, "PrivateTest").labels[0]] == "surprise"


def test_folders_that_say_nothing_are_told(folders, tmp_path):
    (folders / "test" / "sad").rename(folders / "test" / "moody")
    with pytest.raises(DataError, match="names no emotion"):
        load_fer2013(folders, "PublicTest")
    with pytest.raises(DataError, match="holds no fer2013.csv"):
        load_fer2013(tmp_path / "cache", "all") if (tmp_path / "cache").mkdir() is None else None


@pytest.mark.skipif(not REAL.is_file(), reason="the real FER2013 is not here; it is never part of the repository")
def test_the_real_file_has_the_published_counts(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    counts = {
        split: list(load_fer2013(REAL, split).counts().values()) for split in ("Training", "PublicTest", "PrivateTest")
    }
    assert counts == {
        "Training": [3995, 436, 4097, 7215, 4830, 3171, 4965],
        "PublicTest": [467, 56, 496, 895, 653, 415, 607],
        "PrivateTest": [491, 55, 528, 879, 594, 416, 626],
    }


def test_the_cached_parse_equals_a_fresh_one(write_csv):
    path = write_csv("fer2013.csv.gz")
    assert torch.equal(load_fer2013(path, "all").pixels, parse(path).pixels)
    assert gzip.decompress(path.read_bytes()).startswith(b"emotion")


def test_joined_splits_keep_the_order_of_the_file(write_csv):
    path = write_csv()
    both = load_fer2013(path, "PrivateTest+PublicTest")
    assert [name.rsplit("/", 1)[1] for name in both.ids] == ["4", "5", "6", "7"]
    assert load_fer2013(path.parent, "train+test").ids == (
        *load_fer2013(path, "Training").ids,
        *load_fer2013(path, "PrivateTest").ids,
    )


def test_rows_that_ferplus_names(tree):
    folder = tree("ferplus", per_class=2)
    found = load_fer2013(folder, "Training", named=True)
    assert len(load_fer2013(folder, "Training")) == len(found) + 1
    assert found.dropped == {"no image name in FER+": 1}
    (folder / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match="fer2013new.csv cannot be read"):
        load_fer2013(folder, "Training", named=True)
    with pytest.raises(DataError, match="holds no fer2013.csv; rows without a name in FER\\+ are known by their place"):
        load_fer2013(tree("fer2013-folders", per_class=2), "Training", named=True)


def test_class_counts_in_another_order_are_warned_of(write_csv, monkeypatch):
    published = {"PublicTest": (0, 0, 2, 0, 0, 0, 0)}
    monkeypatch.setitem(PUBLISHED, "fer2013", published)
    twice = write_csv(change=lambda rows: [*rows[:5], *("5" + row[1:] for row in rows[5:7]), *rows[7:]])
    with pytest.warns(UserWarning, match=r"surprise has 2, published for fear"):
        load_fer2013(twice, "PublicTest")


@pytest.mark.skipif(not REAL.is_file(), reason="the real FER2013 is not here; it is never part of the repository")
def test_the_rows_of_source_000(monkeypatch):
    """Its supports, under their true names: PrivateTest without the 15 rows that FER+ gives no name."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    found = load_fer2013(REAL, "PrivateTest", named=True)
    assert list(found.counts().values()) == [489, 55, 527, 876, 589, 414, 624]
