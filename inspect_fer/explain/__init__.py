"""Explanation methods, and `explain`, which runs them."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, cast, overload

from torch import Tensor

from inspect_fer.errors import ConfigError
from inspect_fer.explain.ablation_cam import AblationCAM
from inspect_fer.explain.budget import in_bytes, some
from inspect_fer.explain.cam import CAM
from inspect_fer.explain.contrast import Contrast, FinerCAM
from inspect_fer.explain.cost import Forecast, forecast_of
from inspect_fer.explain.deep_lift import DeepLift
from inspect_fer.explain.eigen_cam import EigenCAM, EigenGradCAM
from inspect_fer.explain.fem import FEM
from inspect_fer.explain.full_grad import FullGrad
from inspect_fer.explain.fusion import FUSIONS, Fusion
from inspect_fer.explain.grad_cam import GradCAM
from inspect_fer.explain.grad_cam_library import KPCACAM, DeepFeatureFactorization, SegEigenCAM
from inspect_fer.explain.grad_cam_plus_plus import GradCAMPlusPlus, SmoothGradCAMPlusPlus
from inspect_fer.explain.gradients import GradientShap, InputXGradient, IntegratedGradients, Saliency, SmoothGrad
from inspect_fer.explain.guided import Deconvnet, GuidedBackprop, GuidedGradCAM
from inspect_fer.explain.lrp import LRP
from inspect_fer.explain.method import Method, configured, reads_layer, settled
from inspect_fer.explain.occlusion import Occlusion
from inspect_fer.explain.passes import Layers, Plan, Refuse, maps_of
from inspect_fer.explain.pointwise import GradCAMElementwise, HiResCAM, LayerCAM
from inspect_fer.explain.reading import layers_to_read, readable
from inspect_fer.explain.region_occlusion import RegionOcclusion
from inspect_fer.explain.region_shapley import RegionShapley
from inspect_fer.explain.results import answer_of, blanks, explanations
from inspect_fer.explain.rise import Rise
from inspect_fer.explain.score_cam import ScoreCAM
from inspect_fer.explain.sess import SESS
from inspect_fer.explain.shapley_cam import ShapleyCAM
from inspect_fer.explain.spelling import spelt
from inspect_fer.explain.surrogates import KernelShap, Lime
from inspect_fer.explain.xgrad_cam import XGradCAM
from inspect_fer.lookup import lookup
from inspect_fer.predict import Images, check_tick, network_input
from inspect_fer.schema import Classifier, Explanation, Prediction, Samples, Tick
from inspect_fer.targets import Targets, resolve_targets

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
    "deep-feature-factorization": DeepFeatureFactorization,
    "sess": SESS,
}

Wanted: TypeAlias = str | Method | Sequence[str | Method] | Mapping[str, str | Method]
Precision: TypeAlias = Literal["exact", "fast"]


class Options(TypedDict, total=False):
    """What `explain` may be told beside network, samples and methods."""

    targets: Targets
    layer: Layers
    fusion: Fusion
    precision: Precision
    memory: str | int
    batch_size: int
    refuse: Refuse | None
    tick: Tick | None


def make_method(name: str, **options: Any) -> Method:
    """Make a method by its registry name. Raises UnknownNameError, and ConfigError for an option that it has not."""
    return configured(lookup(METHODS, name, "method"), name, options)


def describe(method: Method) -> dict[str, Any]:
    """Registry name and options of a method: what `Explanation.method` holds."""
    kind = type(method)
    return {"name": next((name for name, known in METHODS.items() if known is kind), kind.__name__), **asdict(method)}


@overload
def explain(  # type: ignore[overload-overlap]  # a string is a sequence of strings as well
    model: Classifier, samples: Samples | Tensor, methods: str | Method, **options: Unpack[Options]
) -> Explanation: ...


@overload
def explain(
    model: Classifier,
    samples: Samples | Tensor,
    methods: Sequence[str | Method] | Mapping[str, str | Method],
    **options: Unpack[Options],
) -> dict[str, Explanation]: ...


def explain(  # noqa: PLR0913  # a user's choices, all with defaults
    model: Classifier,
    samples: Samples | Tensor,
    methods: Wanted,
    *,
    targets: Targets = "predicted",
    layer: Layers = None,
    fusion: Fusion = "mean",
    precision: Precision = "exact",
    memory: str | int = "1GB",
    batch_size: int = 128,
    refuse: Refuse | None = None,
    tick: Tick | None = None,
) -> Explanation | dict[str, Explanation]:
    """Explain what the network makes of each sample.

    methods: one name or method gives one Explanation; a list or a mapping gives a dictionary of them, from one pass.
        A name may bring options: "occlusion?window=4&fill=mean".
    targets: "predicted", "label", "all", a class by id or name, one an image (N,), or several an image (N, T).
    layer: what CAM methods read, by default the one that the network's card names. Of several, all read in one pass,
        each method's maps become one (N, T, H, W): the `fusion` "mean" (pytorch-grad-cam), "max" (LayerCAM) or
        "product" (RefineCAM).
    precision: "exact", or "fast" for bfloat16 where the processor multiplies it faster; see Explanation.deviation.
    memory: budget for the tensors of the passes, such as "1GB", weights and results apart; batch_size: images at most.
    refuse: told of each method that the network does not allow, which is left out; by default its error is raised. A
        single method that is left out gives {}.
    Samples and uint8 tensors (N, C, H, W) are normalised by the card, float tensors are network input as they are.
    Raises UnknownNameError, DataError, TargetError, ConfigError and NetworkError.
    """
    images, wanted = network_input(model, samples), chosen(methods)
    blank, plan = _planned(
        images,
        wanted,
        targets=targets,
        layer=layer,
        fusion=fusion,
        precision=precision,
        memory=memory,
        batch_size=batch_size,
        refuse=refuse,
        tick=tick,
    )
    found = explanations(images, plan.methods, blank, maps_of(images, plan, tick)) if blank else {}
    return next(iter(found.values())) if _is_one(methods) and found else found


@dataclass(frozen=True)
class Examined:
    """What one pass tells of samples: the answer, the maps, and the features (N, D) that the answer was made of.

    D is 0 where the answer is not made by a linear layer or a convolution
    """

    prediction: Prediction
    features: Tensor
    explanations: dict[str, Explanation]


def examine(model: Classifier, samples: Samples | Tensor, methods: Wanted, **options: Unpack[Options]) -> Examined:
    """Predict and explain in the same pass; with no methods, predict. Takes and raises what `explain` does."""
    images = network_input(model, samples)
    blank, plan = _planned(images, chosen(methods), **options)
    found = maps_of(images, plan, options.get("tick"))
    return Examined(answer_of(images, found), found.features, explanations(images, plan.methods, blank, found))


def forecast(model: Classifier, samples: Samples | Tensor, methods: Wanted, **options: Unpack[Options]) -> Forecast:
    """What `explain` is going to take when it is called with the same: passes, seconds and bytes of each method.

    A few images are timed on their way through the network, the rest is counted. Raises what `explain` raises first.
    """
    images = network_input(model, samples)
    return forecast_of(images, _planned(images, chosen(methods), **options)[1])


def _planned(  # what `explain` may be told
    images: Images,
    methods: Mapping[str, Method],
    *,
    targets: Targets = "predicted",
    layer: Layers = None,
    fusion: Fusion = "mean",
    precision: Precision = "exact",
    memory: str | int = "1GB",
    batch_size: int = 128,
    refuse: Refuse | None = None,
    tick: Tick | None = None,
) -> tuple[dict[str, Explanation], Plan]:
    """What is known of each explanation before any map, and the plan for those methods that fit so far."""
    fast = lookup({"exact": False, "fast": True}, precision, "precision")
    lookup(dict.fromkeys(FUSIONS), fusion, "fusion")
    check_tick(tick)
    card, layers = images.model.card, layers_to_read(images.model, layer)
    described = {key: describe(method) for key, method in methods.items()}
    blank = blanks(readable(methods, images, layers, refuse), described, images, layers, fusion, refuse)
    fitting = {key: settled(methods[key], card) for key in blank}
    return blank, Plan(
        fitting,
        resolve_targets(targets, images.labels, len(card.class_names), card.class_names),
        layers if any(map(reads_layer, fitting.values())) else (),
        fusion,
        some(batch_size),
        in_bytes(memory),
        fast,
        refuse,
    )


def _is_one(methods: Wanted) -> bool:
    return isinstance(methods, str) or not isinstance(methods, Mapping | Sequence)


def chosen(methods: Wanted) -> dict[str, Method]:
    """Methods by the key of their result: the mapping's own, or registry names. Raises ConfigError for equal ones."""
    if isinstance(methods, Mapping):
        return {key: _method(method) for key, method in methods.items()}
    listed = [methods] if _is_one(methods) else methods
    made = [_method(method) for method in cast("Sequence[str | Method]", listed)]
    named = {describe(method)["name"]: method for method in made}
    if len(named) != len(made):
        raise ConfigError(
            "Two of the methods have the same name. In Python, give a mapping of your own names to methods; on the "
            "command line, make a run of each."
        )
    return named


def _method(method: str | Method) -> Method:
    if not isinstance(method, str) and not _is_method(method):
        raise ConfigError(f"A method is a name, or one made as METHODS['grad-cam']() is; not {method!r}.")
    return spelt(method, METHODS) if isinstance(method, str) else method


def _is_method(method: object) -> bool:
    """Whether this is a frozen dataclass of options that can be called."""
    return not isinstance(method, type) and is_dataclass(method) and isinstance(method, Hashable) and callable(method)
