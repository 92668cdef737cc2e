"""Every code block of the documents runs, in order, in one folder and one namespace a document."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision.transforms.functional import to_pil_image

from inspect_fer.cli import main
from inspect_fer.datasets import samples
from inspect_fer.datasets.miniature import write_miniature
from inspect_fer.explain import METHODS
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.models.checkpoint import checkpoint_paths
from inspect_fer.schema import ModelCard
from inspect_fer.training import Augment, read_recipe
from inspect_fer.training.data import read_split
from inspect_fer.training.setup import plan_of

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "docs/adding.md",
    "docs/architecture.md",
    "docs/datasets.md",
    "docs/explaining.md",
    "docs/comparing.md",
    "docs/internals.md",
    "docs/reports.md",
    "docs/runs.md",
    "docs/training.md",
    "CONTRIBUTING.md",
    "checkpoints/README.md",
)
SHIPPED = {"demo", "demo_watermark", "baseline", "resnet18", "se", "se_residual"}


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


WITH_PYTHON = ("README", "docs/adding", "docs/comparing", "docs/explaining", "docs/internals", "docs/runs")


@pytest.mark.parametrize("document", [f"{name}.md" for name in WITH_PYTHON])
def test_python_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "document"}
    for block in blocks(document, "python"):
        exec(compile(block, document, "exec"), namespace)  # noqa: S102 (our own documents)


def test_every_network_stands_beside_its_published_figure():
    table = (ROOT / "checkpoints/README.md").read_text().split("## Beside the published figures")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(ARCHITECTURES)


def test_every_method_is_explained():
    named = set(re.findall(r"`([a-z+-]+)`", (ROOT / "docs/explaining.md").read_text()))
    assert set(METHODS) <= named


def commands(document):
    joined = "".join(blocks(document, "sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in joined.splitlines() if line.startswith("inspect-fer ")]


@pytest.mark.parametrize(("document", "count"), [("README.md", 8), ("docs/runs.md", 9)])
def test_commands_on_synthetic_faces_run(document, count, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    to_pil_image(samples("synthetic:1", size=48).pixels[0]).save(tmp_path / "FOLDER" / "face.png")
    ran = 0
    for command in commands(document):
        if not re.search(r"fer2013|rafdb|reports/mine|report\.csv", " ".join(command)):
            monkeypatch.setattr("sys.argv", command)
            with pytest.raises(SystemExit) as left:
                main()
            assert left.value.code == 0, (command, capsys.readouterr())
            ran += 1
    assert ran == count


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_in_the_documents_parses(document, monkeypatch, capsys):
    """Commands on real data are asked for their help with the same options: an unknown option would fail."""
    for command in commands(document):
        monkeypatch.setattr("sys.argv", [*command, "--help"])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
        printed = capsys.readouterr().out
        assert all(word.split("=")[0] in printed for word in command if word.startswith("--"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / document).read_text()):
        assert ((ROOT / document).parent / target).exists(), target


def test_the_example_card_is_a_card():
    (text,) = blocks("docs/adding.md", "json")
    assert ModelCard.from_dict(json.loads(text)).input_size == (1, 48, 48)


def test_the_example_recipe_is_a_recipe(tmp_path):
    (text,) = blocks("docs/training.md", "toml")
    (tmp_path / "example.toml").write_text(text)
    recipe = read_recipe(tmp_path / "example.toml")
    assert (recipe.training.loss, recipe.augment.ten_crops, recipe.data.kind) == ("soft-cross-entropy", True, "ferplus")
    spec = write_miniature("ferplus", tmp_path / "faces")
    faces, select = (read_split(recipe, spec, role) for role in ("train", "select"))
    small = replace(
        recipe, training=replace(recipe.training, batch_size=2, epochs=21), augment=Augment(ten_crops=False)
    )
    network = build("vgg", size=40)
    assert {recipe.finetune.head, recipe.finetune.upper} <= dict(network.named_modules()).keys()
    assert plan_of(small, faces, "cpu").card.read_size == 48
    assert len(select)


def test_the_published_checkpoints_are_there_and_small():
    paths = checkpoint_paths()
    assert set(paths) >= SHIPPED
    assert paths["baseline"].stat().st_size < 6_000_000
    assert sum(path.stat().st_size for path in paths.values()) < 100_000_000
    assert max(paths[name].stat().st_size for name in ("demo", "demo_watermark")) < 1_500_000


def test_no_document_names_a_path_of_a_machine():
    for document in DOCUMENTS:
        assert not re.search(r"(^|[\s`(])/(work|root|home)/", (ROOT / document).read_text())
