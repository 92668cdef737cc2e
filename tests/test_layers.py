"""A module imports only from lines above its own; modules of one line do not import one another."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "inspect_fer"
LINES = [
    {"errors"},
    {"schema", "emotions", "files", "lookup", "shipped"},
    {"images", "targets", "capture", "twin", "metrics", "statistics", "render"},
    {"datasets", "models", "faces"},
    {"predict"},
    {"explain", "internals", "training"},
    {"runs", "scoring", "audit", "video"},
    {"report"},
    {"cli", "dashboard", "notebook"},
    {"__main__"},
]
LINE = {name: number for number, names in enumerate(LINES) for name in names}
FACES = {"streamlit": {"dashboard", "app"}, "typer": {"cli"}}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The top-level part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Dotted names of everything a file imports, at whatever depth it does so."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative imports hide the layer"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = part(path)
    for name in imports(path):
        root, *rest = name.split(".")
        assert own in FACES.get(root, {own}), f"only {FACES.get(root)} may import {root}"
        if root != "inspect_fer" or own == "__init__" or not rest or rest[0] not in LINE or rest[0] == own:
            continue
        assert LINE[rest[0]] < LINE[own], f"{own} must not import {name}"


def test_every_part_has_a_line():
    assert {part(path) for path in MODULES} - {"__init__"} <= set(LINE)


def test_hooks_live_in_capture_alone():
    for path in MODULES:
        if part(path) != "capture":
            assert "register_forward" not in path.read_text(), f"{path}: hooks belong into capture.py"
