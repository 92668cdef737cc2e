import gzip

import pytest

from inspect_fer.datasets.tables import class_ids, read_csv, read_lines
from inspect_fer.errors import DataError

NAMES = ("anger", "fear", "joy")


@pytest.fixture
def write(tmp_path):
    def written(text, name="list.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return written


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz"])
def test_a_csv_is_read_with_its_names_stripped(write, name):
    rows = read_csv(write("\ufeffid, label\na,1\nb,2\n", name), ["id", "label"], title="The list")
    assert rows["label"].tolist() == [1, 2]
    assert rows["id"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,1\nb,2\n", "has no header: a row of data is in its first line and would be lost. Put the line id,label"),
        (
            "id,labels\na,1\n",
            "has no column 'label'; it has the columns id, labels. The list has id, label in its first",
        ),
        ("id,label,label\na,1,2\n", "has two columns called 'label'"),
        ("id,label\n", "has a header and no rows"),
        ("\n\n", "is not a csv file: its first line is empty"),
        ("id,label\na,1\nb,2,3\nc,4\n", "list.csv, row 1: expected 2 columns, found 3. Is the file damaged"),
        ("id,label\na,1,9\nb,2,3\n", "is not a csv file"),
        ('id,label\n"a,1\nb,2\n', "is not a csv file"),
    ],
)
def test_bad_lists_get_one_clear_line(write, text, says):
    with pytest.raises(DataError, match=says) as caught:
        read_csv(write(text), ["id", "label"], title="The list")
    assert "\n" not in str(caught.value)


def test_a_second_column_of_a_name_that_nobody_needs_is_no_harm(write):
    rows = read_csv(write("note,id,note\nx,a,y\n"), ["id"], title="The list")
    assert rows["id"].tolist() == ["a"]


def test_files_that_cannot_be_read(write, tmp_path):
    path = write("id,label\n" + "a,1\n" * 500, "list.csv.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cut short or no gzip file"):
        read_csv(path, ["id"], title="The list")
    with pytest.raises(DataError, match="nothing.csv cannot be read: No such file"):
        read_csv(tmp_path / "nothing.csv", ["id"], title="The list")
    with pytest.raises(DataError, match="nothing.txt cannot be read as text"):
        read_lines(tmp_path / "nothing.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="bytes.txt cannot be read as text"):
        read_lines(tmp_path / "bytes.txt")


def test_ids_become_labels_from_zero():
    assert class_ids([0, "2", 1.0], NAMES, where="x", title="X").tolist() == [0, 2, 1]
    assert class_ids(["1", "3"], NAMES, where="x", title="X", first=1).tolist() == [0, 2]
    assert class_ids([0, 4], NAMES, where="x", title="X", beyond=2).tolist() == [0, 4]
    assert class_ids([], NAMES, where="x", title="X").tolist() == []


@pytest.mark.parametrize(
    ("values", "first", "says"),
    [
        ([0, 1, 3], 0, "x, row 2: id 3 is not a label; X has 0 to 2, 0 anger ... 2 joy.$"),
        ([1, 2, 3], 0, "row 2: id 3 .*All ids would fit with 1 subtracted from them: were they renumbered"),
        ([0, 1, 2], 1, "row 0: id 0 .*X has 1 to 3, 1 anger ... 3 joy. All ids would fit with 1 added to them"),
        ([0, 1.5], 0, "row 1: id 1.5 is not a label"),
        ([0, "fear"], 0, "row 1: id fear is not a label"),
        ([0, None], 0, "row 1: id None is not a label"),
    ],
)
def test_ids_out_of_range_are_told_with_what_may_have_happened(values, first, says):
    with pytest.raises(DataError, match=says):
        class_ids(values, NAMES, where="x", title="X", first=first)


def test_a_first_class_that_never_occurs_is_suspicious_in_a_long_list():
    with pytest.warns(
        UserWarning, match="no row has the id 0 \\(anger\\).*counted from 1, every label is wrong by one"
    ):
        class_ids([1, 2] * 25, NAMES, where="x", title="X")
    class_ids([1, 2] * 24, NAMES, where="x", title="X")
    class_ids([1] * 50, NAMES, where="x", title="X")
