"""Multi-head self-attention of a plain Vision Transformer, through transformers' attention interface."""

from collections.abc import Callable

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_vitpose_backbone import ViTPoseBackboneConfig
from .initialization_vitpose import set_initialization

# Mimetic initialization (Trockman and Kolter, ICML 2023): a share of the identity in each projection makes trained
# attention's habits the starting point. Query and key agree, so that a token attends to those near it in the position
# table; value and output oppose, so that a block takes away what its neighborhood shares. Without it, a ViT that
# starts from random weights spends its first thousands of people on finding this out.
QUERY_KEY_IDENTITY = 0.7
VALUE_OUTPUT_IDENTITY = 0.4


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k^T * scaling) v, and the softmax itself.

    `query`, `key`, `value` are (B, heads, N, d); the result is (B, N, heads, d) and the weights (B, heads, N, N), as
    every function of transformers' attention interface returns them.
    """
    scores = query @ key.transpose(-2, -1) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.dropout(scores.softmax(dim=-1), p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class ViTPoseSelfAttention(nn.Module):
    """Query, key and value projections and the attention between all tokens; parameter names as stock VitPose."""

    is_causal = False

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.head_dim = width // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.dropout_prob = config.attention_probs_dropout_prob
        self.query = nn.Linear(width, width, bias=config.qkv_bias)
        self.key = nn.Linear(width, width, bias=config.qkv_bias)
        self.value = nn.Linear(width, width, bias=config.qkv_bias)
        set_initialization(self.query, identity=QUERY_KEY_IDENTITY)
        set_initialization(self.key, identity=QUERY_KEY_IDENTITY)
        set_initialization(self.value, identity=VALUE_OUTPUT_IDENTITY)

    def forward(
        self, hidden_states: torch.Tensor, grid_size: tuple[int, int], *, output_attentions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, C) tokens of any grid to (B, N, C), and with `output_attentions` the (B, heads, N, N) weights."""
        query, key, value = (self._heads(project(hidden_states)) for project in (self.query, self.key, self.value))
        return self._attend(query, key, value, None, output_attentions=output_attentions)

    def _heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, C) to (B, heads, N, d)."""
        return tokens.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        *,
        output_attentions: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The context (B, N, C) of queries (B, heads, N, d), with a bias added to their scaled scores."""
        attend: Callable = eager_attention
        # The fused kernels never hold the weights, and transformers' interface to them takes no empty batch.
        by_kernel = not output_attentions and query.shape[0] > 0
        if self.config._attn_implementation not in (None, "eager") and by_kernel:
            attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        dropout = self.dropout_prob if self.training else 0.0
        context, weights = attend(self, query, key, value, bias, scaling=self.scaling, dropout=dropout)
        return context.flatten(-2), weights  # (B, N, heads, d) -> (B, N, C)


class ViTPoseSelfOutput(nn.Module):
    """Output projection of the attention."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        set_initialization(self.dense, identity=-VALUE_OUTPUT_IDENTITY)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(B, N, C) to (B, N, C)."""
        return self.dropout(self.dense(hidden_states))


class ViTPoseAttention(nn.Module):
    """Self-attention, of one kind or another, and its output projection."""

    def __init__(self, config: ViTPoseBackboneConfig, attention: ViTPoseSelfAttention) -> None:
        super().__init__()
        self.attention = attention
        self.output = ViTPoseSelfOutput(config)

    def forward(
        self, hidden_states: torch.Tensor, grid_size: tuple[int, int], *, output_attentions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, C) tokens, those of the grid row by row, to (B, N, C), and the attention's weights."""
        context, weights = self.attention(hidden_states, grid_size, output_attentions=output_attentions)
        return self.output(context), weights
