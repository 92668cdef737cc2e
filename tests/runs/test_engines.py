"""Whoever makes the shards, the run ends with the same bytes."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from inspect_fer.datasets import samples_for
from inspect_fer.errors import RunError
from inspect_fer.runs import make_run, on_ray
from inspect_fer.runs.engines import pool

OPTIONS = {"targets": "all", "shard": 8, "threads": 1}
METHODS = ["grad-cam", "saliency"]


@pytest.fixture(scope="module")
def faces(model):
    return samples_for(model.card, "synthetic:48", "select")


@pytest.fixture(scope="module")
def whole(model, faces, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("here") / "run", model, faces, METHODS, **OPTIONS).folder


def test_several_processes(model, faces, whole, tmp_path, same):
    make_run(tmp_path / "run", model, faces, METHODS, workers=2, **OPTIONS)
    same(tmp_path / "run", whole)


def test_a_worker_that_dies_is_told(model, faces, tmp_path, monkeypatch):
    monkeypatch.setattr("inspect_fer.runs.engines._make", _die)
    with pytest.raises(RunError, match=r"A worker of .* has died; .*Start the same run again with fewer: it goes on"):
        make_run(tmp_path / "run", model, faces, METHODS, engine=pool(1), **OPTIONS)


def _die(*_):
    import os

    os._exit(9)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_parent_that_was_killed(checkpoint, tmp_path, how):
    script = [sys.executable, str(Path(__file__).with_name("orphans.py")), str(checkpoint), str(tmp_path / "run")]
    parent = subprocess.Popen(script, env=os.environ | {"OMP_NUM_THREADS": "1"})
    begun = lambda: [int(path.name.partition("-")[2]) for path in (tmp_path / "run").glob("worker-*")]  # noqa: E731
    try:
        assert _soon(lambda: len(begun()) == 2)
        parent.send_signal(how)
        parent.wait()
        assert _soon(lambda: not any(map(_lives, begun())))
    finally:
        parent.kill()
        parent.wait()
        for worker in filter(_lives, begun()):
            os.kill(worker, signal.SIGKILL)


def _soon(true, seconds=60):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def _lives(process):
    """Whether it is there, and no zombie that nobody has waited for."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")  # Ray's
def test_a_cluster_of_two_nodes_one_of_which_is_killed_in_the_middle(model, faces, whole, tmp_path, same, monkeypatch):
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        killer = threading.Thread(target=_kill_when_begun, args=(cluster, second, tmp_path / "run"), daemon=True)
        killer.start()
        make_run(tmp_path / "run", model, faces, METHODS, engine=on_ray(2), **OPTIONS)
        killer.join(timeout=60)
        assert sum(node["Alive"] for node in ray.nodes()) == 1
    finally:
        ray.shutdown()
        cluster.shutdown()
    same(tmp_path / "run", whole)


def _kill_when_begun(cluster, node, folder: Path):
    while not list(folder.glob("answers/shard-*")):
        time.sleep(0.01)
    cluster.remove_node(node, allow_graceful=False)
