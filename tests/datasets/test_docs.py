"""What docs/datasets.md says: its Python runs, its names can be read, and nothing is left out."""

import re
from pathlib import Path

import pytest

from inspect_fer.datasets import DATASETS
from inspect_fer.datasets.spec import SHARED, own_options, require_apart, split_spec, written
from inspect_fer.emotions import VIEWS

TEXT = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
KINDS = "|".join(DATASETS)
NAMES = sorted(set(re.findall(rf"^(?:{KINDS}):\S+$", TEXT, re.M) + re.findall(rf"`((?:{KINDS}):[^`]+)`", TEXT)))


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/datasets.md", "exec"), {})  # noqa: S102 (our own document)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_well_formed(name):
    if name in {f"{kind}:" for kind in DATASETS} | {"synthetic:N"}:
        return
    for part in split_spec(name, DATASETS):
        chosen = written(part, own_options(DATASETS[part.kind]) | SHARED)
        require_apart(chosen, part.kind)


def test_every_dataset_option_and_view_is_named():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", TEXT, re.M))
    for kind, load in DATASETS.items():
        assert all(f"`{name}`" in rows[kind] for name in own_options(load) if name not in {"size", "channels"}), kind
    assert all(f"`{view}`" in TEXT for view in VIEWS)
    assert all(re.search(rf"^{kind}:", TEXT, re.M) for kind in DATASETS)
