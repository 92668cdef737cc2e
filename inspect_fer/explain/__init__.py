"""Explanation methods, and `explain`, which runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias, cast, overload

import torch
from torch import Tensor

from inspect_fer.capture import find_layer
from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.explain.ablation_cam import AblationCAM
from inspect_fer.explain.cam import CAM
from inspect_fer.explain.contrast import Contrast, FinerCAM
from inspect_fer.explain.deep_lift import DeepLift
from inspect_fer.explain.eigen_cam import EigenCAM, EigenGradCAM
from inspect_fer.explain.fem import FEM
from inspect_fer.explain.full_grad import FullGrad
from inspect_fer.explain.grad_cam import GradCAM
from inspect_fer.explain.grad_cam_library import KPCACAM, SegEigenCAM
from inspect_fer.explain.grad_cam_plus_plus import GradCAMPlusPlus, SmoothGradCAMPlusPlus
from inspect_fer.explain.gradients import GradientShap, InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from inspect_fer.explain.guided import Deconvnet, GuidedBackprop, GuidedGradCAM
from inspect_fer.explain.lrp import LRP
from inspect_fer.explain.method import Method, class_free, configured, footprint, reads_layer
from inspect_fer.explain.occlusion import Occlusion
from inspect_fer.explain.passes import maps_of
from inspect_fer.explain.pointwise import GradCAMElementwise, HiResCAM, LayerCAM
from inspect_fer.explain.region_occlusion import RegionOcclusion
from inspect_fer.explain.region_shapley import RegionShapley
from inspect_fer.explain.rise import Rise
from inspect_fer.explain.score_cam import ScoreCAM
from inspect_fer.explain.shapley_cam import ShapleyCAM
from inspect_fer.explain.surrogates import KernelShap, Lime
from inspect_fer.explain.targets import Targets, resolve_targets
from inspect_fer.explain.xgrad_cam import XGradCAM
from inspect_fer.lookup import lookup
from inspect_fer.predict import Images, network_input
from inspect_fer.schema import Classifier, Explanation, Samples, Tick

METHODS: dict[str, type[Method]] = {
    "cam": CAM,
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "smooth-grad-cam++": SmoothGradCAMPlusPlus,
    "hires-cam": HiResCAM,
    "grad-cam-elementwise": GradCAMElementwise,
    "layer-cam": LayerCAM,
    "xgrad-cam": XGradCAM,
    "eigen-cam": EigenCAM,
    "eigen-grad-cam": EigenGradCAM,
    "shapley-cam": ShapleyCAM,
    "fem": FEM,
    "ablation-cam": AblationCAM,
    "score-cam": ScoreCAM,
    "finer-cam": FinerCAM,
    "contrast": Contrast,
    "full-grad": FullGrad,
    "occlusion": Occlusion,
    "region-occlusion": RegionOcclusion,
    "region-shapley": RegionShapley,
    "rise": Rise,
    "saliency": Saliency,
    "input-x-gradient": InputXGradient,
    "smooth-grad": SmoothGrad,
    "integrated-gradients": IntegratedGradients,
    "gradient-shap": GradientShap,
    "kernel-shap": KernelShap,
    "lime": Lime,
    "deep-lift": DeepLift,
    "guided-backprop": GuidedBackprop,
    "deconvnet": Deconvnet,
    "guided-grad-cam": GuidedGradCAM,
    "lrp": LRP,
    "kpca-cam": KPCACAM,
    "seg-eigen-cam": SegEigenCAM,
}

Wanted: TypeAlias = str | Method | Sequence[str | Method] | Mapping[str, str | Method]


def make_method(name: str, **options: Any) -> Method:
    """Make a method by its registry name. Raises UnknownNameError, and ConfigError for an option that it has not."""
    return configured(lookup(METHODS, name, "method"), name, options)


def describe(method: Method) -> dict[str, Any]:
    """Registry name and options of a method: what `Explanation.method` holds."""
    kind = type(method)
    return {"name": next((name for name, known in METHODS.items() if known is kind), kind.__name__), **asdict(method)}


@overload
def explain(  # type: ignore[overload-overlap]  # a string is a sequence of strings as well
    model: Classifier,
    samples: Samples | Tensor,
    methods: str | Method,
    *,
    targets: Targets = ...,
    layer: str | None = ...,
    batch_size: int = ...,
    tick: Tick | None = ...,
) -> Explanation: ...


@overload
def explain(
    model: Classifier,
    samples: Samples | Tensor,
    methods: Sequence[str | Method] | Mapping[str, str | Method],
    *,
    targets: Targets = ...,
    layer: str | None = ...,
    batch_size: int = ...,
    tick: Tick | None = ...,
) -> dict[str, Explanation]: ...


def explain(
    model: Classifier,
    samples: Samples | Tensor,
    methods: Wanted,
    *,
    targets: Targets = "predicted",
    layer: str | None = None,
    batch_size: int = 128,
    tick: Tick | None = None,
) -> Explanation | dict[str, Explanation]:
    """Explain what the network makes of each sample.

    methods: one name or method gives one Explanation; a list or a mapping gives a dictionary of them, from one pass.
    targets: "predicted", "label", "all", one class id for every image, one an image (N,), or several (N, T).
    layer: what CAM methods read, by default the one that the network's card names.
    Samples and uint8 tensors (N, C, H, W) are normalised by the card, float tensors are network input as they are.
    Raises UnknownNameError, DataError, TargetError, ConfigError and NetworkError.
    """
    chosen = _chosen(methods)
    images = network_input(model, samples)
    read = layer or model.card.cam_layer
    if read:
        find_layer(model.network, read)
    blind = [key for key, method in chosen.items() if reads_layer(method) and not read]
    if blind:
        raise NetworkError(f"{blind[0]} reads a layer, and the network's card names none; name one with layer=.")
    classes = resolve_targets(targets, images.labels, len(model.card.class_names))
    blank = {key: _blank(method, images, read) for key, method in chosen.items()}
    maps, classes = maps_of(images, chosen, targets=classes, layer=read, batch_size=batch_size, tick=tick)
    found = {key: replace(blank[key], maps=maps[key], targets=classes) for key in chosen}
    return next(iter(found.values())) if _is_one(methods) else found


def _blank(method: Method, images: Images, layer: str) -> Explanation:
    """What is known of an explanation before any map. Raises ConfigError where the method does not fit the input."""
    none, size = torch.empty(0), images.model.card.input_size
    read, prints = layer if reads_layer(method) else "", footprint(method, size)
    return Explanation(images.ids, none, none, describe(method), read, size, prints, class_free(method))


def _is_one(methods: Wanted) -> bool:
    return isinstance(methods, str) or not isinstance(methods, Mapping | Sequence)


def _chosen(methods: Wanted) -> dict[str, Method]:
    """Methods by the key of their result: the mapping's own, or registry names. Raises ConfigError for equal ones."""
    if isinstance(methods, Mapping):
        return {key: _method(method) for key, method in methods.items()}
    listed = [methods] if _is_one(methods) else methods
    made = [_method(method) for method in cast("Sequence[str | Method]", listed)]
    named = {describe(method)["name"]: method for method in made}
    if len(named) != len(made):
        raise ConfigError("Two of the methods have the same name; give a mapping of your own names to methods.")
    return named


def _method(method: str | Method) -> Method:
    if not isinstance(method, str) and (isinstance(method, type) or not callable(method)):
        raise ConfigError(f"A method is a name, or one made as METHODS['grad-cam']() is; not {method!r}.")
    return make_method(method) if isinstance(method, str) else method
