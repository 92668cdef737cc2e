"""What a run is going to take, and what it takes."""

import pytest

from inspect_fer.errors import RunError
from inspect_fer.runs import make_part
from inspect_fer.runs.outlook import outlook

OPTIONS = {"targets": "all", "shard": 4}


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("shard*"))


def test_what_is_missing_and_its_size_on_disk(model, faces, make, tmp_path):
    told = outlook(tmp_path / "run", model, faces, ["grad-cam", "saliency"], limit=6, **OPTIONS)
    assert (told.missing, told.shards, told.explained, told.predicted) == (8, 8, [*range(6)], [*range(6, 14)])
    assert not (tmp_path / "run").exists()
    run = make(tmp_path / "run", "grad-cam", "saliency", limit=6)
    headers = sum(path.stat().st_size < 1 << 20 for path in run.folder.rglob("shard*")) * 2500
    assert told.bytes <= size(run.folder) <= told.bytes + headers
    assert outlook(run.folder, model, faces, ["grad-cam"], limit=3, **OPTIONS).missing == 0
    rest = outlook(run.folder, model, faces, ["grad-cam"], **OPTIONS)
    assert (rest.missing, rest.explained, rest.predicted) == (3, [*range(4, 14)], [])


def test_a_share_of_what_is_missing(model, faces, tmp_path):
    make_part(tmp_path / "run", model, faces, ["grad-cam"], part=(1, 2), threads=1, **OPTIONS)
    own = outlook(tmp_path / "run", model, faces, ["grad-cam"], part=(2, 2), **OPTIONS)
    assert (own.missing, own.shards, own.explained) == (4, 4, [4, 5, 6, 7, 12, 13])
    assert outlook(tmp_path / "run", model, faces, ["grad-cam"], part=(1, 2), **OPTIONS).missing == 0


def test_what_the_run_would_refuse_is_refused(model, faces, make, tmp_path):
    run = make(tmp_path / "run", "grad-cam")
    with pytest.raises(RunError, match="made otherwise"):
        outlook(run.folder, model, faces, ["grad-cam"], shard=4)
    again = outlook(run.folder, model, faces, ["grad-cam"], shard=4, overwrite=True)
    assert (again.missing, again.explained) == (8, [*range(14)])
