"""Configuration of the backbone: a plain Vision Transformer, with or without experts, stock-compatible on disk."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from transformers.backbone_utils import BackboneConfigMixin
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import logging

from vitpose.base.names import unknown_name

from .pretrained_config_vitpose import Settled, ViTPosePreTrainedConfig, settled_default

logger = logging.get_logger(__name__)

ExpertKind = Literal["partially_shared", "independent", "independent_and_shared"]
AttentionKind = Literal["full", "window", "shifted_window", "pooled_window", "shifted_pooled_window"]

Size = int | list[int] | tuple[int, ...]  # one number of pixels for both, or (height, width)

STOCK_BACKBONE_MODEL_TYPE = "vitpose_backbone"  # of transformers' own class
PATCH_PADDING = 2  # zero pixels around the image before it is cut into patches that do not overlap (released configs)

# Fields that transformers' own config does not have, with the values at which it computes the same.
_BEYOND_STOCK = {
    "patch_stride": None,
    "attention_kind": "full",
    "window_size": None,
    "parallel_convolution": False,
    "knowledge_token_size": None,
    "expert_kind": "partially_shared",
}


def _pair(name: str, value: Any) -> list[int]:
    """`value` as [height, width] in pixels: a single number stands for both."""
    pair = [value, value] if isinstance(value, int) else list(value)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"{name}: expected a positive number of pixels or (height, width), got {value!r}.")
    return pair


class ViTPoseBackboneConfig(BackboneConfigMixin, ViTPosePreTrainedConfig):
    """Configuration of `ViTPoseBackbone`, a plain Vision Transformer (ViTPose paper, section 3.1).

    Args:
        image_size: (height, width) of the crops in pixels, multiples of `patch_size`.
        patch_size: (height, width) of a patch in pixels.
        patch_stride: (height, width) from one patch to the next in pixels, `patch_size` if None; a divisor of it
            makes patches overlap and the grid finer.
        num_channels: Color channels of the crops.
        hidden_size: Width of a token.
        num_hidden_layers: Number of transformer blocks.
        num_attention_heads: Heads of each attention; divides `hidden_size`.
        mlp_ratio: Width of the feed-forward hidden layer over `hidden_size`.
        attention_kind: "full", between all tokens, or within windows: "window", "shifted_window" with windows shifted
            by half in every other block, "pooled_window" where each also attends to the averages of all, or both in
            "shifted_pooled_window" (ViTPose paper, table 5).
        window_size: (height, width) of a window in tokens, with window attention; 8 by 8 if None.
        parallel_convolution: If True, a convolution branch runs beside the attention, as in ViTAE and ViTPose-G.
        knowledge_token_size: Width of a teacher's knowledge token that stays beside the patch tokens (ViTPose paper,
            section 3.4); no token if None.
        num_experts: Datasets with experts in the feed-forward layers; 1 is the ordinary layer (ViTPose++ paper).
        part_features: With experts "partially_shared", how many of the layer's outputs come from the expert.
        expert_kind: "partially_shared" (the paper's choice) or what it was compared with: "independent" layers, or
            "independent_and_shared", a common layer beside them.
        hidden_act: Activation of the feed-forward layer.
        hidden_dropout_prob: Dropout after the embedding and the attention output.
        attention_probs_dropout_prob: Dropout of the attention weights.
        drop_path_rate: Stochastic depth of the last block; grows linearly from 0 at the first. Training only.
        initializer_range: Standard deviation of the truncated normal that weights start from.
        layer_norm_eps: Epsilon of the layer norms: 1e-12 as stock; the released configs train with 1e-6.
        qkv_bias: If True, query, key and value projections have a bias.
        out_features, out_indices: Stages whose feature maps `ViTPoseBackbone` returns: "stem" (0) is the embedding,
            "stage1" (1) the first block. The last stage if neither is given.

    Raises:
        ValueError: A keyword is unknown, or a value contradicts another.
    """

    model_type = "vitpose_plus_backbone"
    _model_types = (STOCK_BACKBONE_MODEL_TYPE,)

    image_size: Settled[list[int], Size] = settled_default((256, 192))
    patch_size: Settled[list[int], Size] = settled_default((16, 16))
    patch_stride: Settled[list[int] | None, Size | None] = settled_default(None)
    num_channels: int = 3
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: int | float = 4
    attention_kind: str = "full"
    window_size: Settled[list[int] | None, Size | None] = settled_default(None)
    parallel_convolution: bool = False
    knowledge_token_size: int | None = None
    num_experts: int = 1
    part_features: int = 256
    expert_kind: str = "partially_shared"
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    drop_path_rate: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True
    _out_features: list[str] | None = None
    _out_indices: list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self._check_keywords(kwargs)
        self.image_size = _pair("image_size", self.image_size)
        self.patch_size = _pair("patch_size", self.patch_size)
        if self.patch_stride is not None:
            self.patch_stride = _pair("patch_stride", self.patch_stride)
        if self.window_size is not None:
            self.window_size = _pair("window_size", self.window_size)
        elif self.attention_kind != "full":
            self.window_size = [8, 8]
        if isinstance(self.mlp_ratio, float) and self.mlp_ratio.is_integer():
            self.mlp_ratio = int(self.mlp_ratio)  # as transformers' own class has it
        self.stage_names = ["stem", *(f"stage{index}" for index in range(1, self.num_hidden_layers + 1))]
        self.set_output_features_output_indices(
            out_indices=kwargs.pop("out_indices", None), out_features=kwargs.pop("out_features", None)
        )
        super().__post_init__(**kwargs)
        self._check()

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns) of the patch grid."""
        return self.grid_of(self.image_size)

    @property
    def stride(self) -> list[int]:
        """(height, width) in pixels from one patch to the next."""
        return self.patch_stride or self.patch_size

    @property
    def patch_padding(self) -> tuple[int, int]:
        """(rows, columns) of zero pixels on each side of the image, after which one patch starts a stride."""
        rows, columns = (
            PATCH_PADDING if patch == stride else (patch - stride) // 2
            for patch, stride in zip(self.patch_size, self.stride, strict=True)
        )
        return rows, columns

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward hidden layer."""
        return round(self.hidden_size * self.mlp_ratio)

    @property
    def is_stock(self) -> bool:
        """True if transformers' own VitPoseBackbone computes the same function."""
        beyond = dict(_BEYOND_STOCK)
        if self.num_experts == 1:
            del beyond["expert_kind"]
        return isinstance(self.mlp_ratio, int) and all(getattr(self, name) == value for name, value in beyond.items())

    def set_image_size(self, image_size: int | Sequence[int]) -> None:
        """Set the (height, width) of the crops in pixels, checked as at the start."""
        before, self.image_size = self.image_size, _pair("image_size", image_size)
        try:
            self._check()
        except ValueError:
            self.image_size = before
            raise

    def grid_of(self, image_size: Sequence[int]) -> tuple[int, int]:
        """(rows, columns) of the patch grid of images of some (height, width) in pixels."""
        height, width = image_size
        return height // self.stride[0], width // self.stride[1]

    def to_dict(self) -> dict[str, Any]:
        """The configuration as a dictionary; what transformers' own config does not have only where it matters."""
        dropped = _BEYOND_STOCK if self.is_stock else ()
        values = {name: value for name, value in super().to_dict().items() if name not in dropped}
        if "intermediate_size" in values:  # its file had it
            values["intermediate_size"] = self.intermediate_size
        return values

    @classmethod
    def _keywords(cls) -> set[str]:
        return super()._keywords() | {"out_features", "out_indices"}

    @classmethod
    def _prepare(cls, values: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        values = super()._prepare(values, kwargs)
        inner, ratio = values.get("intermediate_size"), values.get("mlp_ratio")
        width = values.get("hidden_size") or cls.hidden_size
        if inner is None or inner == round(width * (ratio or cls.mlp_ratio)):
            return values
        if not isinstance(inner, int) or inner < 1:
            raise ValueError(f"intermediate_size: expected a positive number of channels, got {inner!r}.")
        if ratio is None:
            values["mlp_ratio"] = inner // width if inner % width == 0 else inner / width
        else:
            logger.warning_once(
                f"intermediate_size {inner} contradicts hidden_size {width} times mlp_ratio {ratio}, by which "
                "transformers' own class makes the weights: it is set right when the configuration is saved."
            )
        return values

    def _check(self) -> None:
        if any(size % patch for size, patch in zip(self.image_size, self.patch_size, strict=True)):
            nearest = [max(1, round(s / p)) * p for s, p in zip(self.image_size, self.patch_size, strict=True)]
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}: the rest of the "
                f"image would be ignored. Use {nearest}."
            )
        self._check_stride()
        self._check_attention()
        if min(self.patch_size) <= 2 * PATCH_PADDING:
            raise ValueError(
                f"patch_size: expected more than {2 * PATCH_PADDING} pixels, as the padding of {PATCH_PADDING} around "
                f"the image would make a patch of its own, got {self.patch_size}."
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}."
            )
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: expected a rate in [0, 1), got {self.drop_path_rate}.")
        if self.knowledge_token_size is not None and self.knowledge_token_size < 1:
            raise ValueError(f"knowledge_token_size: expected 1 or more, or None, got {self.knowledge_token_size}.")
        if self.parallel_convolution and self.hidden_size % 4:
            raise ValueError(
                f"parallel_convolution works on groups of 4 channels: expected a hidden_size that is a multiple of 4, "
                f"got {self.hidden_size}."
            )
        self._check_experts()

    def _check_stride(self) -> None:
        if self.patch_stride is None:
            return
        if self.patch_stride == self.patch_size:
            self.patch_stride = None  # one way to say so
            return
        for patch, stride in zip(self.patch_size, self.patch_stride, strict=True):
            if patch % stride or (patch - stride) % 2:
                raise ValueError(
                    f"patch_stride: expected divisors of patch_size {self.patch_size}, an even number of pixels apart "
                    f"from it, got {self.patch_stride}."
                )

    def _check_attention(self) -> None:
        if self.attention_kind not in get_args(AttentionKind):
            raise ValueError(unknown_name("attention_kind", self.attention_kind, get_args(AttentionKind)))
        if self.attention_kind == "full" and self.window_size is not None:
            raise ValueError(
                f"window_size {self.window_size} has no effect with attention_kind 'full': choose a window kind, "
                "or leave it out."
            )
        if self.window_size is None:
            return
        if any(window > side for window, side in zip(self.window_size, self.grid_size, strict=True)):
            raise ValueError(
                f"window_size: expected at most the grid of {self.grid_size} (rows, columns) patches, got "
                f"{self.window_size}."
            )
        if self.knowledge_token_size is not None:
            raise ValueError(
                "knowledge_token_size needs attention_kind 'full': a knowledge token lies in no window. Leave one out."
            )

    def _check_experts(self) -> None:
        if not isinstance(self.num_experts, int) or self.num_experts < 1:
            raise ValueError(f"num_experts: expected 1, no experts, or the number of datasets, got {self.num_experts}.")
        if self.expert_kind not in get_args(ExpertKind):
            raise ValueError(unknown_name("expert_kind", self.expert_kind, get_args(ExpertKind)))
        has_parts = self.num_experts > 1 and self.expert_kind == "partially_shared"
        if has_parts and not 0 < self.part_features < self.hidden_size:
            raise ValueError(
                f"part_features: expected a number between 0 and hidden_size {self.hidden_size}, got "
                f"{self.part_features}."
            )


BACKBONE_MODEL_TYPES = (STOCK_BACKBONE_MODEL_TYPE, ViTPoseBackboneConfig.model_type)


def as_backbone_config(backbone: dict | PreTrainedConfig | None) -> ViTPoseBackboneConfig:
    """Our configuration from its dictionary, from transformers' own, or by default."""
    if isinstance(backbone, ViTPoseBackboneConfig):
        return backbone
    if isinstance(backbone, PreTrainedConfig):
        return ViTPoseBackboneConfig._read(backbone.to_dict(), {})
    return ViTPoseBackboneConfig(**(backbone or {}))
