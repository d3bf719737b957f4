"""Position tables of a plain Vision Transformer: where they start from, and how they are resized to another grid."""

import math

import torch
from torch.nn import functional as F


def sine_cosine_positions(grid_size: tuple[int, int], width: int) -> torch.Tensor:
    """The (1, 1 + rows * columns, width) table that pre-training of plain ViTs starts from (MAE paper).

    A quarter of the channels each holds the sine and the cosine of the row and of the column, at frequencies from 1
    down to 1/10000; channels beyond a multiple of four, and row 0, are zero. So tokens know their place from the start.
    """
    quarter = width // 4
    frequencies = 10000.0 ** -(torch.arange(quarter, dtype=torch.float32) / quarter)
    table = torch.zeros(1, 1 + math.prod(grid_size), width)
    places = torch.cartesian_prod(
        *(torch.arange(side, dtype=torch.float32) for side in grid_size)
    )  # (N, 2) row, column
    angles = places[:, :, None] * frequencies  # (N, 2, quarter)
    table[0, 1:, : 4 * quarter] = torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)
    return table


def resize_positions(positions: torch.Tensor, *, from_grid: tuple[int, int], to_grid: tuple[int, int]) -> torch.Tensor:
    """Resize a (1, 1 + rows * columns, C) position table to another grid (bicubic, released configs).

    Row 0, which every token gets, passes unchanged. The dtype stays; the resizing itself is done in float32.
    """
    if to_grid == from_grid:
        return positions
    grid = positions[:, 1:].float().unflatten(1, from_grid).permute(0, 3, 1, 2)  # (1, C, rows, columns)
    grid = F.interpolate(grid, size=to_grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2).to(positions.dtype)], dim=1)
