"""A whole run against a bare forward pass over the same samples, and against the script that one would write instead.

    python benchmarks/runs.py [--network baseline] [--data fer2013:FILE] [--split PrivateTest] [--few 256] [--rounds 3]

Eight CAM methods, all classes. Bare: the network over all samples, plain, eager, 128 at a time. The script: one method
of pytorch-grad-cam after the other, one class after the other, a picture of each map laid over the face as a PNG, on
`few` samples, its time scaled to all. Interleaved, medians; what a process takes to start and to read the dataset is
counted for nobody. Memory is the whole process's peak.
"""

import argparse
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytorch_grad_cam
import torch
from explain import EIGHT
from PIL import Image
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from inspect_fer.datasets import samples_for
from inspect_fer.models.checkpoint import load
from inspect_fer.runs import make_run
from inspect_fer.schema import Classifier, Samples

THEIRS = {
    "grad-cam": "GradCAM",
    "grad-cam++": "GradCAMPlusPlus",
    "hires-cam": "HiResCAM",
    "grad-cam-elementwise": "GradCAMElementWise",
    "layer-cam": "LayerCAM",
    "xgrad-cam": "XGradCAM",
    "eigen-cam": "EigenCAM",
    "eigen-grad-cam": "EigenGradCAM",
}
"""pytorch-grad-cam's classes for the methods of a run."""


def bare(model: Classifier, faces: Samples) -> None:
    """Nothing but the answers."""
    with torch.inference_mode():
        for pixels in faces.batches(128):
            model.network(model.normalise(pixels))


def script(model: Classifier, faces: Samples, folder: Path) -> None:
    """Maps as people make them: a method, a class and a picture at a time."""
    layer = model.network.get_submodule(model.card.cam_layer)
    for method in EIGHT:
        with getattr(pytorch_grad_cam, THEIRS[method])(model.network, [layer]) as cam:
            for start in range(0, len(faces), 32):
                part = faces[start : start + 32]
                images = model.normalise(part.pixels[:])
                for target in range(len(model.card.class_names)):
                    maps = cam(images, [ClassifierOutputTarget(target)] * len(part))
                    for row, heat in enumerate(maps):
                        face = np.repeat(part.pixels[row : row + 1][0].permute(1, 2, 0).numpy() / 255, 3, axis=2)
                        picture = show_cam_on_image(face.astype(np.float32), heat, use_rgb=True)
                        Image.fromarray(picture).save(folder / f"{method}-{start + row}-{target}.png")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="baseline")
    parser.add_argument("--data", default="synthetic:3589")
    parser.add_argument("--split", default="test")
    parser.add_argument("--few", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = load(given.network)
    faces = samples_for(model.card, given.data, given.split)
    spent: dict[str, list[float]] = {"bare forward pass": [], "run": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number in range(given.rounds + 1):  # the first round warms up
            spent["bare forward pass"].append(timed(lambda: bare(model, faces)))
            name = folder / f"run{number}"
            spent["run"].append(timed(lambda name=name: make_run(name, model, faces, EIGHT, targets="all")))
            size = sum(path.stat().st_size for path in name.rglob("*") if path.is_file())
            shutil.rmtree(name)
        few = faces[: given.few]
        scripted = timed(lambda: script(model, few, folder)) * len(faces) / len(few)
    seconds = {name: median(times[1:]) for name, times in spent.items()} | {"script (scaled)": scripted}
    print(f"{platform.machine()}, {torch.get_num_threads()} threads; {given.network}, {len(faces):,} faces")
    print("\n| | seconds | x bare | x run |\n|---|---|---|---|")
    for name, took in seconds.items():
        print(f"| {name} | {took:.1f} | {took / seconds['bare forward pass']:.2f} | {took / seconds['run']:.2f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{len(EIGHT)} methods, {len(model.card.class_names)} classes: {size / 1e6:.1f} MB on disk.")
    print(f"Peak memory {peak:,.0f} MB.")


if __name__ == "__main__":
    main()
