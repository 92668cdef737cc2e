"""Occlusion against captum and against our own whole maps, interleaved in one run, beside the forecast of the gain.

    python benchmarks/occlusion.py [--networks baseline,resnet18] [--images 8] [--repeats 3] [--window 8] [--stride 4]

Same network, same images, same threads for everybody; medians. captum is called once a class, with as many windows at a
time as suit it best. The forecast is the ratio of multiply-adds, whole maps over what the windows reach; the gain is
the ratio of seconds of the same two. A ratio above 1 says how many times longer the other takes.
"""

import argparse
import platform
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

import torch
from captum.attr import Occlusion as CaptumOcclusion
from explain import CLASSES, medians, model_of
from torch import Tensor

from inspect_fer.explain import Occlusion, explain
from inspect_fer.explain.incremental import forecast
from inspect_fer.schema import Classifier, Explanation
from inspect_fer.twin import exact_twin

NETWORKS = "baseline,resnet18,se,vgg,mobilenet_v2,lenet"
AT_ONCE = (4, 16, 64)
"""Windows at a time among which captum's best is looked for."""


def ours(model: Classifier, images: Tensor, method: Occlusion, targets: str | int) -> Callable[[], Explanation]:
    return lambda: explain(model, images, method, targets=targets)


def whole(work: Callable[[], Explanation]) -> Callable[[], Explanation]:
    """The same work with whole maps for every window."""
    incremental = import_module("inspect_fer.explain.incremental")

    def run() -> Explanation:
        kept, incremental.PAYS = incremental.PAYS, float("inf")
        try:
            return work()
        finally:
            incremental.PAYS = kept

    return run


def by_captum(model: Classifier, images: Tensor, method: Occlusion, at_once: int, classes: int) -> Callable[[], Tensor]:
    occlusion, window = CaptumOcclusion(model.network), (images.shape[1], method.window, method.window)
    options = {"strides": (1, method.stride, method.stride), "perturbations_per_eval": at_once}

    def work() -> Tensor:
        with torch.inference_mode():
            maps = [occlusion.attribute(images, window, target=k, **options) for k in range(classes)]
        return torch.cat(maps, 1)

    return work


def best_for_captum(model: Classifier, images: Tensor, method: Occlusion) -> int:
    """With how many windows at a time captum is fastest."""
    seconds = {}
    for at_once in AT_ONCE:
        work, started = by_captum(model, images, method, at_once, 1), time.perf_counter()
        work()
        seconds[at_once] = time.perf_counter() - started
    return min(seconds, key=lambda at_once: seconds[at_once])


def difference(mine: Tensor, theirs: Tensor) -> str:
    """Largest difference relative to the largest value."""
    return f"{float((mine - theirs).abs().max() / mine.abs().max()):.0e}"


def compare(name: str, images: Tensor, method: Occlusion, repeats: int) -> str:
    """Print one network's table; its row of the last one is returned."""
    model = model_of(name)
    at_once = best_for_captum(model, images, method)
    every, one = ours(model, images, method, "all"), ours(model, images, method, 0)
    works = {
        "ours": every,
        "ours, one class": one,
        "ours, whole maps": whole(every),
        f"captum, {CLASSES} classes": by_captum(model, images, method, at_once, CLASSES),
        "captum, one class": by_captum(model, images, method, at_once, 1),
    }
    seconds, results = medians(works, repeats)
    maps, mine = results["ours"].maps, results["ours"].upsampled()
    told = ("", "", difference(maps, results["ours, whole maps"].maps))
    told += (
        difference(mine, results[f"captum, {CLASSES} classes"]),
        difference(mine[:, :1], results["captum, one class"]),
    )
    print(
        f"\n{name}: occlusion {method.window}/{method.stride}, {len(images)} images; captum {at_once} windows at a time"
    )
    print("| | seconds | x ours | difference |\n|---|---|---|---|")
    for (work, spent), off in zip(seconds.items(), told, strict=True):
        base = "ours, one class" if "one class" in work else "ours"
        print(f"| {work} | {spent:.3f} | {spent / seconds[base]:.2f} | {off} |")
    gain = forecast(exact_twin(model.network, (), images), images[:1], method.footprint(model.card.input_size)).gain
    return f"| {name} | {gain:.2f} | {seconds['ours, whole maps'] / seconds['ours']:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--window", type=int, default=8)
    parser.add_argument("--stride", type=int, default=4)
    given = parser.parse_args()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "captum"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, float32; {libraries}")
    images, method = torch.randn(given.images, 1, 48, 48), Occlusion(window=given.window, stride=given.stride)
    rows = [compare(name, images, method, given.repeats) for name in given.networks.split(",")]
    print("\n| network | forecast gain | measured gain |\n|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
