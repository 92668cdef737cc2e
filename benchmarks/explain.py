"""CAM methods and occlusion against the peers, interleaved in one run: medians, ratios, agreement of the maps.

    python benchmarks/explain.py [--batch 128] [--repeats 5] [--networks baseline resnet18] [--tables grad-cam eight]

Same network, same batch, same threads for everybody. A ratio above 1 says how many times longer the other takes.
"""

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from statistics import median
from typing import Literal

import numpy as np
import torch
from captum.attr import LayerGradCam, Occlusion
from pytorch_grad_cam import AblationCAM, GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCam

from inspect_fer.capture import Meter
from inspect_fer.explain import METHODS, explain
from inspect_fer.models import ARCHITECTURES, build
from inspect_fer.schema import Classifier, Explanation, ModelCard

CLASSES = 7
Work = Callable[[], Tensor | Explanation | None]


def model_of(name: str) -> Classifier:
    """A network with random weights, its batch norms as after training, so that what is changed early matters late."""
    torch.manual_seed(0)
    network = build(name).train()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # a plain mean, here of one batch
    with torch.no_grad():
        network(torch.randn(32, 1, 48, 48))
    names = tuple(f"class {index}" for index in range(CLASSES))
    card = ModelCard(name, names, (1, 48, 48), (0.5,), (0.25,), ARCHITECTURES[name].cam_layer)
    return Classifier(network.eval(), card)


def plain_forward(model: Classifier, images: Tensor) -> Work:
    def work() -> None:
        with torch.inference_mode():
            model.network(images)

    return work


def ours(model: Classifier, images: Tensor, method: str) -> Work:
    return lambda: explain(model, images, METHODS[method](), targets="all", batch_size=len(images))


def by_grad_cam(model: Classifier, images: Tensor) -> Work:
    """pytorch-grad-cam, one call a class."""

    def work() -> Tensor:
        layer = model.network.get_submodule(model.card.cam_layer)
        with GradCAM(model.network, [layer]) as cam:
            maps = [cam(images, [ClassifierOutputTarget(k)] * len(images)) for k in range(CLASSES)]
        return torch.from_numpy(np.stack(maps, 1))

    return work


def by_captum(model: Classifier, images: Tensor) -> Work:
    cam = LayerGradCam(model.network, model.network.get_submodule(model.card.cam_layer))
    return lambda: torch.cat([cam.attribute(images, target=k) for k in range(CLASSES)], 1).detach()


def by_torchcam(model: Classifier, images: Tensor) -> Work:
    """torchcam at its best: one forward, the graph retained, a class a call."""

    def work() -> Tensor:
        with TorchCam(model.network, model.card.cam_layer) as cam:
            scores = model.network(images)
            maps = [cam([k] * len(images), scores, normalized=False, retain_graph=True)[0] for k in range(CLASSES)]
        return torch.stack(maps, 1).detach()

    return work


def occlusion_by_captum(model: Classifier, images: Tensor) -> Work:
    occlusion, window = Occlusion(model.network), (1, 8, 8)
    options = {"strides": (1, 4, 4), "perturbations_per_eval": 16}

    def work() -> Tensor:
        with torch.inference_mode():
            maps = [occlusion.attribute(images, window, target=k, **options) for k in range(CLASSES)]
        return torch.cat(maps, 1)

    return work


def medians(works: dict[str, Work], repeats: int) -> tuple[dict[str, float], dict[str, Tensor | Explanation | None]]:
    """Run all in turn, again and again; median seconds and last result of each. The first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    results: dict[str, Tensor | Explanation | None] = {}
    for _ in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            results[name] = work()
            times[name].append(time.perf_counter() - started)
    return {name: median(spent[1:]) for name, spent in times.items()}, results


def scaled(maps: Tensor) -> Tensor:
    """Each map to 0..1, as pytorch-grad-cam returns it."""
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-7)


AS_THEIRS: dict[str, Callable[[Explanation], Tensor]] = {
    "captum, per class": lambda why: why.maps if not why.footprint.rows else why.upsampled(),
    "torchcam, one forward": lambda why: why.maps.relu(),
    "pytorch-grad-cam, per class": lambda why: scaled(replace(why, maps=why.maps.relu()).upsampled()),
}
"""Our raw maps in the form in which a peer returns them: clipped, at the size of the image, scaled."""


def agreement(why: Explanation, name: str, theirs: Tensor) -> str:
    """Largest difference relative to the largest value."""
    mine = AS_THEIRS[name](why)
    return f"{float((mine - theirs).abs().max() / mine.abs().max()):.0e}"


def table(title: str, works: dict[str, Work], repeats: int) -> None:
    seconds, results = medians(works, repeats)
    why = results["ours"]
    print(f"\n{title}\n| | seconds | x ours | difference |\n|---|---|---|---|")
    for name, spent in seconds.items():
        theirs = results[name]
        told = agreement(why, name, theirs) if isinstance(why, Explanation) and isinstance(theirs, Tensor) else ""
        print(f"| {name} | {spent:.3f} | {spent / seconds['ours']:.2f} | {told} |")


EIGHT = [
    "grad-cam",
    "grad-cam++",
    "hires-cam",
    "grad-cam-elementwise",
    "layer-cam",
    "xgrad-cam",
    "eigen-cam",
    "eigen-grad-cam",
]


def fast(model: Classifier, images: Tensor, method: str) -> Work:
    """Half precision, with the measurement of its error on a few images."""
    return lambda: explain(model, images, METHODS[method](), targets="all", precision="fast", batch_size=len(images))


def eight(model: Classifier, images: Tensor, precision: Literal["exact", "fast"] = "exact") -> Work:
    def work() -> None:
        explain(model, images, EIGHT, targets="all", batch_size=len(images), precision=precision)

    return work


def ablation_by_grad_cam(model: Classifier, images: Tensor) -> Work:
    """pytorch-grad-cam's Ablation-CAM, one call a class."""

    def work() -> Tensor:
        layer = model.network.get_submodule(model.card.cam_layer)
        with AblationCAM(model.network, [layer], batch_size=128) as cam:
            maps = [cam(images, [ClassifierOutputTarget(k)] * len(images)) for k in range(CLASSES)]
        return torch.from_numpy(np.stack(maps, 1))

    return work


