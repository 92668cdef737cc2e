"""One epoch of training against the usual ways, interleaved in one run: images per second, ratios, where time goes.

    python benchmarks/training.py [--faces 2560] [--batch 128] [--repeats 3]

Same network, same faces (synthetic, 48 px), same batch, same augmentation (flip, shift, rotate, scale), same loss and
optimiser, same threads for everybody:

files    as in source 003: JPEG files, PIL, torchvision's transforms a face, DataLoader, float32, memory as it comes
tensor   a DataLoader over an in-memory tensor, torchvision's transforms a face, in our own precision and memory format
ours     the set as one tensor, whole batches augmented at once

Each loader runs with 0 and with 2 workers; the faster one counts. A ratio above 1 says how many times longer it takes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest import mock

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from inspect_fer.datasets import samples
from inspect_fer.models import build
from inspect_fer.schema import Samples
from inspect_fer.training import Recipe, loop, recipe_from
from inspect_fer.training.setup import Plan, fresh_state, plan_of

AFFINE = {"degrees": 10, "translate": (0.1, 0.1), "scale": (0.9, 1.1)}
Work = Callable[[], object]


class Faces(Dataset[tuple[Tensor, int]]):
    """Faces read one by one, from JPEG files or from a tensor."""

    def __init__(self, held: list[Path] | Tensor, labels: Tensor, change: v2.Transform) -> None:
        self.held, self.labels, self.change = held, labels.tolist(), change

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        face = self.held[row]
        return self.change(Image.open(face) if isinstance(face, Path) else face), self.labels[row]


def transforms(*, from_files: bool) -> v2.Compose:
    """As torchvision's users write them; a PIL image or a uint8 tensor becomes network input."""
    change = [v2.RandomHorizontalFlip(), v2.RandomAffine(**AFFINE)]
    first = [v2.PILToTensor()] if from_files else []
    return v2.Compose([*first, *change, v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.25])])


def by_loader(data: Dataset[tuple[Tensor, int]], batch: int, workers: int, precision: torch.autocast) -> Work:
    """One epoch of the plain loop that every tutorial has; precision: not enabled, memory is left as it comes."""
    torch.manual_seed(0)
    memory = torch.channels_last if precision._enabled else torch.contiguous_format
    network = build("baseline").to(memory_format=memory)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    cost = nn.CrossEntropyLoss()
    loader = DataLoader(data, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0)

    def work() -> None:
        network.train()
        for images, labels in loader:
            optimizer.zero_grad()
            with precision:
                loss = cost(network(images.to(memory_format=memory)), labels)
            loss.backward()
            optimizer.step()

    return work


def by_us(plan: Plan) -> Work:
    state = fresh_state(plan.recipe, plan.card, plan.steps, "cpu")
    epochs = iter(range(10_000))
    return lambda: loop._one_epoch(plan, state, state.network, next(epochs), None)


@contextmanager
def stopwatch(spent: list[float]) -> Iterator[None]:
    """Add up the time of forward, backward and optimiser step in our loop."""
    learn = loop._learn

    def timed(*given: object) -> tuple[Tensor, Tensor]:
        start = time.perf_counter()
        result = learn(*given)  # type: ignore[arg-type]
        spent.append(time.perf_counter() - start)
        return result

    with mock.patch.object(loop, "_learn", timed):
        yield


def recipe_of(batch: int) -> Recipe:
    training = {"batch_size": batch, "epochs": 1000}
    augment = {"flip": 0.5, "shift": 0.1, "rotate": 10, "scale": 0.1}
    return recipe_from({"network": {"architecture": "baseline"}, "training": training, "augment": augment})


def works_of(faces: Samples, plan: Plan, folder: Path, batch: int) -> dict[str, Work]:
    files = []
    for row, face in enumerate(faces.pixels[:]):
        files.append(folder / f"{row}.jpg")
        Image.fromarray(face[0].numpy()).save(files[-1], quality=95)
    plain = torch.autocast("cpu", enabled=False)
    works = {"ours": by_us(plan)}
    for workers in (0, 2):
        tensor = Faces(faces.pixels[:], faces.labels, transforms(from_files=False))
        jpeg = Faces(files, faces.labels, transforms(from_files=True))
        works[f"tensor, {workers} workers"] = by_loader(tensor, batch, workers, plan.arithmetic)
        works[f"files, {workers} workers"] = by_loader(jpeg, batch, workers, plain)
    return works


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=2560)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    faces = samples(f"synthetic:{given.faces}", "train")
    plan = plan_of(recipe_of(given.batch), faces, "cpu")
    plan = replace(plan, card=replace(plan.card, mean=(0.5,), std=(0.25,)))
    spent: list[float] = []
    with tempfile.TemporaryDirectory() as folder, stopwatch(spent):
        works = works_of(faces, plan, Path(folder), given.batch)
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(given.repeats + 1):  # the first round warms up
            for name, work in works.items():
                start = time.perf_counter()
                work()
                times[name].append(time.perf_counter() - start)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {given.faces} faces, batch {given.batch}\n")
    print("| | images/s | x ours |\n|---|---|---|")
    seconds = {name: median(found[1:]) for name, found in times.items()}
    for name, taken in seconds.items():
        print(f"| {name} | {given.faces / taken:,.0f} | {taken / seconds['ours']:.2f} |")
    share = 1 - sum(spent[plan.steps :]) / sum(times["ours"][1:])
    print(f"\nOurs spends {share:.1%} of its time outside forward, backward and optimiser step.")


if __name__ == "__main__":
    main()
