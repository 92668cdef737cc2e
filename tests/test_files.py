"""Files that are whole or not there, and errors that name what was asked for."""

from pathlib import Path

import pytest

from inspect_fer.files import aside, try_writing, write_whole


def test_an_error_names_the_file_asked_for_and_the_old_one_stays(tmp_path, monkeypatch):
    path, write = tmp_path / "scores.csv", Path.write_bytes
    write_whole(path, b"old")

    def denied(self, content):
        write(self, content)
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "write_bytes", denied)
    with pytest.raises(OSError, match="Read-only") as caught:
        write_whole(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["scores.csv"]


def test_errors_about_other_things_come_out_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, aside(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_where_nothing_can_be_written_is_told_before_and_nothing_is_left_behind(tmp_path):
    try_writing(tmp_path / "new" / "scores.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("...")
    for path in ("/proc/s3.csv", "/proc/x/s3.csv", str(tmp_path / "file" / "s3.csv")):
        with pytest.raises(OSError) as caught:  # noqa: PT011  # of any kind
            try_writing(Path(path))
        assert caught.value.filename == path
