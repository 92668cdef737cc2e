"""Miniature datasets, as their users have them on disk."""

import gzip

import numpy as np
import pytest

from inspect_fer.datasets.miniature import write_miniature

USAGE = ["Training"] * 4 + ["PublicTest"] * 2 + ["PrivateTest"] * 2


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def faces():
    """(8, 2304) grey values and 8 labels."""
    return np.random.default_rng(0).integers(0, 256, (8, 48 * 48)), [0, 3, 6, 1, 2, 5, 4, 3]


def lines(faces, order=("emotion", "pixels", "Usage"), header=None):
    pixels, labels = faces
    rows = [
        {"emotion": str(label), "pixels": " ".join(map(str, row)), "Usage": usage}
        for row, label, usage in zip(pixels, labels, USAGE, strict=True)
    ]
    return [header or ",".join(order), *(",".join(row[name] for name in order) for row in rows)]


@pytest.fixture
def write_csv(tmp_path, faces):
    """Write the miniature file under a name, in a layout; `change` edits its lines before they are written."""

    def write(name="fer2013.csv", *, change=lambda rows: rows, **layout):
        path = tmp_path / name
        text = "\n".join(change(lines(faces, **layout))) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.fixture(scope="session")
def shared_miniature(tmp_path_factory):
    """The name, KIND:PATH, of a miniature of a layout; written once, not to be changed."""
    written = {}

    def name_of(layout):
        if layout not in written:
            written[layout] = write_miniature(layout, tmp_path_factory.mktemp(layout), per_class=2)
        return written[layout]

    return name_of


@pytest.fixture
def tree(tmp_path):
    """Write a miniature of a layout to be changed; returns its folder."""

    def write(layout, **options):
        write_miniature(layout, tmp_path / layout, **options)
        return tmp_path / layout

    return write
