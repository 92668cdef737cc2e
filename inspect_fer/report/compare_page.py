"""A comparison as one HTML page that opens from disk with the network off, and its other forms."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from inspect_fer.emotions import relabelling
from inspect_fer.errors import FerError
from inspect_fer.render import data_uri, enlarge, fine_note, overlay_pixels
from inspect_fer.render.sheets import picture
from inspect_fer.report.compare import Comparison, Face, Pair
from inspect_fer.report.compare_tables import (
    class_rows,
    csv_text,
    in_words,
    json_text,
    score_rows,
    shown,
    signed,
    verdict,
)
from inspect_fer.report.map_agreement import Apart
from inspect_fer.report.page import environment, style_colours
from inspect_fer.runs import faces_of
from inspect_fer.schema import Run, Samples

TILE = 128
SHOWN = 6
"""Faces a method whose maps differ."""


@dataclass(frozen=True)
class Tile:
    """A picture with its words; remark: what is wrong with the map on it; fine: of that; mapped: whether it has one."""

    uri: str
    alt: str
    words: str
    remark: str = ""
    fine: bool = False
    mapped: bool = False


@dataclass(frozen=True)
class Card:
    """A face as two networks see it: the face, then one picture each, or their answers where it is not explained."""

    id: str
    note: str
    tiles: tuple[Tile, ...]
    words: tuple[str, ...] = ()


class Album:
    """The faces of all runs, read once, and pictures of them; a run whose faces have gone borrows another's."""

    def __init__(self, runs: Sequence[Run], ids: Iterable[str]) -> None:
        wanted, self.runs = set(ids), runs
        self._faces: list[Samples | None] = []
        problem: FerError | None = None
        for run in runs:
            own = tuple(name for name in run.prediction.ids if name in wanted)
            try:
                self._faces.append(faces_of(run).find(own))
            except FerError as found:
                self._faces.append(None)
                problem = found
        if problem and not any(self._faces):
            raise problem

    def pixels(self, run: int, sample: str) -> Tensor:
        """A face (1, C, H, W) uint8 as a run's network reads it."""
        order = [self._faces[run], *self._faces]
        found = next(faces for faces in order if faces is not None and sample in faces.ids)
        return found.find((sample,)).pixels[:]

    def face(self, run: int, sample: str, words: str) -> Tile:
        """The face alone."""
        pixels = self.pixels(run, sample)
        size = (max(TILE, pixels.shape[2]), max(TILE, pixels.shape[3]))
        return Tile(_webp(enlarge(pixels, size)[0].round().byte()), f"Face {sample}", words)

    def view(self, run: int, method: str, sample: str, target: str, words: str) -> Tile:
        """The face under a run's map for a class, "" for methods that know none; alone where there is no such map."""
        why = self.runs[run].explanations.get(method)
        if why is None or sample not in why.ids:
            return self.face(run, sample, words)
        one = why.of([why.ids.index(sample)])
        (known,) = relabelling([target], self.runs[run].prediction.class_names) if target else (0,)
        targets = [known] if one.class_free else one.targets[0].tolist()
        if known not in targets:
            return self.face(run, sample, words)
        column, pixels = targets.index(known), self.pixels(run, sample)
        zoom = max(1, round(TILE / pixels.shape[2]))
        drawn = overlay_pixels(pixels, one.evidence()[:, column : column + 1], zoom=zoom)[0, 0]
        remark = one.remark(0, column)
        said = f"{method} map for {target or 'any class'}, {words}{', ' + remark if remark else ''}"
        return Tile(data_uri(picture(drawn), "webp"), said, words, remark, one.fine, mapped=True)


def page_text(found: Comparison, command: str) -> str:
    """The page; command: what makes it again. Raises FerError where the faces of all runs have gone."""
    album = Album(found.runs, _named(found.pairs))
    several = len(found.pairs) > 1
    return (
        environment()
        .get_template("compare.html")
        .render(
            found=found,
            labelled=found.scores[0]["n"],
            always=found.scores[0]["baseline"]["class"],
            score_rows=score_rows(found),
            class_rows=class_rows(found),
            pairs=[_pair_facts(found, pair, album) for pair in found.pairs],
            several=several,
            in_words=in_words,
            fine_note_of=_fine_note_of,
            signed=signed,
            in_percent=shown,
            title=" and ".join(found.names) if not several else f"{len(found.names)} runs",
            again=command,
            colours=style_colours(),
        )
    )


def _named(pairs: Sequence[Pair]) -> set[str]:
    """The faces that a page shows."""
    shown = {face.id for pair in pairs for face in pair.pictured}
    return shown | {face.id for pair in pairs for maps in pair.maps.values() for face in maps.apart[:SHOWN]}


def _pair_facts(found: Comparison, pair: Pair, album: Album) -> dict[str, Any]:
    """What the page says of a pair."""
    apart = pair.answers - pair.answers.diagonal().diag()
    method = next(iter(pair.maps), "")
    return {
        "pair": pair,
        "title": found.title_of(pair),
        "first": found.names[pair.runs[0]],
        "second": found.names[pair.runs[1]],
        "verdict": verdict(found, pair),
        "levels": (apart / apart.max().clamp(min=1)).tolist(),
        "counts": pair.answers.tolist(),
        "method": method,
        "cards": (pictured := [_disagreeing(found, pair, face, method, album) for face in pair.pictured]),
        "with_maps": sum(not card.words for card in pictured),
        "apart": {
            name: [_apart(found, pair, face, name, album) for face in maps.apart[:SHOWN]]
            for name, maps in pair.maps.items()
        },
    }


def _disagreeing(found: Comparison, pair: Pair, face: Face, method: str, album: Album) -> Card:
    """A face, and what each network answers, under its map for its own answer."""
    said = [
        f"{found.names[run]}: {answer} {100 * sure:.0f}\N{NO-BREAK SPACE}%"
        for run, answer, sure in zip(pair.runs, face.answers, face.confidences, strict=True)
    ]
    plain = album.face(pair.runs[0], face.id, f"given {face.label}" if face.label else "no label")
    views = [
        album.view(run, method, face.id, answer, words)
        for run, answer, words in zip(pair.runs, face.answers, said, strict=True)
    ]
    if not any(view.mapped for view in views):
        return Card(face.id, "not explained" if pair.explained else "", (plain,), tuple(said))
    views = [view if view.mapped else replace(view, remark="not explained") for view in views]
    return Card(face.id, "", (plain, *views))


def _apart(found: Comparison, pair: Pair, face: Apart, method: str, album: Album) -> Card:
    """A face, and the maps of both networks for one class."""
    views = [album.view(run, method, face.id, face.target, found.names[run]) for run in pair.runs]
    words = face.target or "any class"
    note = f"rank correlation {signed(face.correlation, 2)}"
    return Card(face.id, note, (album.face(pair.runs[0], face.id, words), *views))


def _fine_note_of(cards: Sequence[Card]) -> str:
    """What follows on the scale of the maps of these cards."""
    return fine_note({"": any(tile.fine for card in cards for tile in card.tiles)})


def _webp(pixels: Tensor) -> str:
    return data_uri(picture(pixels.numpy()), "webp")


FORMATS: dict[str, Callable[[Comparison, str], str]] = {"html": page_text, "json": json_text, "csv": csv_text}
"""A comparison and the command that makes it again -> the text of a file."""