def memory(model: Classifier, images: Tensor) -> None:
    """Bytes of tensors alive at a time: all-class Grad-CAM beside a plain forward pass."""
    peaks = {}
    for name, work in {"plain forward": plain_forward(model, images), "ours": ours(model, images, "grad-cam")}.items():
        work()
        with Meter() as meter:
            work()
        peaks[name] = meter.peak
    share = peaks["ours"] / peaks["plain forward"]
    print(f"\nPeak memory of all-class Grad-CAM: {peaks['ours'] / 1e6:.1f} MB, {share:.2f} x that of a plain forward.")


def deviation(model: Classifier, images: Tensor, method: str) -> str:
    found = explain(model, images, METHODS[method](), targets="all", precision="fast")
    return f"{found.deviation:.1e}"


@dataclass
class Bench:
    """One network with its images: a batch for what is quick, few for what is not."""

    name: str
    batch: int
    few: int
    repeats: int
    model: Classifier = field(init=False)
    images: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.model, self.images = model_of(self.name), torch.randn(self.batch, 1, 48, 48)

    def grad_cam(self) -> None:
        model, images = self.model, self.images
        works = {
            "ours": ours(model, images, "grad-cam"),
            "plain forward": plain_forward(model, images),
            "torchcam, one forward": by_torchcam(model, images),
            "captum, per class": by_captum(model, images),
            "pytorch-grad-cam, per class": by_grad_cam(model, images),
            "ours, fast": fast(model, images, "grad-cam"),
        }
        table(f"{self.name}: Grad-CAM, {CLASSES} classes, batch {self.batch}", works, self.repeats)
        off = deviation(model, images, "grad-cam")
        print(f"\nFast Grad-CAM lies {off} from the exact maps (length over length).")

    def eight(self) -> None:
        works = {
            "ours": eight(self.model, self.images),
            "plain forward": plain_forward(self.model, self.images),
            "ours, fast": eight(self.model, self.images, precision="fast"),
        }
        table(f"{self.name}: eight CAM methods, {CLASSES} classes, batch {self.batch}", works, self.repeats)

    def memory(self) -> None:
        memory(self.model, self.images)

    def ablation(self) -> None:
        few = self.images[:2]
        works = {
            "ours": ours(self.model, few, "ablation-cam"),
            "pytorch-grad-cam, per class": ablation_by_grad_cam(self.model, few),
        }
        table(f"{self.name}: Ablation-CAM, {CLASSES} classes, batch {len(few)}", works, 1)

    def occlusion(self) -> None:
        few, repeats = self.images[: self.few], max(1, self.repeats // 2)
        works = {"ours": ours(self.model, few, "occlusion"), "captum, per class": occlusion_by_captum(self.model, few)}
        table(f"{self.name}: occlusion 8/4, {CLASSES} classes, batch {len(few)}", works, repeats)

    def half(self) -> None:
        many = self.images[: 8 * self.few]
        works = {"ours": ours(self.model, many, "occlusion"), "ours, fast": fast(self.model, many, "occlusion")}
        title = f"{self.name}: occlusion 8/4 in half precision, {CLASSES} classes, batch {len(many)}"
        table(title, works, max(1, self.repeats // 2))
        print(f"\nFast occlusion lies {deviation(self.model, many, 'occlusion')} from the exact maps.")


TABLES = {
    "grad-cam": Bench.grad_cam,
    "eight": Bench.eight,
    "memory": Bench.memory,
    "ablation": Bench.ablation,
    "occlusion": Bench.occlusion,
    "half": Bench.half,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--few", type=int, default=8, help="images for occlusion and Ablation-CAM")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=["baseline", "resnet18"])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    given = parser.parse_args()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "captum", "grad-cam", "torchcam"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, float32; {libraries}")
    for name in given.networks:
        bench = Bench(name, given.batch, given.few, given.repeats)
        for chosen in given.tables:
            TABLES[chosen](bench)


if __name__ == "__main__":
    main()
