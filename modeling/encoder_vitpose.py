"""From pixels to tokens: patch embedding, position table and the transformer blocks."""

import math
from typing import cast

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention_vitpose import ViTPoseAttention, ViTPoseSelfAttention
from .configuration_vitpose_backbone import ViTPoseBackboneConfig
from .convolution_vitpose import ViTPoseConvolutionBranch
from .feedforward_vitpose import DatasetIndex, make_mlp
from .positions_vitpose import resize_positions
from .window_attention_vitpose import ViTPoseWindowSelfAttention


class ViTPosePatchEmbeddings(nn.Module):
    """Cuts crops into patches, which overlap where the stride is smaller, and projects each to one token."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        (height, width), (rows, columns) = config.patch_size, config.stride
        self.projection = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=(height, width),
            stride=(rows, columns),
            padding=config.patch_padding,
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) crops to (B, N, C) tokens, row by row."""
        return self.projection(pixel_values).flatten(2).transpose(1, 2)


class ViTPoseKnowledgeToken(nn.Module):
    """A token of a teacher that stays beside the patch tokens (ViTPose paper, section 3.4).

    It is as wide as the teacher that it was learned with; a projection, learned with the student, brings it to the
    student's width where the two differ.
    """

    def __init__(self, size: int, *, hidden_size: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, size))
        self.projection = nn.Identity() if size == hidden_size else nn.Linear(size, hidden_size)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, C) tokens to (B, N + 1, C): the knowledge token comes last."""
        return torch.cat([tokens, self.projection(self.token).expand(tokens.shape[0], -1, -1)], dim=1)


class ViTPoseEmbeddings(nn.Module):
    """Patch tokens plus a learned position table, and the knowledge token after them where there is one.

    Row 0 of the table is the class token's row of pre-training: it is added to every token (released configs).
    """

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embeddings = ViTPosePatchEmbeddings(config)
        table = torch.zeros(1, 1 + math.prod(config.grid_size), config.hidden_size)
        self.position_embeddings = nn.Parameter(table)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        size = config.knowledge_token_size
        self.knowledge = ViTPoseKnowledgeToken(size, hidden_size=config.hidden_size) if size else None

    def forward(self, pixel_values: torch.Tensor, *, interpolate_pos_encoding: bool = False) -> torch.Tensor:
        """(B, 3, H, W) crops to (B, N, C) tokens, N + 1 with a knowledge token.

        Crops of another size than the config's are an error, unless `interpolate_pos_encoding` resizes the position
        table to their grid.
        """
        self._check_crops(pixel_values, any_size=interpolate_pos_encoding)
        positions: torch.Tensor = self.position_embeddings
        if interpolate_pos_encoding:
            grid_size = self.config.grid_of(tuple(pixel_values.shape[-2:]))
            positions = resize_positions(positions, from_grid=self.config.grid_size, to_grid=grid_size)
        tokens = self.patch_embeddings(pixel_values) + positions[:, 1:] + positions[:, :1]
        return self.dropout(tokens if self.knowledge is None else self.knowledge(tokens))

    def _check_crops(self, pixel_values: torch.Tensor, *, any_size: bool) -> None:
        channels, (height, width) = self.config.num_channels, self.config.image_size
        got = tuple(pixel_values.shape)
        if len(got) != 4 or got[1] != channels:
            raise ValueError(f"pixel_values: expected shape (batch, {channels}, {height}, {width}), got {got}.")
        if any_size and any(side % patch for side, patch in zip(got[2:], self.config.patch_size, strict=True)):
            raise ValueError(
                f"pixel_values: expected a height and width that are multiples of the patch_size "
                f"{self.config.patch_size}, got {got[2:]}: the rest would be ignored."
            )
        if not any_size and got[2:] != (height, width):
            raise ValueError(
                f"pixel_values: expected shape (batch, {channels}, {height}, {width}), got {got}. Give the image "
                f"processor the size {(height, width)} (height, width), pass interpolate_pos_encoding=True, or fit the "
                "model with resize_position_embeddings."
            )


class ViTPoseDropPath(nn.Module):
    """Stochastic depth: in training, leaves a residual branch out for a random part of the samples."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """The branch (B, ...), in training with some samples' zeroed and the others scaled up."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        # A comparison and not bernoulli_(keep): one compiled graph then serves blocks of every rate.
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
        return branch * (kept / keep).to(branch.dtype)

    def extra_repr(self) -> str:
        """The rate, where a model is printed."""
        return f"rate={self.rate:.3f}"


class ViTPoseLayer(GradientCheckpointingLayer):
    """One pre-norm transformer block; in a ViTAE a convolution branch runs beside the attention, without a norm."""

    def __init__(self, config: ViTPoseBackboneConfig, depth: int) -> None:
        super().__init__()
        drop_path_rate = config.drop_path_rate * depth / max(config.num_hidden_layers - 1, 1)
        self.attention = ViTPoseAttention(config, make_self_attention(config, depth))
        self.mlp = make_mlp(config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.drop_path_attention = ViTPoseDropPath(drop_path_rate)
        self.drop_path_mlp = ViTPoseDropPath(drop_path_rate)
        self.convolution = ViTPoseConvolutionBranch(config) if config.parallel_convolution else None

    def forward(
        self,
        hidden_states: torch.Tensor,
        grid_size: tuple[int, int],
        dataset_index: DatasetIndex = 0,
        output_attentions: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, C) tokens to (B, N, C), and with `output_attentions` the attention weights."""
        branch, weights = self.attention(
            self.layernorm_before(hidden_states), grid_size, output_attentions=output_attentions
        )
        branch = self.drop_path_attention(branch)
        if self.convolution is not None:
            branch = branch + self.convolution(hidden_states, grid_size)
        hidden_states = hidden_states + branch
        branch = self.mlp(self.layernorm_after(hidden_states), dataset_index)
        return hidden_states + self.drop_path_mlp(branch), weights


def make_self_attention(config: ViTPoseBackboneConfig, depth: int) -> ViTPoseSelfAttention:
    """The attention of a block, whose windows are shifted in every other one where the config says so."""
    if config.attention_kind == "full":
        return ViTPoseSelfAttention(config)
    return ViTPoseWindowSelfAttention(config, shifted="shifted" in config.attention_kind and depth % 2 == 1)


class ViTPoseEncoder(nn.Module):
    """The transformer blocks; the drop-path rate grows linearly over them."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([ViTPoseLayer(config, depth) for depth in range(config.num_hidden_layers)])

    @property
    def blocks(self) -> list[ViTPoseLayer]:
        """The transformer blocks."""
        return cast(list[ViTPoseLayer], list(self.layer))  # torch types what a ModuleList holds as modules

    def forward(
        self,
        hidden_states: torch.Tensor,
        grid_size: tuple[int, int],
        dataset_index: DatasetIndex = 0,
        *,
        output_attentions: bool = False,
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """The tokens before the first and after every block, and each block's attention weights."""
        states, attentions = [hidden_states], []
        for block in self.blocks:
            hidden_states, attention = block(hidden_states, grid_size, dataset_index, output_attentions)
            states.append(hidden_states)
            attentions.append(attention)
        return states, attentions
