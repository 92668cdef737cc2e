"""Where the patches of all windows lie in one table of rows, a row a place of the map, and how to read them there."""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from inspect_fer.explain.incremental.reach import Kernel, Reach, Side, Spans

BORDER, CLEAN = 0, 1
"""Row 0 of a table stands for everything outside the map; the places of the clean map follow, row by row."""


@dataclass(frozen=True, eq=False)
class Group:
    """Windows whose patches have one size (height, width): those in these rows and columns of the grid."""

    rows: Tensor
    columns: Tensor
    size: tuple[int, int]

    @property
    def windows(self) -> int:
        """How many windows these are."""
        return len(self.rows) * len(self.columns)


class Layout:
    """A table (N, rows, C): the border, the clean map, then the patches of each group, window by window.

    starts: (I, J), the table's row in which the patch of each window starts; length: rows of the table
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.tops, self.heights = _bounds(reach.rows)
        self.lefts, self.widths = _bounds(reach.columns)
        self.starts = torch.zeros(len(reach.rows), len(reach.columns), dtype=torch.int64)
        self.places = reach.size[0] * reach.size[1]
        self.length = CLEAN + self.places
        self.groups = tuple(
            Group((self.heights == height).nonzero()[:, 0], (self.widths == width).nonzero()[:, 0], (height, width))
            for height, width in product(self.heights.unique().tolist(), self.widths.unique().tolist())
        )
        for group in self.groups:
            places, windows = group.size[0] * group.size[1], group.windows
            starts = self.length + places * torch.arange(windows)
            self.starts[group.rows[:, None], group.columns] = starts.view(len(group.rows), -1)
            self.length += windows * places

    def own(self, group: Group) -> Tensor:
        """The places of the map (y * width + x) that each of a group's patches holds, one after the other."""
        rows = self.tops[group.rows][:, None] + torch.arange(group.size[0])
        columns = self.lefts[group.columns][:, None] + torch.arange(group.size[1])
        return (rows[:, None, :, None] * self.reach.size[1] + columns[None, :, None, :]).flatten()

    def clean(self) -> Tensor:
        """The table's rows of the clean map, (h * w,)."""
        return torch.arange(CLEAN, CLEAN + self.places)

    def under(self, group: Group, rows: Tensor, columns: Tensor) -> Tensor:
        """The table's rows where these places of the map are found as these windows leave them.

        rows (A, a), columns (B, b): places of the map for each of the group's A x B windows. Returns (A, B, a, b).
        """
        (height, width), (y, x) = self.reach.size, (rows[:, None, :, None], columns[None, :, None, :])
        top, left = self.tops[group.rows].view(-1, 1, 1, 1), self.lefts[group.columns].view(1, -1, 1, 1)
        tall, wide = self.heights[group.rows].view(-1, 1, 1, 1), self.widths[group.columns].view(1, -1, 1, 1)
        start = self.starts[group.rows[:, None], group.columns][..., None, None]
        changed = (top <= y) & (y < top + tall) & (left <= x) & (x < left + wide)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        found = torch.where(changed, start + (y - top) * wide + (x - left), CLEAN + y * width + x)
        return torch.where(inside, found, BORDER)

    def read(self, sides: tuple[Side, Side], group: Group, target: "Layout") -> Tensor:
        """The rows that a layer with these sides reads for one group of patches of its output, (A, B, a, b)."""
        rows = _sources(sides[0], target.tops[group.rows], group.size[0])
        return self.under(group, rows, _sources(sides[1], target.lefts[group.columns], group.size[1]))

    def moved(self, target: "Layout") -> Tensor:
        """The rows of which a table with another layout of the same map is made, (rows,)."""
        border = torch.full((1,), BORDER)
        patches = (self.read((Kernel(1), Kernel(1)), group, target).flatten() for group in target.groups)
        return torch.cat([border, self.clean(), *patches])

    def whole(self) -> Tensor:
        """The rows of the whole map, clean and then under each window in turn: ((1 + I * J) * h * w,)."""
        height, width = self.reach.size
        every = Group(torch.arange(len(self.tops)), torch.arange(len(self.lefts)), self.reach.size)
        rows = torch.arange(height).expand(len(self.tops), -1)
        columns = torch.arange(width).expand(len(self.lefts), -1)
        return torch.cat([self.clean(), self.under(every, rows, columns).flatten()])


def _bounds(spans: Spans) -> tuple[Tensor, Tensor]:
    """Where spans start and how long they are."""
    starts, stops = torch.tensor(spans).unbind(1)
    return starts, stops - starts


def _sources(side: Side, starts: Tensor, count: int) -> Tensor:
    """(windows, places) of the input that are read for `count` places of the output from each start on."""
    return torch.tensor([side.sources(start, count) for start in starts.tolist()])
