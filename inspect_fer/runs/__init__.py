"""Runs: a network's answers and explanations for a set of samples, in one folder."""

from inspect_fer.runs.folder import faces_of, open_run, run_folders, save_run

__all__ = ["faces_of", "open_run", "run_folders", "save_run"]
