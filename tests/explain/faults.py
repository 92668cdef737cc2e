"""Deliberate faults in every formula, each of which a test must catch.

    python tests/explain/faults.py [--only NAME] [--list] [--workers N]

Each fault goes into a copy of the package, never into the tree, and the tests that hold its formula run on the copy, in
a process of their own that starts from one with everything heavy imported. Before, the same tests run without a fault,
and must pass. Says which test caught each fault, or SURVIVED; the exit code is 1 where one survived, 2 where something
else went wrong. NAME is a method or a file of `inspect_fer/explain`; the table is `faults.toml`.
"""

import argparse
import json
import os
import shutil
import sys
import time
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch._dynamo", "torch.func", "torch.fx", "torchvision", "sklearn.linear_model", "playwright.sync_api")
HEAVY += ("captum.attr", "pytorch_grad_cam", "torchcam.methods")
"""What the tests import, so that it is there already when a process is split off; nothing of the package itself."""


@dataclass(frozen=True)
class Fault:
    """A text of a file of `inspect_fer/explain`, and the wrong one in its place; tests are files or single tests."""

    file: str
    right: str
    wrong: str
    tests: str
    methods: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}: {self.right} -> {self.wrong}" if self.right else f"no fault: {self.tests}"

    def put_into(self, package: Path) -> None:
        """Write the wrong text into a copy of the package. Raises ValueError where the right one is not there once."""
        if not self.right:
            return
        path = package / "explain" / self.file
        text = path.read_text()
        if text.count(self.right) != 1:
            raise ValueError(f"{path.name} holds {text.count(self.right)} times {self.right!r}")
        path.write_text(text.replace(self.right, self.wrong))


@dataclass
class Watcher:
    """A plugin of pytest that remembers which test failed first."""

    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid.removeprefix("tests/explain/"))


def table(only: str | None = None) -> list[Fault]:
    """Every fault, or those of one method or file."""
    parts = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["part"]
    every = [Fault(p["file"], *texts, p["tests"], tuple(p["methods"])) for p in parts for texts in p["faults"]]
    return [fault for fault in every if only in (None, fault.file, fault.file[:-3], *fault.methods)]


def outcome(fault: Fault, folder: Path) -> tuple[int, str]:
    """pytest's exit code, and the test that failed first, on a copy with this fault. Changes the process it runs in."""
    shutil.copytree(ROOT / "inspect_fer", folder / "inspect_fer", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "explain", folder / "tests" / "explain")
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    fault.put_into(folder / "inspect_fer")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    watcher = Watcher()
    told = ["-x", "-p", "no:xdist", "-p", "no:cacheprovider", f"tests/explain/{fault.tests}"]
    code = int(pytest.main(told, plugins=[watcher]))
    assert sys.modules["inspect_fer"].__file__ == str(folder / "inspect_fer" / "__init__.py")
    return code, watcher.failed[0] if watcher.failed else ""


def split_off(fault: Fault, answer: int) -> None:
    """In a process of its own: find the outcome, write it to the pipe `answer`, and end."""
    found: tuple[int, str] = 3, "the process failed"
    try:
        with TemporaryDirectory() as folder:
            log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            found = outcome(fault, Path(folder))
            os.chdir("/")
    except BaseException as problem:  # whatever it is, the other process is to hear of it
        found = 3, repr(problem)
    finally:
        os.write(answer, json.dumps(found).encode())
        os._exit(0)


def outcomes(faults: Iterable[Fault], workers: int) -> Iterator[tuple[Fault, int, str]]:
    """Each fault with pytest's exit code and the test that failed, as they come, from several processes at a time."""
    waiting, running = list(faults), {}
    while waiting or running:
        while waiting and len(running) < workers:
            fault, (reading, writing) = waiting.pop(0), os.pipe()
            if (process := os.fork()) == 0:
                split_off(fault, writing)
            os.close(writing)
            running[process] = fault, reading
        process, _ = os.wait()
        fault, reading = running.pop(process)
        with os.fdopen(reading) as pipe:
            code, failed = json.loads(pipe.read() or '[3, "the process ended"]')
        yield fault, code, failed


def report(faults: Sequence[Fault], workers: int = 1) -> int:
    """Try each fault and say what became of it; returns the exit code."""
    plain = [Fault("", "", "", tests) for tests in dict.fromkeys(fault.tests for fault in faults)]
    counts, began = {"caught": 0, "SURVIVED": 0, "BROKEN": 0}, time.perf_counter()
    for number, (fault, code, failed) in enumerate(outcomes([*plain, *faults], workers), 1):
        expected = {0: "passes"} if not fault.right else {0: "SURVIVED", 1: "caught"}
        word = expected.get(code, "BROKEN")
        counts[word] = counts.get(word, 0) + 1
        say(f"[{number}/{len(plain) + len(faults)}] {word:8} {fault}" + (f"  by {failed}" if failed else ""))
    seconds = round(time.perf_counter() - began)
    say(f"{len(faults)} faults in {seconds} s: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 2 if counts["BROKEN"] else int(counts["SURVIVED"] > 0)


def say(line: str) -> None:
    sys.stdout.write(line.replace("\n", "\\n") + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="a method, or a file of inspect_fer/explain")
    parser.add_argument("--list", action="store_true", help="say what faults there are")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes at a time")
    given = parser.parse_args(arguments)
    faults = table(given.only)
    if not faults:
        parser.error(f"there is no fault of {given.only!r}")
    if given.list:
        for fault in faults:
            say(f"{', '.join(fault.methods)}: {fault}")
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in HEAVY:
            import_module(name)
    return report(faults, given.workers)


if __name__ == "__main__":
    sys.exit(main())
