"""What is no table is refused in one line, and nothing else happens."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspect_fer.audit import check_table, read_table, scores_of
from inspect_fer.errors import DataError

BAD = {
    "empty": (b"", "holds no table"),
    "one line": ("a,b,c\n", "holds no table"),
    "words": ("some\nwords\n", "holds no table"),
    "binary": (b"a,b\n1,\0\n3,4\n", "not text"),
    "latin": ("ä,b\n1,2\n3,4\n".encode("latin-1"), "UTF-8"),
    "not square": ("true,a,b,c\na,1,2,3\nb,4,5,6\n", "2 rows of classes and 3 columns"),
    "ragged": ("true,a,b\na,1\nb,2,3\n", "a count is missing in the row a"),
    "other names": ("true,a,b\na,1,2\nc,3,4\n", "rows are called a, c, its columns a, b"),
    "same names": ("true,a,a\na,1,2\na,3,4\n", "two classes have the name 'a'"),
    "negative": ("true,a,b\na,1,2\nb,-3,4\n", "row b holds '-3'"),
    "fraction": ("true,a,b\na,100,250\nb,3.5,4\n", "row b holds '3.5'"),
    "cell with both": ("true,a,b\na,1 (33%),2\nb,3,4\n", "holds '1 (33%)', where a count is wanted"),
    "nothing counted": ("true,a,b\na,0,0\nb,0,0\n", "all its counts are 0"),
    "too many": ("true,a,b\na,9e30,1\nb,1,1\n", "where a count is wanted"),
    "shares of the whole": ("true,a,b\na,.5,.1\nb,.3,.1\n", "neither rows nor columns add up to 1"),
    "score above 100": ("class,precision,recall\na,.5,101\nb,.5,.5\n", "holds 101; scores lie from 0 to 1"),
    "negative score": ("class,precision,recall\na,.5,-.1\nb,.5,.5\n", "holds -0.1; scores lie"),
    "score in words": ("class,precision,recall\na,.5,high\nb,.5,.5\n", "holds 'high', where a score is wanted"),
    "support in words": ("class,precision,recall,support\na,.5,.5,many\nb,.5,.5,3\n", "support of a holds 'many'"),
    "report without names": ("precision,recall,f1\n.5,.5,.5\n.5,.5,.5\n", "its rows have no names"),
    "one class": ("class,precision,recall\na,.5,.5\naccuracy,.5,\n", "1 rows of classes"),
    "sets with a gap": ("class,TN,FP,FN,TP\na,1,2,,3\nb,1,2,3,4\n", "a count is missing in the row a"),
    "endless field": ("a,b\n" + "1" * 140_000 + ",2\n3,4\n", "cannot be read as a table"),
    "large": ("a,b\n" * 600_000, "small file"),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as problem:
        read_table(path)
    assert says in str(problem.value)
    assert "table.csv: " in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(("name", "says"), [("absent.csv", "No such file"), (".", "directory")])
def test_files_that_cannot_be_read(tmp_path, name, says):
    with pytest.raises(DataError, match=says):
        read_table(tmp_path / name)


CELLS = (
    *(
        "",
        "a",
        "b",
        "anger",
        "Happy",
        "0",
        "1",
        "2",
        ".5",
        "0.33",
        "50%",
        "7,5",
        "nan",
        "-",
        "-1",
        "1e9",
        "1e99",
        "٣",
        "²",
    ),
    *("precision", "recall", "f1-score", "support", "accuracy", "macro avg", "samples avg", "micro avg", "All"),
    *("TP", "tn", "FN", "fp"),
)


@settings(deadline=None, max_examples=120)
@given(
    st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=6), max_size=7),
    st.sampled_from([",", ";", "\t", " ", "|"]),
)
def test_any_file_is_a_table_or_a_data_error(tmp_path_factory, rows, mark):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(mark.join(row) for row in rows))
    with suppress(DataError):
        table = read_table(path)
        check_table(table)
        scores_of(table)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=300))
def test_any_text_is_a_table_or_a_data_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "text.csv"
    path.write_text(text, errors="surrogatepass")
    with suppress(DataError):
        check_table(read_table(path))
