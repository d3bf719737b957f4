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

    Row 0, which every token gets, passes unchanged. The dtype stays; the resizing itself is done in float32. It is one
    small matrix along the rows and one along the columns, so cheap that a forward pass can do it anew every time.
    """
    if to_grid == from_grid:
        return positions
    rows, columns = (
        _bicubic_matrix(before, after, positions.device) for before, after in zip(from_grid, to_grid, strict=True)
    )
    grid = positions[:, 1:].float().unflatten(1, from_grid)  # (1, rows, columns, C)
    device = positions.device.type if positions.device.type != "meta" else "cpu"  # which knows no autocast
    with torch.autocast(device, enabled=False):
        grid = columns @ (rows @ grid.flatten(2)).unflatten(2, (from_grid[1], -1))  # (1, new rows, new columns, C)
    return torch.cat([positions[:, :1], grid.flatten(1, 2).to(positions.dtype)], dim=1)


def _bicubic_matrix(before: int, after: int, device: torch.device) -> torch.Tensor:
    """(after, before): what each entry of a line of one length weighs in its bicubic resizing to another."""
    lines = torch.eye(before, device=device)[None, None]  # every column is a line with a single 1
    return F.interpolate(lines, size=(after, before), mode="bicubic", align_corners=False)[0, 0]
