"""A published table as it is printed: every number with the rounding that goes with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

FLOAT = 1e-6
"""What single precision may change in a number that is printed in full."""
TINY = 1e-9
"""What double precision may change."""

Form = Literal["confusion matrix", "tables of sets", "classification report", "normalised matrix"]
Weight = Literal["error", "caution", "note"]
Strength = Literal["certain", "likely"]


@dataclass(frozen=True)
class Span:
    """A number known to lie between two bounds, both included."""

    low: float
    high: float

    def meets(self, other: "Span") -> bool:
        """Whether one number can lie in both."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Score:
    """A printed share: its text, its value from 0 to 1, and half a unit of its last digit."""

    text: str
    value: float
    slack: float

    @property
    def span(self) -> Span:
        """The values that are printed like this."""
        half = max(self.slack, FLOAT) + TINY
        return Span(max(0.0, self.value - half), min(1.0, self.value + half))


@dataclass(frozen=True)
class Row:
    """One printed line of a report, a class or an average; None where nothing is printed."""

    precision: Score | None = None
    recall: Score | None = None
    f1: Score | None = None
    support: int | None = None


@dataclass(frozen=True)
class ReportTable:
    """A classification report of K classes, or what a normalised matrix says of them.

    rows: one a class, in the order of `class_names`; empty where only averages are printed
    averages: by name, of "macro", "weighted", "micro", "samples"
    total: the number of samples printed beside the accuracy
    """

    class_names: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    averages: Mapping[str, Row] = field(default_factory=dict)
    accuracy: Score | None = None
    total: int | None = None
    form: Form = "classification report"

    @property
    def support(self) -> tuple[int, ...] | None:
        """Samples of each class; None unless all are printed."""
        printed = tuple(row.support for row in self.rows if row.support is not None)
        return printed if printed and len(printed) == len(self.class_names) else None

    @property
    def of_sets(self) -> bool:
        """Whether a sample may have several classes or none."""
        return "samples" in self.averages

    @property
    def printed(self) -> "ReportTable":
        """The printed scores: the report itself."""
        return self


@dataclass(frozen=True)
class ConfusionTable:
    """Counts, and the scores that are printed beside them.

    matrix: (K, K) int64, rows true and columns predicted; or (K, 2, 2), each [[TN, FP], [FN, TP]]
    """

    class_names: tuple[str, ...]
    matrix: Tensor
    printed: ReportTable

    @property
    def form(self) -> Form:
        """What kind of table it is."""
        return "tables of sets" if self.of_sets else "confusion matrix"

    @property
    def of_sets(self) -> bool:
        """Whether a sample may have several classes or none."""
        return self.matrix.ndim == 3

    @property
    def support(self) -> tuple[int, ...]:
        """Samples of each class."""
        true = self.matrix[:, 1] if self.of_sets else self.matrix
        return tuple(true.sum(1).tolist())


Table = ConfusionTable | ReportTable


@dataclass(frozen=True)
class Finding:
    """What a table gives away.

    kind: in a word or two
    weight: "error" where the table is not what it says, "caution" where it shows less than it seems, or "note"
    strength: "certain" where it follows from the printed numbers, "likely" where it explains them best
    says: one or two sentences with the numbers
    """

    kind: str
    weight: Weight
    strength: Strength
    says: str


def number(count: float) -> str:
    """A count with its thousands apart."""
    return f"{count:,.0f}"


def samples(count: int) -> str:
    """So many samples, in words."""
    return f"{number(count)} {'sample' if count == 1 else 'samples'}"


def listing(words: list[str]) -> str:
    """Words with commas, the last one after "and"."""
    return " and ".join(", ".join(words).rsplit(", ", 1)) if len(words) > 1 else "".join(words)
