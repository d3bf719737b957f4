"""The plain Vision Transformer of ViTPose as a backbone, and what all its models share.

Parameter names are those of transformers' VitPoseBackbone, so that state dicts pass both ways unchanged.
"""

import os
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_outputs import BackboneOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from .configuration_vitpose_backbone import ViTPoseBackboneConfig
from .dataset_index_vitpose import check_dataset_index, one_per_sample
from .encoder_vitpose import ViTPoseEmbeddings, ViTPoseEncoder, ViTPoseKnowledgeToken
from .initialization_vitpose import initialize
from .positions_vitpose import resize_positions, sine_cosine_positions
from .saving_vitpose import save_with_code
from .window_attention_vitpose import ViTPoseWindowSelfAttention

logger = logging.get_logger(__name__)


class ViTPosePreTrainedModel(PreTrainedModel):
    """Weight initialization and the abilities that transformers asks a model about."""

    config: Any  # each model says which
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = "image"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["ViTPoseEmbeddings", "ViTPoseLayer"]
    _input_embed_layer = "embeddings"  # read by accelerate, which shards it by itself

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            initialize(module, std=std)
        elif isinstance(module, ViTPoseEmbeddings):
            width = module.config.hidden_size
            init.copy_(module.position_embeddings, sine_cosine_positions(module.config.grid_size, width))
        elif isinstance(module, ViTPoseKnowledgeToken):
            init.trunc_normal_(module.token, std=std)
        elif isinstance(module, ViTPoseWindowSelfAttention):
            init.zeros_(module.rel_pos_h)
            init.zeros_(module.rel_pos_w)
        else:
            super()._init_weights(module)  # norms to weight 1, bias 0, fresh running statistics

    def get_position_embeddings(self) -> nn.Parameter:  # type: ignore[override]  # transformers declares a module
        """The position table, of shape `(1, 1 + num_patches, hidden_size)`; row 0 is added to every token."""
        return self.base_model.get_parameter("embeddings.position_embeddings")

    def save_pretrained(  # type: ignore[override]  # transformers takes what follows by position too
        self, save_directory: str | os.PathLike[str], **kwargs: Any
    ) -> None:
        """Save weights, config and model code, so that any transformers user can load the folder.

        Where vitpose is not installed, `AutoModel.from_pretrained(folder, trust_remote_code=True)` gives this class,
        and where transformers' own class computes the same, `AutoModelForPoseEstimation.from_pretrained(folder)` that.

        Args:
            save_directory: Folder to save to.
            kwargs: Further arguments of `PreTrainedModel.save_pretrained`.

        Raises:
            ValueError: `push_to_hub` is set.
        """
        save_with_code(self, save_directory, auto_map=self._auto_map(), **kwargs)

    def _auto_map(self) -> dict[str, str]:
        """The class of the saved code for each Auto class."""
        raise NotImplementedError


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
        """Initialize the weights. The encoder returns its states itself, so no capturing hooks are installed."""
        PreTrainedModel.post_init(self)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        dataset_index: int | torch.Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BackboneOutput:
        """Feature maps of the stages named by the config's `out_features`.

        Args:
            pixel_values: `torch.Tensor` of shape `(batch_size, 3, height, width)`, normalized crops of the config's
                `image_size`.
            dataset_index: The expert to use, an int or a long tensor of shape `(batch_size,)`; needed where there are
                several.
            interpolate_pos_encoding: Take crops of any size that is a multiple of the patch, and resize the position
                table to their grid; without it another size than the config's is an error.
            output_hidden_states: Also return the tokens of every stage, of shape `(batch_size, num_tokens,
                hidden_size)`, before the last layer norm; a knowledge token is the last of them.
            output_attentions: Also return every block's attention weights; this takes the eager attention.

        Returns:
            `feature_maps`, a tuple of `torch.Tensor` of shape `(batch_size, hidden_size, rows, columns)` on the patch
            grid, each after the last layer norm.
        """
        keep_states = resolve_flag(output_hidden_states, self.config.output_hidden_states)
        keep_attentions = resolve_flag(output_attentions, self.config.output_attentions)
        index = check_dataset_index(dataset_index, batch=pixel_values.shape[0], num_datasets=self.config.num_experts)
        if self.training and self.config.num_experts > 1:
            index = one_per_sample(index, pixel_values)
        if keep_attentions and not torch.compiler.is_compiling():
            self._warn_of_eager_attention()
        grid_size = self.config.grid_of(pixel_values.shape[-2:])
        tokens = self.embeddings(pixel_values, interpolate_pos_encoding=interpolate_pos_encoding)
        states, attentions = self.encoder(tokens, grid_size, index, output_attentions=keep_attentions)
        selected = [state for stage, state in zip(self.stage_names, states, strict=True) if stage in self.out_features]
        maps = tuple(_to_map(self.layernorm(state), grid_size) for state in selected)
        return BackboneOutput(
            feature_maps=maps,  # type: ignore[arg-type]  # transformers declares a tuple of one
            hidden_states=tuple(states) if keep_states else None,
            attentions=tuple(attentions) if keep_attentions else None,
        )

    def _warn_of_eager_attention(self) -> None:
        kind = self.config._attn_implementation
        if kind not in (None, "eager"):
            logger.warning_once(
                f"output_attentions=True takes the eager attention, as {kind!r} never holds the weights: slower, and "
                "with more memory. Leave it out where the weights are not needed."
            )

    def resize_position_embeddings(self, image_size: int | tuple[int, int]) -> None:
        """Fit the model to crops of another (height, width) in pixels: its config, and its position table (bicubic)."""
        before = self.config.grid_size
        self.config.set_image_size(image_size)
        table = self.embeddings.position_embeddings
        resized = resize_positions(table.detach(), from_grid=before, to_grid=self.config.grid_size)
        self.embeddings.position_embeddings = nn.Parameter(resized, requires_grad=table.requires_grad)

    def _auto_map(self) -> dict[str, str]:
        backbone = f"modeling_vitpose.{ViTPoseBackbone.__name__}"
        config = f"configuration_vitpose.{ViTPoseBackboneConfig.__name__}"
        return {"AutoConfig": config, "AutoModel": backbone, "AutoBackbone": backbone}


def _to_map(tokens: torch.Tensor, grid_size: tuple[int, int]) -> torch.Tensor:
    """(B, N, C) tokens to a (B, C, rows, columns) map; tokens after those of the grid fall away."""
    num_patches = grid_size[0] * grid_size[1]
    return tokens[:, :num_patches].transpose(1, 2).unflatten(2, grid_size).contiguous()


def resolve_flag(argument: bool | None, *settings: bool | None) -> bool:
    """Resolve a flag: the argument, else True if one of the configs sets it."""
    return any(settings) if argument is None else argument
