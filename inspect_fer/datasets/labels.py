"""Labels of one dataset in the class order of another, or of a network."""

from dataclasses import replace

import torch

from inspect_fer.emotions import relabelling
from inspect_fer.errors import DataError
from inspect_fer.schema import Samples


def labelled_as(samples: Samples, class_names: tuple[str, ...]) -> Samples:
    """Number the labels by `class_names`, matched by canonical emotion name; a class missing there becomes -1.

    Votes and planted truth move along. Raises DataError when no class is common to both.
    """
    if class_names == samples.class_names:
        return samples
    if not samples.class_names:  # pictures without class folders
        return replace(samples, class_names=class_names)
    table = torch.tensor([*relabelling(samples.class_names, class_names), -1])  # the last entry keeps -1 as it is
    if (table == -1).all():
        theirs, ours = ", ".join(class_names), ", ".join(samples.class_names)
        raise DataError(f"The network knows {theirs}; the dataset holds {ours}: no class in common.")
    votes = None
    if samples.votes is not None:
        known = table[:-1] >= 0
        votes = torch.zeros(len(samples), len(class_names))
        votes[:, table[:-1][known]] = samples.votes[:, known]
    truth = dict(samples.truth)
    if "label" in truth:
        truth["label"] = table[truth["label"]]
    return replace(samples, labels=table[samples.labels], class_names=class_names, votes=votes, truth=truth)
