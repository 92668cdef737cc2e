"""What each key of a sweep does to the score: a panel a key."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from inspect_fer.render.look import FIRST, INK, LINE, MUTED, PAPER, SECOND, axes, figure


def effects_figure(
    values: Mapping[str, Sequence[Any]],
    scores: Sequence[float | None],
    *,
    score: str = "accuracy",
    log: Collection[str] = (),
) -> Figure:
    """Draw what each swept key does to the score on the selection split: a panel a key, a dot a trial, means as bars.

    values: by key, one value a trial; words stand in the order of their means, and a key of many numbers gets an axis
        with the means of equal counts of trials
    scores: one a trial, None where it failed; of "loss" the smallest is best, of all else the largest
    log: keys whose axis is logarithmic
    """
    found = np.array([np.nan if value is None else value for value in scores], dtype=float)
    rows = max(1, -(-len(values) // 4))
    columns = max(1, -(-len(values) // rows))
    drawing = figure(max(2.4 * columns, 3.4), 2.3 * rows + 0.35)
    label = f"selection {score.replace('_f1', ' F1')}"
    for index, (key, given) in enumerate(values.items()):
        place = axes(drawing, rows, columns, index + 1, y="" if index % columns else label)
        place.set_title(key, loc="left", fontsize=9, color=INK, pad=8, fontweight="bold", parse_math=False)
        place.tick_params(which="both", length=0, labelleft=not index % columns)
        place.grid(axis="y", color=LINE, linewidth=0.6)
        place.set_axisbelow(True)
        many = _is_numeric(given) and len(set(given)) > 8
        spots = _on_axis(place, given, found, log=key in log) if many else _in_slots(place, given, found)
        _trials(place, spots, found, least=score == "loss")
        place.set_ylim(*_room(found, most=math.inf if score == "loss" else 1.0))
        place.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))  # 2.5 would need another decimal
        if score == "accuracy":
            place.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if np.ptp(place.get_ylim()) > 0.06 else 1))
    entries = [place.get_legend_handles_labels() for place in drawing.axes]
    legend = {name: handle for handles, names in entries for handle, name in zip(handles, names, strict=True)}
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": 4, "frameon": False}
    drawing.legend(list(legend.values()), list(legend), fontsize=7, labelcolor=MUTED, **where)
    return drawing


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _on_axis(place: Axes, given: Sequence[float], found: np.ndarray, *, log: bool) -> np.ndarray:
    """Put numbers on an axis, with the means of five parts of equally many trials; return where the trials stand."""
    spots: np.ndarray = np.asarray(given, dtype=float)
    place.set_xscale("log" if log else "linear")
    known = np.flatnonzero(np.isfinite(found))
    parts = [part for part in np.array_split(known[np.argsort(spots[known])], 5) if part.size]
    if parts:
        middles = [np.exp(np.log(spots[part]).mean()) if log else spots[part].mean() for part in parts]
        means = [found[part].mean() for part in parts]
        place.plot(middles, means, color=INK, linewidth=1.4, zorder=1.8, label="mean")
    return spots


def _in_slots(place: Axes, given: Sequence[Any], found: np.ndarray) -> np.ndarray:
    """Give each value a slot of its own, with its mean; return where the trials stand."""
    names = np.array(list(map(_words, given)))
    means = {name: _mean(found[names == name]) for name in dict.fromkeys(names.tolist())}
    numbers = list(dict.fromkeys(map(_words, sorted(given)))) if _is_numeric(given) else []
    order = numbers or sorted(means, key=lambda name: (means[name] is not None, means[name]))
    spots = np.zeros(len(names))
    for slot, name in enumerate(order):
        inside = np.flatnonzero(names == name)
        spots[inside] = slot + ((np.arange(len(inside)) * 0.618 + 0.5) % 1 - 0.5) * 0.5  # beside one another
        mean = means[name]
        if mean is not None:
            place.hlines(mean, slot - 0.34, slot + 0.34, color=INK, linewidth=1.6, zorder=1.8, label="mean")
    labels = ["\n".join(map(_short, name.split("\n"))) for name in order]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    turned = longest * 0.056 * len(order) > 2.05  # inches
    turn: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    place.set_xticks(range(len(order)), labels, parse_math=False, **turn)
    place.set_xlim(-0.6, len(order) - 0.4)
    return spots


def _mean(scores: np.ndarray) -> float | None:
    """The mean of those that did not fail."""
    known = scores[np.isfinite(scores)]
    return float(known.mean()) if known.size else None


def _trials(place: Axes, spots: np.ndarray, found: np.ndarray, *, least: bool) -> None:
    """A dot for each trial, a ring around the best one, a cross at the foot for one that failed."""
    known = np.isfinite(found)
    strength = 0.8 if len(found) <= 60 else 0.4
    if known.any():
        dot: dict[str, Any] = {"facecolors": FIRST, "edgecolors": PAPER, "linewidths": 0.4, "alpha": strength}
        place.scatter(spots[known], found[known], s=16, label="trial", **dot)
        best = np.nanargmin(found) if least else np.nanargmax(found)
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": SECOND, "linewidths": 1.5, "zorder": 4}
        place.scatter(spots[best], found[best], s=42, label="best", **ring)
    if not known.all():
        foot = np.full(int((~known).sum()), 0.04)
        where = place.get_xaxis_transform()
        place.scatter(
            spots[~known], foot, s=11, color=MUTED, marker="x", linewidths=0.8, transform=where, label="failed"
        )


def _room(found: np.ndarray, *, most: float) -> tuple[float, float]:
    """Limits of the scores' axis, with a foot for trials that failed. most: scores lie between 0 and this.

    Equal scores stand in the middle of a hundredth, so that the axis tells its ticks apart.
    """
    known = found[np.isfinite(found)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    span = max(high - low, 0.01, 0.01 * abs(high))
    high = min(max((low + high + span) / 2, span), most)
    low = high - span
    return low - span * (0.1 if known.size == found.size else 0.18), high + span * 0.1


def _words(value: Any) -> str:
    """A value as a label; a table takes a line an entry."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "\n".join(_words(f"{name} {_words(part)}") for name, part in value.items()) or "nothing"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:9]}…{text[-10:]}"
