"""Attention within windows of the token grid: plain, shifted, with pooled tokens (ViTPose paper, section 3.3).

At stride 8 a crop has four times the tokens, and attention between all of them sixteen times the scores. Windows make
them affordable. In every other block they may be shifted by half a window, and every window may also attend to the
average of each window, so that news still crosses their borders; neither has parameters of its own. Windows know where
their tokens lie through relative positions, decomposed into rows and columns.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .attention_vitpose import ViTPoseSelfAttention
from .configuration_vitpose_backbone import ViTPoseBackboneConfig


class Windows(NamedTuple):
    """A grid cut into windows: padded at the bottom and the right to whole ones, and moved up and left.

    Args:
        grid: (rows, columns) of the tokens.
        window: (rows, columns) of a window.
        shift: (rows, columns) that the grid is moved by; what leaves at one side comes back at the other.
    """

    grid: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]:
        """(rows, columns) of windows."""
        rows, columns = (-(-side // size) for side, size in zip(self.grid, self.window, strict=True))
        return rows, columns

    @property
    def padding(self) -> tuple[int, int]:
        """(rows, columns) of tokens that fill the last windows up."""
        rows, columns = (n * size - s for n, size, s in zip(self.counts, self.window, self.grid, strict=True))
        return rows, columns

    def split(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, C) tokens, row by row, to (B * windows, tokens of a window, C); padding is zero."""
        (rows, columns), (height, width) = self.counts, self.window
        grid = F.pad(tokens.unflatten(1, self.grid), (0, 0, 0, self.padding[1], 0, self.padding[0]))
        if any(self.shift):
            grid = grid.roll((-self.shift[0], -self.shift[1]), dims=(1, 2))
        windows = grid.view(grid.shape[0], rows, height, columns, width, grid.shape[-1]).transpose(2, 3)
        return windows.reshape(-1, height * width, tokens.shape[-1])

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        """The inverse of `split`; padding falls away."""
        (rows, columns), (height, width) = self.counts, self.window
        grid = windows.view(-1, rows, columns, height, width, windows.shape[-1]).transpose(2, 3)
        grid = grid.reshape(-1, rows * height, columns * width, windows.shape[-1])
        if any(self.shift):
            grid = grid.roll(self.shift, dims=(1, 2))
        return grid[:, : self.grid[0], : self.grid[1]].flatten(1, 2)

    def allowed(self, device: torch.device) -> torch.Tensor | None:
        """(windows, n, n), True where a query may see a key of its window; None where it may see them all.

        Padding is seen by nobody, and what the shift brought to the other side of the grid only by its like. Every
        token sees itself, padding too: a row without any key would be NaN.
        """
        if not any(self.shift) and not any(self.padding):
            return None
        row, column = (self._regions(axis, device) for axis in (0, 1))
        regions = torch.where((row[:, None] < 0) | (column < 0), -1, 2 * row[:, None] + column)  # over the padded grid
        whole = Windows(grid=(len(row), len(column)), window=self.window, shift=(0, 0))
        regions = whole.split(regions.flatten()[None, :, None])[..., 0]  # (windows, n)
        same = (regions[:, :, None] == regions[:, None, :]) & (regions[:, None, :] >= 0)
        return same | torch.eye(regions.shape[1], dtype=torch.bool, device=device)

    def _regions(self, axis: int, device: torch.device) -> torch.Tensor:
        """Along the rows or columns of the shifted grid: 1 for what was wrapped around, -1 for padding, else 0."""
        length = self.counts[axis] * self.window[axis]
        place = (torch.arange(length, device=device) + self.shift[axis]) % length  # before the shift
        wrapped = (place < self.shift[axis]).long()
        return torch.where(place >= self.grid[axis], -1, wrapped)


