"""ViTPose: a plain Vision Transformer and a small decoder that predict one heatmap a keypoint.

Parameter names are those of transformers' VitPose, so that state dicts pass both ways unchanged.
"""

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import VitPoseConfig
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.backbone_utils import BackboneMixin
from transformers.dynamic_module_utils import get_relative_import_files
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BackboneOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .attention_vitpose import ViTPoseAttention
from .configuration_vitpose import PATCH_PADDING, STOCK_MODEL_TYPE, ViTPoseBackboneConfig, ViTPoseConfig
from .decoders_vitpose import ViTPoseClassicDecoder, ViTPoseSimpleDecoder


@dataclass
class ViTPoseOutput(ModelOutput):
    """What `ViTPoseForPoseEstimation` returns.

    Args:
        loss: Scalar float32, when `labels` are given.
        heatmaps: (B, K, h, w), one map a keypoint in heatmap pixels.
        hidden_states: With `output_hidden_states`, the (B, N, C) tokens after the embedding and after each block.
        attentions: With `output_attentions`, the (B, heads, N, N) attention weights of each block.
    """

    loss: torch.Tensor | None = None
    heatmaps: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


def heatmap_loss(
    heatmaps: torch.Tensor, labels: torch.Tensor, label_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over batch, keypoints and pixels of (w * (heatmap - label))^2, in float32 (released configs).

    Args:
        heatmaps: (B, K, h, w) predictions.
        labels: (B, K, h, w) targets.
        label_weights: (B, K) weights; 0 leaves a keypoint out.
    """
    if labels.shape != heatmaps.shape:
        raise ValueError(
            f"labels: expected heatmaps of shape {tuple(heatmaps.shape)}, (batch, keypoints, height, width), got "
            f"{tuple(labels.shape)}. encode_heatmaps, or the processor's keypoints= argument, makes them."
        )
    error = heatmaps.float() - labels.float()
    if label_weights is not None:
        if label_weights.shape != heatmaps.shape[:2]:
            raise ValueError(
                f"label_weights: expected shape {tuple(heatmaps.shape[:2])}, (batch, keypoints), got "
                f"{tuple(label_weights.shape)}."
            )
        error = error * label_weights.float()[..., None, None]
    return error.square().mean()


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


class ViTPoseMLP(nn.Module):
    """The feed-forward layer of a block."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        hidden = int(config.hidden_size * config.mlp_ratio)
        self.fc1 = nn.Linear(config.hidden_size, hidden)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(hidden, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(hidden_states)))


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
        self.mlp = ViTPoseMLP(config)
        self.layernorm_before = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.drop_path = ViTPoseDropPath(drop_path_rate)

    def forward(
        self, hidden_states: torch.Tensor, output_attentions: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, N, C) tokens to (B, N, C), and the attention weights where asked for."""
        branch, attention = self.attention(self.layernorm_before(hidden_states), output_attentions=output_attentions)
        hidden_states = hidden_states + self.drop_path(branch)
        hidden_states = hidden_states + self.drop_path(self.mlp(self.layernorm_after(hidden_states)))
        return hidden_states, attention


class ViTPoseEncoder(nn.Module):
    """The transformer blocks; the drop-path rate grows linearly over them."""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__()
        last = max(config.num_hidden_layers - 1, 1)
        rates = [config.drop_path_rate * index / last for index in range(config.num_hidden_layers)]
        self.layer = nn.ModuleList([ViTPoseLayer(config, rate) for rate in rates])

    def forward(
        self, hidden_states: torch.Tensor, *, output_attentions: bool = False
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """The tokens before the first and after every block, and each block's attention weights."""
        states, attentions = [hidden_states], []
        for layer in self.layer:
            hidden_states, attention = layer(hidden_states, output_attentions)
            states.append(hidden_states)
            attentions.append(attention)
        return states, attentions


class ViTPosePreTrainedModel(PreTrainedModel):
    """Weight initialisation and the abilities that transformers asks a model about."""

    config: ViTPoseConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["ViTPoseEmbeddings", "ViTPoseLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = getattr(module, "init_std", self.config.initializer_range)
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            init.trunc_normal_(module.weight, std=std)
            if hasattr(module, "init_identity"):
                init.copy_(
                    module.weight,
                    module.weight + module.init_identity * torch.eye(len(module.weight), device=module.weight.device),
                )
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, ViTPoseEmbeddings):
            init.copy_(module.position_embeddings, sine_cosine_positions(module.grid_size, module.width))
        else:
            super()._init_weights(module)  # norms to weight 1, bias 0, fresh running statistics


