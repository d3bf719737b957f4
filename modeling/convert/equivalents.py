"""Parts that other projects compute with and ViTPose does not, turned into weights that compute the same."""

import math
import re

import torch
from torch.nn import functional as F

from .names import StateDict

ASPECT = (4, 3)  # height to width of every released resolution but the square ones


def fold_layer_scale(weights: StateDict) -> StateDict:
    """Multiply each LayerScale vector into the projection before it: scale * (W x + b) = (scale W) x + scale b."""
    folded = dict(weights)
    for name in weights:
        match = re.fullmatch(r"(.*)\.layer_scale([12])\.lambda1", name)
        projection = f"{match[1]}.{'attention.output.dense' if match[2] == '1' else 'mlp.fc2'}" if match else ""
        if f"{projection}.weight" in folded:
            scale = folded.pop(name)
            folded[f"{projection}.weight"] = folded[f"{projection}.weight"] * scale[:, None]
            folded[f"{projection}.bias"] = folded[f"{projection}.bias"] * scale
    return folded


def with_counters(weights: StateDict) -> StateDict:
    """Add the counters of the batch norms, which only training reads and some programs leave out of their files."""
    means = [name for name in weights if name.endswith(".running_mean")]
    counters = [f"{name.removesuffix('running_mean')}num_batches_tracked" for name in means]
    return {**{name: torch.tensor(0) for name in counters}, **weights}


def with_class_row(positions: torch.Tensor) -> torch.Tensor:
    """Put a row 0 of zeros before a (1, N, C) table: ours has one, which every patch gets beside its own."""
    return F.pad(positions, (0, 0, 1, 0))


def without_class_row(positions: torch.Tensor) -> torch.Tensor:
    """What a (1, 1 + N, C) table adds to each of the N patches: row 0, which all of them get, and its own."""
    return positions[:, 1:] + positions[:, :1]


def pad_patch_kernel(kernel: torch.Tensor, size: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Surround a (C, 3, h, w) patch kernel with zeros to (C, 3, *size), as the released ViTPose-H does."""
    rows, columns = size[0] - kernel.shape[2], size[1] - kernel.shape[3]
    if min(rows, columns) < 0 or rows % 2 or columns % 2:
        raise ValueError(
            f"A patch kernel of {tuple(kernel.shape[2:])} pixels cannot be padded evenly to {tuple(size)}: "
            "choose a patch_size that is larger by an even number."
        )
    return F.pad(kernel, (columns // 2, columns // 2, rows // 2, rows // 2))


def implied_grid(num_patches: int) -> tuple[int, int] | None:
    """(rows, columns) of a 4 : 3 grid of so many patches; None where there is no such grid."""
    unit = math.isqrt(num_patches // math.prod(ASPECT))
    grid = ASPECT[0] * unit, ASPECT[1] * unit
    return grid if unit and math.prod(grid) == num_patches else None


def square_grid(num_patches: int) -> tuple[int, int] | None:
    """(rows, columns) of a square grid of so many patches; None where there is no such grid."""
    side = math.isqrt(num_patches)
    return (side, side) if side and side * side == num_patches else None
