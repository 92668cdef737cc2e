"""What a report may replace: what a report has written, whole, and nothing else."""

from dataclasses import replace

import pytest

from inspect_fer import files
from inspect_fer.errors import RunError
from inspect_fer.report import FORMATS, Report, write_report
from inspect_fer.report.ours import clear

WRITTEN = [
    ("pdf", "report.pdf", ["roc"]),
    ("png", "figures/roc.png", ["roc"]),
    ("png", "figures/mistakes.png", ["mistakes"]),
    ("svg", "figures/roc.svg", ["roc"]),
    ("json", "report.json", []),
    ("csv", "scores.csv", []),
    ("csv", "samples.csv", []),
    ("csv", "labels.csv", []),
]


@pytest.mark.parametrize(("form", "name", "figures"), WRITTEN)
def test_a_file_of_another_origin_stays_unless_forced_and_our_own_gives_way(made_up, tmp_path, form, name, figures):
    report, out = Report(*made_up(n=14)), tmp_path / "out"
    path = out / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(RunError, match=r"is not of a report\. Write elsewhere with --out, or replace it with --force"):
        FORMATS[form](report, out, figures)
    assert [one.read_bytes() for one in out.rglob("*") if one.is_file()] == [b"mine"]
    FORMATS[form](replace(report, force=True), out, figures)
    assert path.read_bytes() != b"mine"
    assert path in FORMATS[form](report, out, figures)


@pytest.mark.parametrize("name", ["index.html", "report/style.css", "report/filter.js", "report/class-0.html"])
def test_pages_of_another_origin_stay_unless_forced(made_up, report, tmp_path, name):
    run, faces = made_up(n=14)
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(RunError, match="is not of a report"):
        report(run, faces, out=tmp_path / "out")
    assert [one.read_text() for one in (tmp_path / "out").rglob("*") if one.is_file()] == ["mine"]
    report(run, faces, out=tmp_path / "out", force=True)
    assert path.read_text() != "mine"
    report(run, faces, out=tmp_path / "out")


def test_only_what_a_report_calls_so_is_deleted(tmp_path):
    ours = ("class-0.html", "cell-0-12.html", "pictures/7.webp", "pictures/7-maps.webp", "pictures/mean-3-maps.webp")
    others = ("class-notes.html", "cell-1.html", "cell-a-b.html", "mine.html", "pictures/mine.webp", "pictures/7.png")
    (tmp_path / "pictures").mkdir()
    for name in (*ours, *others):
        (tmp_path / name).write_text("")
    clear(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(others)


@pytest.mark.parametrize(("form", "name", "figures"), [*WRITTEN, ("html", "index.html", [])])
def test_a_full_disk_leaves_the_old_file(made_up, tmp_path, monkeypatch, form, name, figures):
    run, faces = made_up(n=14)
    report = Report(run, faces)
    write = FORMATS[form]
    write(report, tmp_path, figures)
    before = (tmp_path / name).read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(report, tmp_path, figures)
    assert (tmp_path / name).read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_the_first_page_is_written_last(made_up, monkeypatch, tmp_path):
    """So that a report that was killed has no first page that leads nowhere."""
    from inspect_fer.report import page

    order = []
    monkeypatch.setattr(page, "data_uri", lambda *_: "data:image/svg+xml,")
    monkeypatch.setattr(page, "write_whole", lambda path, _: order.append(path.name))
    write_report(*made_up(n=7))
    assert order[-1] == "index.html"
    assert len(order) > 9
