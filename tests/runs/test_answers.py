"""What a run keeps of answers, and of samples that have none."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from inspect_fer.datasets import samples_for
from inspect_fer.errors import DataError
from inspect_fer.models.checkpoint import load
from inspect_fer.runs import faces_of, features_of, open_run


@pytest.fixture
def pictures(model, tmp_path):
    """A folder of five pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b", "c", "d", "e"):
        Image.effect_noise((32, 32), 60).save(folder / f"{name}.png")
    return folder


class Spoilt(torch.nn.Module):
    """A network that has no answer to black pictures, or to any."""

    def __init__(self, network, *, always=False):
        super().__init__()
        self.network, self.always = network, always

    def forward(self, images):
        black = (images < -1.9).flatten(1).all(1)
        return self.network(images) + torch.where(black | self.always, torch.nan, 0.0)[:, None]


def test_features_are_what_the_last_layer_makes_the_logits_of(make, model, tmp_path):
    run = make(tmp_path / "run", "grad-cam")
    last = [module for module in model.network.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.testing.assert_close(last(features_of(run)).detach(), run.prediction.logits, rtol=2e-2, atol=2e-3)


def test_a_picture_that_cannot_be_read_is_told_and_the_rest_goes_on(make, model, tmp_path):
    for name in ("a", "b", "c", "d", "e"):
        Image.effect_noise((32, 32), 60).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "d.png").write_bytes((tmp_path / "d.png").read_bytes()[:200])
    faces = samples_for(model.card, f"folder:{tmp_path}")
    run = make(tmp_path / "run", "grad-cam", faces=faces, shard=2, targets=[0, 1, 2, 3, 4])
    assert run.prediction.ids == ("folder/b.png", "folder/c.png", "folder/e.png")
    assert run.explanations["grad-cam"].targets.tolist() == [[1], [2], [4]]
    assert set(run.manifest["unreadable"]) == {"folder/a.png", "folder/d.png"}
    assert "cannot be read as a picture" in run.manifest["unreadable"]["folder/a.png"]
    assert faces_of(run).ids == run.prediction.ids
    for name in ("b", "c", "e"):
        (tmp_path / f"{name}.png").write_bytes(b"gone")
    with pytest.raises(DataError, match="None of the first 5 samples can be explained; the last: .*e.png"):
        make(tmp_path / "other", "grad-cam", faces=faces)


def test_a_picture_that_was_mended_is_read_and_no_longer_told(make, model, pictures, tmp_path, same):
    content = (pictures / "b.png").read_bytes()
    (pictures / "b.png").write_bytes(b"no picture")
    read = lambda: samples_for(model.card, f"folder:{pictures}")  # noqa: E731
    assert set(make(tmp_path / "run", "grad-cam", faces=read(), shard=2).manifest["unreadable"]) == {"folder/b.png"}
    (pictures / "b.png").write_bytes(content)
    mended, fresh = (make(tmp_path / name, "grad-cam", faces=read(), shard=2) for name in ("run", "fresh"))
    same(mended.folder, fresh.folder)
    assert mended.manifest.keys() == fresh.manifest.keys()
    assert "unreadable" not in json.loads((mended.folder / "run.json").read_text())


def test_a_shard_none_of_which_can_be_read_holds_up_nothing(make, model, pictures, tmp_path):
    (pictures / "b.png").write_bytes(b"no picture")
    faces = samples_for(model.card, f"folder:{pictures}")
    run = make(tmp_path / "run", "grad-cam", faces=faces, shard=1)
    assert run.prediction.ids == run.explanations["grad-cam"].ids == tuple(f"folder/{x}.png" for x in "acde")
    assert len(list(run.explanations.parts("grad-cam"))) == 4


def test_answers_that_are_not_numbers_are_told_and_left_out(make, checkpoint, faces, tmp_path):
    plain = load(checkpoint)
    card = replace(plain.card, cam_layer="network.blocks.3.relu")
    spoilt = replace(plain, network=Spoilt(plain.network).eval(), card=card, origin="")
    pixels = faces.pixels.clone()
    pixels[5] = 0
    run = make(tmp_path / "run", "grad-cam", "saliency", model=spoilt, faces=replace(faces, pixels=pixels, source={}))
    kept = faces.ids[:5] + faces.ids[6:]
    assert run.manifest["unreadable"] == {faces.ids[5]: "the network's answer is not a number"}
    assert run.prediction.ids == run.explanations["grad-cam"].ids == run.explanations["saliency"].ids == kept
    assert run.prediction.logits.isfinite().all()
    assert run.metrics["n"] == len(features_of(run)) == 13
    assert len(faces_of(run)) == 13
    assert open_run(run.folder).prediction.ids == kept


def test_a_network_without_numbers_is_refused_before_any_work(make, checkpoint, tmp_path):
    plain = load(checkpoint)
    card = replace(plain.card, cam_layer="network.blocks.3.relu")
    spoilt = replace(plain, network=Spoilt(plain.network, always=True).eval(), card=card, origin="")
    with pytest.raises(DataError, match="first 14 samples can be explained; the last: the network's answer is not a"):
        make(tmp_path / "run", "grad-cam", model=spoilt)
    assert not (tmp_path / "run").exists()
