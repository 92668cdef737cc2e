"""A thousand calls leave memory as it was, whether they return or raise."""

import gc
from dataclasses import fields

import pytest
from torch import Tensor

from inspect_fer.errors import FerError
from inspect_fer.explain import CAM, METHODS, Contrast, explain, make_method
from inspect_fer.explain.method import shares_pass

CHEAP = [name for name, kind in METHODS.items() if shares_pass(kind) and not name.startswith(("kpca", "seg", "deep"))]
"""Every method of the shared pass but the three through scikit-learn and NumPy."""


def alive():
    """How many objects there are, and how many tensors among them."""
    found = [type(each) for each in gc.get_objects()]
    return len(found), sum(issubclass(kind, Tensor) for kind in found)


@pytest.fixture
def collected():
    """The collector of cycles runs, and then no more: tensors that wait for it would pile up as well."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", ["tiny", "mlp"])
def test_five_hundred_calls_on_each_network_keep_nothing(make_model, kind, images, collected):
    model, counts = make_model(kind), []
    methods = [make_method(name) for name in CHEAP if (kind, name) != ("mlp", "cam")]
    for turn in range(500):
        explain(model, images[:1], methods[turn % len(methods)])
        if turn in (100, 499):
            counts.append(alive()[1])
            gc.collect()
            counts.append(alive()[0])
    tensors, objects, still, later = counts
    assert still <= tensors
    assert later <= objects + 100  # pytest's own come and go


@pytest.mark.parametrize("method", [CAM(), Contrast(rival=9)])
def test_calls_that_raise_keep_nothing(mlp_model, images, method, collected):
    counts = []
    for turn in range(50):
        with pytest.raises(FerError):
            explain(mlp_model, images, method)
        if turn in (5, 49):
            gc.collect()
            counts.append(alive())
    assert counts[1][1] <= counts[0][1]
    assert counts[1][0] <= counts[0][0] + 100


OWN = {name: kind for name, kind in METHODS.items() if name not in CHEAP}
FEW = {"samples": 8, "masks": 8, "steps": 4, "scales": 2, "cells": 2}


@pytest.mark.parametrize("name", OWN)
def test_calls_of_a_method_that_passes_by_itself_keep_nothing(make_model, images, name, collected):
    """Copies for captum, traced graphs, and hooks of theirs go with the call."""
    known, model, counts = {entry.name for entry in fields(OWN[name])}, make_model("tiny"), []
    method = make_method(name, **{option: value for option, value in FEW.items() if option in known})
    for turn in range(30):
        explain(model, images[:1], method, targets="all")
        if turn in (9, 29):
            gc.collect()
            counts.append(alive())
    assert counts[1][1] <= counts[0][1]
    assert counts[1][0] <= counts[0][0] + 100
