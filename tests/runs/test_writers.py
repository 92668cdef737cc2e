"""Several writers, one after the other and at the same time; runs that replace others."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from inspect_fer.datasets import samples_for
from inspect_fer.errors import RunError
from inspect_fer.files import alone
from inspect_fer.runs import make_part, open_run
from inspect_fer.runs.folder import remove
from inspect_fer.runs.overview import summary
from inspect_fer.runs.work import Job


@pytest.fixture
def stopped(monkeypatch):
    """Let so many shards be made, then kill."""

    fill = Job._fill

    def after(count):
        left = [count]

        def filled(self, *args):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return fill(self, *args)

        monkeypatch.setattr(Job, "_fill", filled)

    return after


def test_one_is_in_at_a_time_and_a_lock_dies_with_its_process(tmp_path):
    inside, most = [], []

    def enter():
        with alone(tmp_path):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    writers = [threading.Thread(target=enter) for _ in range(4)]
    child = os.fork()
    if not child:
        with alone(tmp_path):
            os._exit(9)
    os.waitpid(child, 0)
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert most == [1, 1, 1, 1]


def test_two_that_begin_together_with_other_methods_keep_both(make, tmp_path, monkeypatch, same):
    """The second begins and ends between the moment when the first looked for a run and when it writes."""
    from inspect_fer.runs import make as making

    group, met = making.asked_for, []

    def slow(*args, **options):
        if not met:
            met.append(True)
            make(tmp_path / "run", "layer-cam")
        return group(*args, **options)

    monkeypatch.setattr(making, "asked_for", slow)
    run = make(tmp_path / "run", "grad-cam")
    assert list(run.explanations) == ["layer-cam", "grad-cam"]
    make(tmp_path / "whole", "layer-cam")
    same(make(tmp_path / "whole", "grad-cam").folder, run.folder)


def test_who_finishes_first_keeps_what_another_put_beside(make, model, tmp_path, monkeypatch):
    from inspect_fer.runs import make as making

    (tmp_path / "faces").mkdir()
    for number in range(14):
        Image.effect_noise((32, 32), 60).save(tmp_path / "faces" / f"{number:02}.png")
    (tmp_path / "faces" / "13.png").write_bytes(b"no picture")  # so that the manifest is written once more at the end
    faces, finish = samples_for(model.card, f"folder:{tmp_path / 'faces'}"), making.finish

    def late(folder, manifest):
        monkeypatch.setattr(making, "finish", finish)
        make_part(folder, model, faces, ["layer-cam"], part=(1, 4), targets="all")
        finish(folder, manifest)

    monkeypatch.setattr(making, "finish", late)
    with pytest.warns(UserWarning, match="is not finished: 9 of 12 shards are there. Left out: layer-cam"):
        run = make(tmp_path / "run", "grad-cam", faces=faces)
    assert list(run.explanations) == ["grad-cam"]
    assert list(make(tmp_path / "run", "layer-cam", faces=faces).explanations) == ["grad-cam", "layer-cam"]


def test_a_killed_extension_leaves_what_was_whole(make, tmp_path, stopped):
    run = make(tmp_path / "run", "grad-cam")
    stopped(3)
    with pytest.raises(KeyboardInterrupt):
        make(run.folder, "occlusion?window=16&stride=8")
    assert summary(run.folder).problem == "unfinished: 11 of 12 shards"
    with pytest.warns(UserWarning, match="11 of 12 shards are there. Left out: occlusion. Start the same run again"):
        again = open_run(run.folder)
    assert list(again.explanations) == ["grad-cam"]
    assert len(again.explanations["grad-cam"]) == 14


def test_replacing_keeps_the_old_run_until_the_new_one_is_whole(make, tmp_path, monkeypatch):
    run = make(tmp_path / "run", "grad-cam")
    monkeypatch.setattr(Job, "_fill", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make(run.folder, "layer-cam", overwrite=True)
    assert list(open_run(run.folder).explanations) == ["grad-cam"]
    monkeypatch.undo()
    assert list(make(run.folder, "layer-cam", overwrite=True).explanations) == ["layer-cam"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_was_begun_aside_of_another_network_gives_way(make, faces, tmp_path, stopped):
    run = make(tmp_path / "run", "grad-cam")
    stopped(1)
    with pytest.raises(KeyboardInterrupt):
        make(run.folder, "grad-cam", faces=replace(faces, source={}), overwrite=True)
    stopped(99)
    other = make(run.folder, "grad-cam", faces=faces[:9], overwrite=True)
    assert len(other) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_is_removed_with_what_is_aside_or_stays_whole(make, tmp_path, monkeypatch):
    run = make(tmp_path / "run", "grad-cam")
    (tmp_path / ".run.new").mkdir()
    rename = Path.rename

    def denied(*_):
        raise PermissionError(13, "Permission denied", str(run.folder))

    monkeypatch.setattr(Path, "rename", denied)
    with pytest.raises(PermissionError):
        remove(run.folder)
    assert len(open_run(run.folder)) == 14
    monkeypatch.setattr(Path, "rename", rename)
    remove(run.folder)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_is_told_before_the_work(make, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("...")
    monkeypatch.setattr("inspect_fer.runs.trying.examine", lambda *_, **__: pytest.fail("worked for nothing"))
    with pytest.raises(RunError, match=r"file/sub/run cannot be written: .*file is no folder. Name another folder"):
        make(tmp_path / "file" / "sub" / "run", "grad-cam")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match="may not be written to. Name another folder"):
        make(tmp_path / "new" / "run", "grad-cam")
    assert not (tmp_path / "new").exists()


def test_a_place_that_only_seems_writable_is_told_before_the_work_too(make, monkeypatch):
    monkeypatch.setattr("inspect_fer.runs.trying.examine", lambda *_, **__: pytest.fail("worked for nothing"))
    with pytest.raises(RunError, match=r"^/proc/x/y cannot be written: .*\. Name another folder\.$"):
        make("/proc/x/y", "grad-cam")


def test_what_is_no_run_is_not_replaced_and_no_force_advised(make, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    with pytest.raises(RunError, match="holds no run; only runs are replaced. Name another folder.$"):
        make(tmp_path / "thesis", "grad-cam", overwrite=True)


def test_room_is_only_asked_for_where_it_lacks(make, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(RunError, match="Input/output error. What is whole is kept; start the same run again"):
        make(tmp_path / "run", "grad-cam")
