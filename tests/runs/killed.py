"""Start the same run again and again in processes that are killed, or in two at once; a script of test_resume.py.

    python killed.py CHECKPOINT FOLDER TIMES

Everything heavy is imported once; each run is made by a process that is split off from this one. Prints how many of the
runs were killed before they were whole.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from inspect_fer.datasets import samples_for
from inspect_fer.models.checkpoint import load
from inspect_fer.runs import make_run

METHODS = ["grad-cam", "saliency"]
SPEC = "synthetic:40?wrong_labels=0.2"


def split_off(work):
    """The id of a process that does the work and nothing else."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return child


def main():
    checkpoint, folder, times = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    model = load(checkpoint)
    faces = samples_for(model.card, SPEC, "select")

    def make(name):
        return lambda: make_run(folder / name, model, faces, METHODS, targets="all", shard=8, threads=1)

    make("warm")()
    started = time.monotonic()
    make("whole")()
    takes = time.monotonic() - started
    dice, killed = random.Random(0), 0  # a test
    for number in range(times):
        child = split_off(make(f"killed{number}"))
        time.sleep(dice.uniform(0, takes))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += not (folder / f"killed{number}" / "predictions.parquet").is_file()
        make(f"killed{number}")()
    both = [split_off(make("two")) for _ in range(2)]
    for child in both:
        os.waitpid(child, 0)
    sys.stdout.write(str(killed))


if __name__ == "__main__":
    main()
