"""What reports write, and may therefore replace: files that bear a mark, and pictures that are called as ours are."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from inspect_fer.errors import RunError
from inspect_fer.files import write_whole

MARKS = {
    ".html": (b"inspect-fer</title>",),
    ".css": (b":root {\n  --first: ",),
    ".js": (b'"use strict";\nconst form = document.querySelector(".filters");',),
    ".pdf": (b"/Creator (inspect-fer)",),
    ".png": (b"inspect-fer report ",),
    ".svg": (b"inspect-fer report ",),
    ".json": (b'{\n "report": "inspect-fer report ',),
    ".csv": (
        b"score,class,value,low,high,majority",
        b"id,label,predicted,confidence,loss",
        b"split,label,faces,own",
    ),
}
"""Of each kind of file, what stands in every one that a report has written."""
PAGE = re.compile(r"(class-\d+|cell-\d+-\d+)\.html")
PICTURE = re.compile(r"(\d+(-maps)?|mean-\d+(-maps)?|changed-\d+(-\d+)?)\.webp")


def require_ours(paths: Iterable[Path]) -> None:
    """Raise RunError for a path that is taken, but not by a file that a report has written."""
    for path in paths:
        if path.exists() and not (path.is_file() and _ours(path)):
            raise RunError(f"{path} is not of a report. Write elsewhere with --out, or replace it with --force.")


def write_all(files: Mapping[Path, bytes], *, force: bool) -> list[Path]:
    """Write files, each whole or not at all; nothing is written where `require_ours` raises, unless forced."""
    if not force:
        require_ours(files)
    for path, content in files.items():
        write_whole(path, content)
    return list(files)


def pages_of(folder: Path) -> list[Path]:
    """The pages of classes and cells that lie here."""
    return [path for path in folder.glob("*.html") if PAGE.fullmatch(path.name)]


def clear(folder: Path) -> None:
    """Delete the pages and pictures of an earlier report, and nothing else."""
    for path in [*pages_of(folder), *(path for path in folder.glob("pictures/*") if PICTURE.fullmatch(path.name))]:
        path.unlink()


def _ours(path: Path) -> bool:
    content = path.read_bytes()
    return any(mark in content for mark in MARKS[path.suffix])
