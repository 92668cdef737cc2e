"""Runs: a network's answers and explanations for a set of samples, in one folder."""

from inspect_fer.runs.engines import on_ray
from inspect_fer.runs.faces import faces_of
from inspect_fer.runs.folder import features_of, open_run, run_folders
from inspect_fer.runs.make import make_part, make_run
from inspect_fer.runs.saving import save_run
from inspect_fer.runs.verifying import verify

__all__ = [
    "faces_of",
    "features_of",
    "make_part",
    "make_run",
    "on_ray",
    "open_run",
    "run_folders",
    "save_run",
    "verify",
]
