"""Runs: a network's answers and explanations for a set of samples, in one folder."""

from inspect_fer.runs.folder import faces_of, open_run, run_folders, save_run
from inspect_fer.runs.make import make_run

__all__ = ["faces_of", "make_run", "open_run", "run_folders", "save_run"]