class ViTPoseBackbone(BackboneMixin, ViTPosePreTrainedModel):
    """The plain Vision Transformer of ViTPose as a feature extractor, for `AutoBackbone`.

    Example:

    ```python
    >>> import torch
    >>> from vitpose import ViTPoseBackbone, ViTPoseBackboneConfig
    >>> config = ViTPoseBackboneConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, out_indices=[1, 2])
    >>> features = ViTPoseBackbone(config)(torch.zeros(1, 3, 256, 192)).feature_maps
    >>> [tuple(feature.shape) for feature in features]
    [(1, 32, 16, 12), (1, 32, 16, 12)]

    ```
    """

    config: ViTPoseBackboneConfig
    base_model_prefix = ""

    def __init__(self, config: ViTPoseBackboneConfig) -> None:
        super().__init__(config)
        self.num_features = [config.hidden_size] * (config.num_hidden_layers + 1)
        self.embeddings = ViTPoseEmbeddings(config)
        self.encoder = ViTPoseEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def post_init(self) -> None:
        """Initialise the weights. The encoder returns its states itself, so no capturing hooks are installed."""
        PreTrainedModel.post_init(self)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BackboneOutput:
        """Feature maps of the stages named by the config's `out_features`.

        Args:
            pixel_values: (B, 3, H, W) normalised crops of the config's `image_size`.
            output_hidden_states: Also return the (B, N, C) tokens of every stage, before the last layer norm.
            output_attentions: Also return every block's attention weights; this takes the eager attention.

        Returns:
            `feature_maps`, a tuple of (B, C, H/16, W/16), each after the last layer norm.
        """
        keep_states = _resolve(output_hidden_states, self.config.output_hidden_states)
        keep_attentions = _resolve(output_attentions, self.config.output_attentions)
        states, attentions = self.encoder(self.embeddings(pixel_values), output_attentions=keep_attentions)
        selected = [state for stage, state in zip(self.stage_names, states, strict=True) if stage in self.out_features]
        return BackboneOutput(
            feature_maps=tuple(self._to_map(self.layernorm(state)) for state in selected),
            hidden_states=tuple(states) if keep_states else None,
            attentions=tuple(attentions) if keep_attentions else None,
        )

    def _to_map(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, C) tokens to a (B, C, rows, columns) map."""
        return tokens.transpose(1, 2).unflatten(2, self.config.grid_size).contiguous()


def _resolve(argument: bool | None, default: bool | None) -> bool:
    return bool(default if argument is None else argument)


class ViTPoseForPoseEstimation(ViTPosePreTrainedModel):
    """ViTPose (NeurIPS 2022): a plain ViT backbone and a decoder that give one heatmap a keypoint.

    Reads checkpoints of transformers' `VitPoseForPoseEstimation` and its own alike, and saves what that class reads.

    Example:

    ```python
    >>> import torch
    >>> from vitpose import ViTPoseConfig, ViTPoseForPoseEstimation
    >>> model = ViTPoseForPoseEstimation(ViTPoseConfig.from_preset("tiny")).eval()
    >>> model(torch.zeros(2, 3, 256, 192)).heatmaps.shape
    torch.Size([2, 17, 64, 48])

    ```
    """

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__(config)
        self.backbone = ViTPoseBackbone._from_config(config.backbone_config)
        self.head = ViTPoseSimpleDecoder(config) if config.use_simple_decoder else ViTPoseClassicDecoder(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        dataset_index: int | torch.Tensor | None = None,
        flip_pairs: torch.Tensor | Sequence[Sequence[int]] | None = None,
        labels: torch.Tensor | None = None,
        label_weights: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> ViTPoseOutput:
        """Predict heatmaps, and the loss where targets are given.

        Args:
            pixel_values: (B, 3, H, W) normalised crops of the config's `image_size`, from `ViTPoseImageProcessor`.
            dataset_index: The head and expert to use: 0, the only one, as an int or a long tensor (B,).
            flip_pairs: Pairs (n, 2) of keypoints that mirror each other, for a batch of mirrored crops: their heatmaps
                come back mirrored and swapped, ready to be averaged with those of the crops themselves.
            labels: (B, K, h, w) target heatmaps.
            label_weights: (B, K) weight of each keypoint in the loss; 0 leaves it out. All 1 if not given.
            output_hidden_states: Also return the tokens after each block.
            output_attentions: Also return the attention weights of each block.

        Raises:
            ValueError: A shape, the dataset index or a pair does not fit the model.
        """
        _check_dataset_index(dataset_index, pixel_values.shape[0])
        if label_weights is not None and labels is None:
            raise ValueError("label_weights without labels have no effect: give both, or neither.")
        features = self.backbone(
            pixel_values, output_hidden_states=output_hidden_states, output_attentions=output_attentions
        )
        heatmaps = self.head(features.feature_maps[-1])
        if flip_pairs is not None:
            heatmaps = _flip_back(heatmaps, flip_pairs)
        loss = heatmap_loss(heatmaps, labels, label_weights) if labels is not None else None
        return ViTPoseOutput(
            loss=loss, heatmaps=heatmaps, hidden_states=features.hidden_states, attentions=features.attentions
        )

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save weights, config and model code so that any transformers user can load the folder.

        `AutoModelForPoseEstimation.from_pretrained(folder)` gives transformers' own class, and
        `AutoModel.from_pretrained(folder, trust_remote_code=True)` this one, where vitpose is not installed.
        """
        if kwargs.get("push_to_hub"):
            raise ValueError(
                "save_pretrained(push_to_hub=True) would upload the folder before the model's code lies in it: use "
                "model.push_to_hub(repo_id)."
            )
        self.config.auto_map = {"AutoModel": f"modeling_vitpose.{ViTPoseFromStockConfig.__name__}"}
        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            for file in (__file__, *get_relative_import_files(__file__)):
                shutil.copyfile(file, os.path.join(save_directory, os.path.basename(file)))


