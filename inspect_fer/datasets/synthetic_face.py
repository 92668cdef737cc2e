"""Parametric faces whose expressions follow the action units of the Facial Action Coding System (Ekman, Friesen 1978).

A face is a list of strokes in face units: the picture spans -1..1 both ways, x points right and y down.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TRAITS: dict[str, tuple[float, float]] = {
    "skin": (110, 208), "hair": (0.2, 0.75), "background": (25, 215), "clothes": (20, 200), "lip": (0.62, 0.82),
    "width": (0.63, 0.73), "chin": (0.86, 0.95), "taper": (0.14, 0.38), "square": (0.6, 0.88), "age": (0.0, 0.4),
    "eye_gap": (0.28, 0.32), "eye_width": (0.14, 0.17), "eye_open": (0.07, 0.095), "eye_slant": (-0.012, 0.012),
    "eye_y": (-0.19, -0.13), "iris": (20, 90), "gaze": (-0.03, 0.03), "brow_y": (-0.43, -0.36), "brow": (0.025, 0.045),
    "brow_arch": (0.02, 0.06), "brow_slant": (-0.03, 0.03), "nose": (0.1, 0.14), "nose_y": (0.18, 0.24),
    "mouth_y": (0.47, 0.53), "mouth": (0.21, 0.27), "mouth_bend": (-0.028, 0.028), "lips": (0.03, 0.055),
    "style": (0, 6), "volume": (0.0, 0.06), "hairline": (-0.05, 0.05), "glasses": (0, 1), "beard": (0, 1),
    "roll": (-0.13, 0.13), "scale": (0.93, 1.05), "shift_x": (-0.05, 0.05), "shift_y": (-0.05, 0.02),
    "yaw": (-0.09, 0.09), "pitch": (-0.025, 0.025), "asymmetry": (-0.15, 0.15), "light_x": (-0.26, 0.26),
    "light_y": (-0.25, 0.08), "gain": (0.85, 1.1), "blur": (0.2, 0.55), "noise": (1.5, 6.5),
}  # fmt: skip
"""What sets one person and picture apart from the next; each is drawn evenly from its range, in this order."""

HAIR = (
    (0.00, -1.00, 0.00, 0.00, -0.80),
    (0.04, -0.66, 0.16, 0.00, -0.20),
    (0.08, -0.62, 0.24, 0.14, -0.12),
    (0.07, -0.54, 0.08, 0.00, 0.00),
    (0.09, -0.72, 0.40, 0.00, 0.95),
    (0.10, -0.62, 0.24, -0.12, 0.50),
)
"""Bald, short, side parting, fringe, long, bob: volume, hairline, how it curves and slopes, how far down it reaches."""

GLASSES, BEARD = 0.18, 0.14  # share of the faces

Points = NDArray[np.float64]
Traits = Mapping[str, float]
Units = Sequence[float]
"""The strength of action unit n, 0..about 1, at index n."""

T = np.linspace(-1, 1, 15)
ARC = 1 - T**2
ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)
COS, SIN = np.cos(ANGLE), np.sin(ANGLE)
SIDES = (-1, 1)


class Stroke(NamedTuple):
    """One shape: points (P, 2), grey tone, width of the line (0 fills), how far a turn of the head moves it."""

    points: Points
    tone: float
    width: float = 0.0
    depth: float = 1.0


def draw_traits(generator: np.random.Generator) -> dict[str, float]:
    """Draw one person under one light: a value for each of TRAITS."""
    shares = generator.random(len(TRAITS)).tolist()
    return {name: low + (high - low) * share for (name, (low, high)), share in zip(TRAITS.items(), shares, strict=True)}


def strokes_of(traits: Traits, units: Units) -> list[Stroke]:
    """A face as strokes, from the back to the front."""
    back = [*_body(traits, units), *_wrinkles(traits, units), *_hair(traits)]
    eyes = [stroke for side in SIDES for stroke in (*_eye(traits, units, side), *_brow(traits, units, side))]
    return [*back, *_nose(traits, units), *_mouth(traits, units), *eyes, *_glasses(traits)]


def _xy(x: Points, y: Points) -> Points:
    points = np.empty((len(x), 2))
    points[:, 0], points[:, 1] = x, y
    return points


def _ellipse(x: float, y: float, across: float, down: float) -> Points:
    return _xy(x + across * COS[::3], y + down * SIN[::3])


def _between(x: Points, upper: Points, lower: Points) -> Points:
    """The outline of the area between two curves over the same x."""
    return np.concatenate([_xy(x, upper), _xy(x, lower)[::-1]])


def _body(traits: Traits, units: Units) -> list[Stroke]:
    """Hair behind the head, shoulders, neck, ears, head and beard."""
    skin, hair, width, below = traits["skin"], traits["hair"] * traits["skin"], traits["width"], SIN.clip(min=0)
    x = width * np.sign(COS) * np.abs(COS) ** traits["square"] * (1 - traits["taper"] * below**2)
    outline = _xy(x, np.where(SIN > 0, traits["chin"], 0.9) * SIN + 0.06 * units[26] * below**4)
    shoulders = np.array([[-0.3, 0.95], [-1.2, 1.15], [-1.2, 1.6], [1.2, 1.6], [1.2, 1.15], [0.3, 0.95], [0, 1.1]])
    neck = Stroke(np.array([[-0.33, 0.4], [0.33, 0.4], [0.33, 1.4], [-0.33, 1.4]]), 0.62 * skin, depth=0)
    strokes = [neck, Stroke(shoulders, traits["clothes"], depth=0)]
    length = HAIR[int(traits["style"])][4]
    if length > 0.2:
        x = (width + 0.14) * np.sign(COS) * np.abs(COS) ** 0.5
        strokes.insert(0, Stroke(_xy(x, np.where(SIN > 0, length, 0.9) * SIN), 0.75 * hair, depth=0))
    else:
        ears = (_ellipse(side * (width + 0.01), 0.02, 0.08, 0.16) for side in SIDES)
        strokes += [Stroke(ear, 0.82 * skin, depth=-0.5) for ear in ears]
    strokes.append(Stroke(outline, skin, depth=0))
    if traits["beard"] < BEARD:
        edge = _xy(0.94 * width * T, 0.36 + 0.55 * T**2 - 0.85 * T**4)
        strokes.append(Stroke(np.concatenate([outline[SIN > 0.1], edge]), 0.6 * skin + 0.4 * hair, depth=0))
    return strokes


def _hair(traits: Traits) -> list[Stroke]:
    volume, hairline, curve, slope, length = HAIR[int(traits["style"])]
    if volume == 0:
        return []
    width, volume = traits["width"] + 0.03 + volume / 2, volume + traits["volume"]
    reach = min(length, 0.1)
    outer = _xy(width * T, reach - (0.9 + volume + reach) * np.sqrt(1 - 0.995 * T**2))
    inner = _xy(0.96 * traits["width"] * T, np.minimum(hairline + traits["hairline"] + curve * T**4 + slope * T, reach))
    temple = np.array([[width, reach], [0.93 * traits["width"], reach]])
    cap = np.concatenate([outer, temple, inner[::-1], temple[::-1] * (-1, 1)])
    return [Stroke(cap, traits["hair"] * traits["skin"], depth=0.2)]


def _brow(traits: Traits, units: Units, side: int) -> list[Stroke]:
    """Inner, middle and outer end move on their own: AU 1 and 2 raise, 4 and 9 lower and draw together."""
    lift = 1 + side * traits["asymmetry"]
    frown = units[4] * (1 - 0.75 * min(1.0, units[1]))  # with AU 1, AU 4 draws together but does not lower
    inner = traits["brow_y"] + traits["brow_slant"] - lift * 0.16 * units[1] + 0.14 * frown + 0.07 * units[9]
    outer = traits["brow_y"] - traits["brow_slant"] + 0.03 - lift * 0.14 * units[2] - 0.03 * units[4] * (1 - units[1])
    bend = traits["brow_arch"] + 0.05 * units[2] - 0.03 * frown + 0.02 * units[9]
    start = traits["eye_gap"] - 0.17 - 0.06 * units[4] - 0.03 * units[9]
    x = start + (traits["eye_gap"] + 0.2 - start) * (T + 1) / 2
    y = inner + (outer - inner) * (T + 1) / 2 - bend * ARC
    half = traits["brow"] * (1 - 0.65 * ((T + 1) / 2) ** 2)
    tone = min(0.1 + 0.5 * traits["hair"], 0.42) * traits["skin"]
    return [Stroke(_between(side * x, y - half, y + half), tone)]


def _eye(traits: Traits, units: Units, side: int) -> list[Stroke]:
    """AU 5 widens the eye, 7 and 9 narrow it, 6 pushes the lower lid up; AU 1 and 4 slant the upper lid."""
    skin, half = traits["skin"], traits["eye_width"]
    above = traits["eye_open"] + 0.055 * units[5] - 0.035 * units[7] - 0.03 * units[9] - 0.01 * units[6]
    below = 0.045 + 0.02 * units[5] - 0.025 * units[7] - 0.06 * units[6] - 0.02 * units[9]
    slant = traits["eye_slant"] + 0.035 * units[1] - 0.03 * units[4]
    x = side * (traits["eye_gap"] + half * T)
    y = traits["eye_y"] + slant * T - 0.015 * units[6] * T**2
    upper, lower = y - above * ARC + 0.3 * slant * T, y + np.maximum(below, 0.02 - above) * ARC
    ball = traits["eye_gap"] * side + traits["gaze"]
    height = traits["eye_y"] - 0.02 + 0.02 * units[15]
    iris = _ellipse(ball, height, 0.075, 0.078)
    lids = [np.interp(iris[:, 0], x[::side], lid[::side]) for lid in (upper, lower)]
    iris[:, 1] = iris[:, 1].clip(*lids)
    return [
        Stroke(_between(x, upper - 0.05, lower + 0.03), 0.86 * skin),
        Stroke(_between(x, upper, lower), 135 + 0.5 * skin),
        Stroke(iris, min(traits["iris"], 0.5 * skin)),
        Stroke(_xy(x, upper), 0.22 * skin, 0.045),
        Stroke(_xy(x[2:-2], lower[2:-2]), 0.55 * skin, 0.025),
    ]


def _nose(traits: Traits, units: Units) -> list[Stroke]:
    """AU 9 and 10 raise the wings of the nose and widen them."""
    skin, y = traits["skin"], traits["nose_y"] - 0.045 * units[9]
    wing = traits["nose"] * (1 + 0.2 * units[9] + 0.1 * units[10])
    base = _xy(wing * T, y + 0.02 * np.cos(3 * T))
    strokes = [
        Stroke(np.array([[0.03, -0.2], [0.05, y - 0.08]]), min(255, 1.1 * skin), 0.06, 1.4),
        Stroke(np.array([[-0.05, -0.22], [-0.045, -0.05], [-0.09, y - 0.05]]), 0.85 * skin, 0.035, 1.3),
        Stroke(base, 0.6 * skin, 0.03, 1.6),
    ]
    for side in SIDES:
        strokes.append(Stroke(_ellipse(side * 0.5 * wing, y + 0.005, 0.035, 0.022), 0.35 * skin, depth=1.6))
        strokes.append(Stroke(_xy(side * (wing + 0.01 * ARC), y - 0.04 + 0.04 * T), 0.65 * skin, 0.025, 1.5))
    return strokes


def _mouth(traits: Traits, units: Units) -> list[Stroke]:
    """Two lips around an opening with teeth.

    AU 12 raises the corners and 15 lowers them, 20 stretches them apart, 25 and 26 open the mouth (26 makes it round),
    10 raises the upper lip, 16 and 17 move the lower one, 23 and 24 make both thin.
    """
    skin, bend = traits["skin"], traits["mouth_bend"] - 0.15 * units[12] + 0.12 * units[15] + 0.03 * units[20]
    half = traits["mouth"] + 0.13 * units[12] + 0.08 * units[20] - 0.07 * units[26] - 0.03 * units[24]
    x, bow = half * T, 1 - np.abs(T) ** (2 + 2 * units[20])
    opening = bow ** (0.5 if units[26] > 0.3 or units[20] > 0.3 else 0.8)
    middle = traits["mouth_y"] + 0.04 * units[12] - 0.03 * units[15] - 0.05 * units[10] - 0.02 * units[17]
    line = middle + bend * (1 + traits["asymmetry"] * T) * T**2
    upper = line - (0.03 * units[25] + 0.05 * units[26] + 0.03 * units[20]) * opening
    lower = line + (0.1 * units[25] + 0.05 * units[12] * (units[25] > 0) + 0.2 * units[26] + 0.02 * units[10]) * opening
    thick = traits["lips"] * (1 - 0.6 * units[24] - 0.2 * units[23]) * (1 - 0.2 * units[12])
    lip = traits["lip"] * skin
    top = upper - thick * bow * (0.8 + 0.4 * np.minimum(1, 3 * np.abs(T))) - 0.04 * units[10] * bow**2
    bottom = lower + (1.3 * thick + 0.03 * units[16] + 0.01 * units[17]) * bow
    strokes = [Stroke(_between(x, top, upper), 0.9 * lip), Stroke(_between(x, lower, bottom), lip)]
    if (lower - upper).max() > 0.03:
        strokes += _opening(x, upper, lower, units)
    strokes.append(Stroke(_xy(x, upper), 0.3 * skin, 0.03 + 0.015 * units[24]))
    shadow = bottom.max() + 0.05
    strokes.append(Stroke(_xy(0.5 * x, shadow + 0.02 * T**2), (0.85 - 0.15 * units[17] - 0.1 * units[24]) * skin, 0.04))
    return strokes


def _opening(x: Points, upper: Points, lower: Points, units: Units) -> list[Stroke]:
    """The inside of an open mouth: dark, with teeth above, and below where the lips are stretched."""
    strokes = [Stroke(_between(x, upper, lower), 35)]
    teeth = 0.04 + 0.1 * units[12] + 0.02 * units[10] - 0.03 * units[26]
    strokes.append(Stroke(_between(x[1:-1], upper[1:-1], np.minimum(upper + teeth, lower)[1:-1]), 225))
    if units[20] > 0.3:
        strokes.append(Stroke(_between(x[2:-2], np.maximum(lower - 0.035, upper)[2:-2], lower[2:-2]), 205))
    return strokes


def _wrinkles(traits: Traits, units: Units) -> list[Stroke]:
    """Furrows, each as deep as the action units that fold the skin there; age leaves some in a face at rest."""
    skin, age, eye, brow = traits["skin"], traits["age"], traits["eye_y"], traits["brow_y"]
    nose, mouth, gap = traits["nose_y"], traits["mouth_y"], traits["eye_gap"]
    raised, frown = min(units[1], units[2]), units[4] * (1 - 0.5 * units[1])
    fold, bulge = max(0.8 * units[12], units[10], units[9], 0.5 * units[20]), 0.04 + 0.06 * units[12]
    lines: list[tuple[Points, float]] = [
        (_xy(0.3 * T, brow - 0.2 - 0.02 * ARC), 0.9 * raised + 0.3 * age),
        (_xy(0.22 * T, brow - 0.3 - 0.02 * ARC), 0.8 * raised),
        (_xy(0.12 * T, brow - 0.14 - 0.04 * ARC), 0.8 * units[1] * (1 - raised)),
        (_xy(0.08 * T, eye - 0.04 + 0.025 * T**2), units[9]),
        (_xy(0.09 * T, eye + 0.04 + 0.03 * T**2), units[9]),
    ]
    for side in SIDES:
        lines += [
            (_xy(side * (0.045 + 0.01 * T), brow + 0.1 + 0.08 * T), frown),
            (_xy(side * (0.22 + 0.1 * T + bulge * ARC), (nose + mouth) / 2 - 0.03 + 0.12 * T), fold + 0.5 * age),
            (_xy(side * (gap + 0.14 * T), eye + 0.13 + 0.03 * (ARC - units[6])), 0.7 * (units[6] + age)),
            (_xy(side * (gap + 0.24 + 0.04 * T), eye + 0.03 * T), 0.8 * units[6]),
        ]
    return [Stroke(line, skin * (1 - 0.45 * min(1.0, depth)), 0.035) for line, depth in lines if depth > 0.08]


def _glasses(traits: Traits) -> list[Stroke]:
    """Two rims, a bridge and the temples, for some."""
    if traits["glasses"] > GLASSES:
        return []
    gap, y, tone = traits["eye_gap"], traits["eye_y"], 25
    rim = _xy(np.sign(COS) * np.abs(COS) ** 0.6, np.sign(SIN) * np.abs(SIN) ** 0.6) * (0.22, 0.165)
    strokes = [Stroke(np.array([[-0.09, y - 0.03], [0.09, y - 0.03]]), tone, 0.035, 1.3)]
    for side in SIDES:
        ring = np.vstack([rim, rim[0]]) + np.array([side * gap, y + 0.01])
        temple = np.array([[side * (gap + 0.21), y - 0.03], [side * traits["width"], y - 0.05]])
        strokes += [Stroke(ring, tone, 0.035, 1.2), Stroke(temple, tone, 0.035)]
    return strokes
