"""The parallel convolution branch of ViTAE's blocks, which ViTPose-G has (ViTAE paper, "normal cell")."""

import torch
from torch import nn

from .configuration_vitpose_backbone import ViTPoseBackboneConfig

CHANNELS_IN_GROUP = 4  # in and out of the narrow side: 288 weights for each channel of a token
EXPANSION = 4


class ViTPoseConvolutionBranch(nn.Module):
    """Two grouped 3x3 convolutions over the token grid, fourfold wider in between."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        width = config.hidden_size
        wide, groups = EXPANSION * width, width // CHANNELS_IN_GROUP
        self.conv1 = nn.Conv2d(width, wide, kernel_size=3, padding=1, groups=groups, bias=False)
        self.batchnorm = nn.BatchNorm2d(wide)
        self.activation = nn.SiLU()
        self.conv2 = nn.Conv2d(wide, width, kernel_size=3, padding=1, groups=groups, bias=False)

    def forward(self, hidden_states: torch.Tensor, grid_size: tuple[int, int]) -> torch.Tensor:
        """(B, N, C) tokens to (B, N, C); tokens after those of the grid get zeros."""
        num_patches = grid_size[0] * grid_size[1]
        grid = hidden_states[:, :num_patches].transpose(1, 2).unflatten(2, grid_size)  # (B, C, rows, columns)
        grid = self.conv2(self.activation(self.batchnorm(self.conv1(grid))))
        tokens = grid.flatten(2).transpose(1, 2)
        return nn.functional.pad(tokens, (0, 0, 0, hidden_states.shape[1] - num_patches))
