"""Train, explain and audit facial-expression-recognition networks.

>>> import inspect_fer as fer
>>> model = fer.load("demo")
>>> faces = fer.samples("synthetic:8", split="test")
>>> fer.explain(model, faces, "grad-cam", targets="all").maps.shape
torch.Size([8, 7, 6, 6])
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect_fer.datasets import DATASETS, samples, samples_for
    from inspect_fer.errors import FerError
    from inspect_fer.explain import METHODS, explain, forecast
    from inspect_fer.metrics import evaluate
    from inspect_fer.models import ARCHITECTURES
    from inspect_fer.models.checkpoint import load, save
    from inspect_fer.models.wrap import wrap
    from inspect_fer.predict import predict
    from inspect_fer.render import overlay
    from inspect_fer.report import write_report
    from inspect_fer.runs import open_run, save_run
    from inspect_fer.schema import Classifier, Explanation, ModelCard, Prediction, Run, Samples

_HOME = {
    "ARCHITECTURES": "models",
    "Classifier": "schema",
    "DATASETS": "datasets",
    "Explanation": "schema",
    "FerError": "errors",
    "METHODS": "explain",
    "ModelCard": "schema",
    "Prediction": "schema",
    "Run": "schema",
    "Samples": "schema",
    "evaluate": "metrics",
    "explain": "explain",
    "forecast": "explain",
    "load": "models.checkpoint",
    "open_run": "runs",
    "overlay": "render",
    "predict": "predict",
    "samples": "datasets",
    "samples_for": "datasets",
    "save": "models.checkpoint",
    "save_run": "runs",
    "wrap": "models.wrap",
    "write_report": "report",
}
"""Where each public name lives; read on first use, so that importing the package loads neither torch nor streamlit."""

__version__ = "0.1.0"
__all__ = [
    "ARCHITECTURES",
    "DATASETS",
    "METHODS",
    "Classifier",
    "Explanation",
    "FerError",
    "ModelCard",
    "Prediction",
    "Run",
    "Samples",
    "evaluate",
    "explain",
    "forecast",
    "load",
    "open_run",
    "overlay",
    "predict",
    "samples",
    "samples_for",
    "save",
    "save_run",
    "wrap",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    thing = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = thing
    return thing


class _Package(ModuleType):
    """Keeps the functions `explain` and `predict` from being hidden by the submodules of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