class ViTPoseFromStockConfig(ViTPoseForPoseEstimation):
    """What `AutoModel` builds for a folder in transformers' own format.

    The Auto classes pair a model with a config class of the very name that the model declares; a stock folder's config
    is a `VitPoseConfig`. Behaves as `ViTPoseForPoseEstimation` in every other way.
    """

    config: VitPoseConfig

    def __init__(self, config: VitPoseConfig | ViTPoseConfig) -> None:
        if config.model_type == STOCK_MODEL_TYPE:
            attention = config._attn_implementation
            config = ViTPoseConfig.from_dict({**config.to_dict(), "attn_implementation": attention})
        super().__init__(config)


def _check_dataset_index(dataset_index: int | torch.Tensor | None, batch: int) -> None:
    """Raise unless the index selects the one head there is."""
    if dataset_index is None:
        return
    if isinstance(dataset_index, torch.Tensor):
        is_index = not dataset_index.is_floating_point() and dataset_index.dtype != torch.bool
        is_index = is_index and dataset_index.shape in ((), (batch,))
    else:
        is_index = isinstance(dataset_index, int) and not isinstance(dataset_index, bool)
    if not is_index:
        raise ValueError(
            f"dataset_index: expected an int, or a long tensor of shape ({batch},), one entry a crop; got "
            f"{dataset_index!r}."
        )
    # An int is compared in Python: a tensor's values would break a compiled or exported graph.
    indices = dataset_index.flatten().tolist() if isinstance(dataset_index, torch.Tensor) else [dataset_index]
    if any(indices):
        raise ValueError(f"dataset_index: this model has one dataset, index 0; got {dataset_index!r}.")


def _flip_back(heatmaps: torch.Tensor, flip_pairs: torch.Tensor | Sequence[Sequence[int]]) -> torch.Tensor:
    """Heatmaps (B, K, h, w) of mirrored crops, mirrored back, with the keypoints of each pair swapped."""
    keypoints = heatmaps.shape[1]
    if len(flip_pairs) == 0:  # a single hand has no pairs
        return heatmaps.flip(-1)
    pairs = torch.as_tensor(flip_pairs, device=heatmaps.device)
    is_pairs = pairs.ndim == 2 and pairs.shape[1] == 2 and not pairs.is_floating_point()
    if not is_pairs or not ((pairs >= 0) & (pairs < keypoints)).all():
        raise ValueError(
            f"flip_pairs: expected pairs of indices from 0 to {keypoints - 1}, shape (n, 2), got {flip_pairs!r}."
        )
    index = torch.arange(keypoints, device=heatmaps.device)
    index[pairs[:, 0]], index[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return heatmaps[:, index].flip(-1)
