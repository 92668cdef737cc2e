"""Begin a run with two workers that never finish a shard; a script of test_engines.py.

    python orphans.py CHECKPOINT FOLDER

Each worker writes its id to FOLDER/worker-ID when it has begun. Whoever started this kills it.
"""

import os
import sys
import time
from pathlib import Path

from inspect_fer.datasets import samples_for
from inspect_fer.models.checkpoint import load
from inspect_fer.runs import engines, make_run


def never_done(folder, number):
    """Stands for making a shard."""
    (folder / f"worker-{os.getpid()}").touch()
    time.sleep(600 + number)


if __name__ == "__main__":
    model = load(sys.argv[1])
    engines._make = never_done
    faces = samples_for(model.card, "synthetic:14", "select")
    make_run(Path(sys.argv[2]), model, faces, ["grad-cam"], workers=2, shard=7, threads=1)
