"""From pixels to tokens: patch embedding, position table and the transformer blocks."""

import math

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention_vitpose import ViTPoseAttention
from .configuration_vitpose_backbone import PATCH_PADDING, ViTPoseBackboneConfig
from .feedforward_vitpose import DatasetIndex, make_mlp


class ViTPosePatchEmbeddings(nn.Module):
    """Cuts crops into patches and projects each to one token."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.image_size = tuple(config.image_size)
        self.projection = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=tuple(config.patch_size),
            stride=tuple(config.patch_size),
            padding=PATCH_PADDING,
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) crops to (B, N, C) tokens, row by row."""
        expected = (self.projection.in_channels, *self.image_size)
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != expected:
            raise ValueError(
                f"pixel_values: expected shape (batch, {', '.join(map(str, expected))}), got "
                f"{tuple(pixel_values.shape)}. Give the image processor the size {self.image_size} (height, width), or "
                "the config another image_size."
            )
        return self.projection(pixel_values).flatten(2).transpose(1, 2)


class ViTPoseEmbeddings(nn.Module):
    """Patch tokens plus a learned position table.

    Row 0 of the table is the class token's row of pre-training: it is added to every token (released configs).
    """

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.grid_size, self.width = config.grid_size, config.hidden_size
        self.patch_embeddings = ViTPosePatchEmbeddings(config)
        self.position_embeddings = nn.Parameter(torch.zeros(1, 1 + math.prod(self.grid_size), self.width))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        tokens = self.patch_embeddings(pixel_values)
        return self.dropout(tokens + self.position_embeddings[:, 1:] + self.position_embeddings[:, :1])


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


class ViTPoseDropPath(nn.Module):
    """Stochastic depth: in training, leaves a residual branch out for a random part of the samples."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        kept = branch.new_empty(branch.shape[0], 1, 1).bernoulli_(keep)  # 1 is keep, 0 is drop
        return branch * kept / keep

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


class ViTPoseLayer(GradientCheckpointingLayer):
    """One pre-norm transformer block."""

    def __init__(self, config: ViTPoseBackboneConfig, drop_path_rate: float) -> None:
        super().__init__()
        self.attention = ViTPoseAttention(config)
        self.mlp = make_mlp(config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.drop_path = ViTPoseDropPath(drop_path_rate)

    def forward(
        self, hidden_states: torch.Tensor, dataset_index: DatasetIndex = 0, output_attentions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, C) tokens to (B, N, C), and the attention weights where asked for."""
        branch, attention = self.attention(self.layernorm_before(hidden_states), output_attentions=output_attentions)
        hidden_states = hidden_states + self.drop_path(branch)
        hidden_states = hidden_states + self.drop_path(self.mlp(self.layernorm_after(hidden_states), dataset_index))
        return hidden_states, attention


class ViTPoseEncoder(nn.Module):
    """The transformer blocks; the drop-path rate grows linearly over them."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        last = max(config.num_hidden_layers - 1, 1)
        rates = [config.drop_path_rate * index / last for index in range(config.num_hidden_layers)]
        self.layer = nn.ModuleList([ViTPoseLayer(config, rate) for rate in rates])

    def forward(
        self, hidden_states: torch.Tensor, dataset_index: DatasetIndex = 0, *, output_attentions: bool = False
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """The tokens before the first and after every block, and each block's attention weights."""
        states, attentions = [hidden_states], []
        for layer in self.layer:
            hidden_states, attention = layer(hidden_states, dataset_index, output_attentions)
            states.append(hidden_states)
            attentions.append(attention)
        return states, attentions
