import math
from typing import get_args

import pytest
import torch
from torch import nn

from inspect_fer.training import Training
from inspect_fer.training.config import Optimizer
from inspect_fer.training.optimizers import OPTIMIZERS, Rate, optimizer_of, sharp_step


def weights(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_every_optimizer_of_the_recipes_is_there():
    assert set(OPTIMIZERS) == set(get_args(Optimizer))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name):
    place = weights(3.0, -2.0)
    optimizer = optimizer_of(Training(optimizer=name, learning_rate=0.05), [place])
    before = float((place.detach() ** 2).sum())
    for _ in range(20):
        optimizer.zero_grad()
        (place**2).sum().backward()
        optimizer.step()
    assert float((place.detach() ** 2).sum()) < before


def test_sgd_is_nesterovs_momentum_by_hand():
    place = weights(1.0)
    optimizer = optimizer_of(Training(optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01), [place])
    x = velocity = 0.0
    x = 1.0
    for _ in range(5):
        optimizer.zero_grad()
        (place**2).sum().backward()
        optimizer.step()
        slope = 2 * x + 0.01 * x
        velocity = 0.9 * velocity + slope
        x -= 0.1 * (slope + 0.9 * velocity)
    assert float(place.detach()) == pytest.approx(x)


def rates(epochs=10, steps=5, scores=None, **options):
    """The learning rate of every step."""
    optimizer = torch.optim.SGD([weights(0.0)], lr=options.get("learning_rate", 1e-3))
    rate = Rate(Training(epochs=epochs, **options), optimizer, steps)
    seen = []
    for epoch in range(epochs):
        for _ in range(steps):
            seen.append(rate.now)
            optimizer.step()
            rate.step()
        rate.epoch_done(scores[epoch] if scores else 0.0)
    return seen


def test_step_multiplies_from_its_milestones_on():
    seen = rates(schedule="step", learning_rate=0.05, milestones=(2, 4), factors=(0.5, 0.1))
    assert seen == pytest.approx([0.05] * 10 + [0.025] * 10 + [0.005] * 30)


def test_milestones_are_epochs_of_the_whole_training_after_a_warm_up_too():
    """Epoch by epoch: two of warm-up, full until epoch 4, then a half; a mark within the warm-up holds from its end."""
    seen = rates(schedule="step", learning_rate=1.0, warmup=2.0, milestones=(4, 7), factors=(0.5, 0.1))
    assert seen[10:] == pytest.approx([1.0] * 10 + [0.5] * 15 + [0.1] * 15)
    early = rates(schedule="step", learning_rate=1.0, warmup=2.0, milestones=(1,), factors=(0.5,))
    assert early[10:] == pytest.approx([0.5] * 40)


def test_cosine_falls_to_nothing():
    seen = rates(schedule="cosine", learning_rate=1.0)
    assert seen == pytest.approx([(1 + math.cos(math.pi * step / 50)) / 2 for step in range(50)])


def test_warm_restarts_begin_again_twice_as_long():
    seen = rates(epochs=7, schedule="warm-restarts", restart=1, learning_rate=1.0)
    starts = [step for step, rate in enumerate(seen) if rate == 1.0]
    assert starts == [0, 5, 15]


def test_one_cycle_peaks_at_the_learning_rate():
    seen = rates(schedule="one-cycle", learning_rate=0.1)
    assert max(seen) == pytest.approx(0.1)
    assert seen[0] < 0.01 > seen[-1]


def test_plateau_falls_when_the_score_has_not_risen():
    seen = rates(
        epochs=6, steps=1, schedule="plateau", plateau=1, factor=0.5, scores=[1, 2, 2, 2, 2, 2], learning_rate=1.0
    )
    assert seen == [1, 1, 1, 1, 0.5, 0.5]
    falling = rates(
        epochs=4,
        steps=1,
        schedule="plateau",
        plateau=0,
        factor=0.5,
        select_by="loss",
        scores=[4, 3, 2, 1],
        learning_rate=1.0,
    )
    assert falling == [1, 1, 1, 1]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "warm-restarts", "plateau"])
def test_warm_up_rises_before_any_schedule(schedule):
    seen = rates(schedule=schedule, warmup=2.0, learning_rate=1.0)
    assert seen[0] == pytest.approx(1 / 11)
    assert seen[:10] == sorted(seen[:10])
    assert len(seen) == 50


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "warm-restarts", "one-cycle", "plateau"])
def test_a_stored_rate_goes_on_where_it_was(schedule):
    options = Training(
        epochs=10,
        schedule=schedule,
        warmup=0.0 if schedule == "one-cycle" else 1.0,
        plateau=0,
        **({"milestones": (3,), "factors": (0.1,)} if schedule == "step" else {}),
    )

    def fresh():
        optimizer = torch.optim.SGD([weights(0.0)], lr=1e-3)
        return optimizer, Rate(options, optimizer, 5)

    def run(optimizer, rate, epochs):
        for _ in range(epochs):
            for _ in range(5):
                optimizer.step()
                rate.step()
            rate.epoch_done(0.5)

    first, again = fresh(), fresh()
    run(*first, 4)
    again[0].load_state_dict(first[0].state_dict())
    again[1].load_state_dict(first[1].state_dict())
    run(*first, 4)
    run(*again, 4)
    assert first[1].now == again[1].now


def test_a_sharp_step_takes_the_slope_from_the_radius_up():
    """Algorithm 1 of arXiv:2010.01412 on a paraboloid, by hand."""
    place, radius = weights(3.0, 4.0), 0.5
    optimizer = torch.optim.SGD([place], lr=0.1)
    scale = torch.tensor([1.0, 3.0], dtype=torch.float64)

    def gradients():
        optimizer.zero_grad()
        (scale * place**2).sum().backward()

    gradients()
    sharp_step(optimizer, radius, gradients)
    slope = [2 * 1 * 3.0, 2 * 3 * 4.0]
    norm = math.hypot(*slope)
    above = [3.0 + radius * slope[0] / norm, 4.0 + radius * slope[1] / norm]
    expected = [3.0 - 0.1 * 2 * above[0], 4.0 - 0.1 * 6 * above[1]]
    assert place.tolist() == pytest.approx(expected)