class ViTPoseWindowSelfAttention(ViTPoseSelfAttention):
    """Self-attention within windows.

    Args:
        config: Its `attention_kind` says what crosses the borders of windows, its `window_size` how large they are.
        shifted: True in a block whose windows are shifted.
    """

    def __init__(self, config: ViTPoseBackboneConfig, *, shifted: bool) -> None:
        super().__init__(config)
        assert config.window_size is not None  # which the config has with every kind but "full"
        height, width = config.window_size
        self.window_size = height, width
        self.shift = (height // 2, width // 2) if shifted else (0, 0)
        self.pools = config.attention_kind in ("pooled_window", "shifted_pooled_window")
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * height - 1, self.head_dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * width - 1, self.head_dim))

    def forward(
        self, hidden_states: torch.Tensor, grid_size: tuple[int, int], *, output_attentions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, C) tokens to (B, N, C), and with `output_attentions` the (B * windows, heads, n, keys) weights.

        A window has n tokens and as many keys; with pooled tokens, one more key for every window of the grid.
        """
        windows = Windows(grid_size, self._window_in(grid_size), self._shift_in(grid_size))
        query, key, value = (project(hidden_states) for project in (self.query, self.key, self.value))  # (B, N, C)
        keys, values = windows.split(key), windows.split(value)  # (B * windows, n, C)
        if self.pools:
            keys = torch.cat([keys, _pooled(key, windows)], dim=1)
            values = torch.cat([values, _pooled(value, windows)], dim=1)
        queries = self._heads(windows.split(query))  # (B * windows, heads, n, d)
        context, weights = self._attend(
            queries,
            self._heads(keys),
            self._heads(values),
            self._bias(queries, windows, num_keys=keys.shape[1]),
            output_attentions=output_attentions,
        )
        return windows.join(context), weights

    def _window_in(self, grid_size: tuple[int, int]) -> tuple[int, int]:
        """The window, cut to a grid that is smaller: the rest of it would be padding."""
        height, width = (min(pair) for pair in zip(self.window_size, grid_size, strict=True))
        return height, width

    def _shift_in(self, grid_size: tuple[int, int]) -> tuple[int, int]:
        """The shift; none along a side that one window covers, where it would only forbid."""
        rows, columns = (
            shift if window < side else 0
            for shift, window, side in zip(self.shift, self.window_size, grid_size, strict=True)
        )
        return rows, columns

    def _bias(self, queries: torch.Tensor, windows: Windows, *, num_keys: int) -> torch.Tensor:
        """Bias of the scaled scores, (B * windows, heads, n, keys): relative positions, and -inf for masks."""
        height, width = windows.window
        tokens = height * width
        by_row = queries.unflatten(2, (height, width))  # (B * windows, heads, height, width, d)
        rows = torch.einsum("bnhwc,hkc->bnhwk", by_row, _relative(self.rel_pos_h, height))
        columns = torch.einsum("bnhwc,wkc->bnhwk", by_row, _relative(self.rel_pos_w, width))
        bias = (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)  # (B * windows, heads, n, n)
        allowed = windows.allowed(queries.device)
        if allowed is not None:
            batched = bias.unflatten(0, (-1, len(allowed)))  # (B, windows, heads, n, n)
            bias = batched.masked_fill(~allowed[:, None], -math.inf).flatten(0, 1)
        return F.pad(bias, (0, num_keys - tokens))  # pooled tokens have no place, and everybody sees them


def _relative(table: torch.Tensor, side: int) -> torch.Tensor:
    """(side, side, d): the row of a (2 * length - 1, d) table for each pair of query and key along one axis."""
    places = torch.arange(side, device=table.device)
    return table[places[:, None] - places + len(table) // 2]


def _pooled(tokens: torch.Tensor, windows: Windows) -> torch.Tensor:
    """(B * windows, windows, C): to each window, the averages of the tokens (B, N, C) of every unshifted window."""
    unshifted = windows._replace(shift=(0, 0))
    ones = tokens.new_ones(1, tokens.shape[1], 1)
    count = unshifted.split(ones).sum(dim=1)  # (windows, 1) tokens that are no padding
    pooled = unshifted.split(tokens).sum(dim=1).unflatten(0, (-1, len(count))) / count  # (B, windows, C)
    return pooled[:, None].expand(-1, len(count), -1, -1).flatten(0, 1)
