"""Configuration of masked-image pre-training: the backbone of a pose model and the decoder that predicts its pixels."""

import math
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from vitpose.base.names import unknown_name

from .configuration_vitpose import PRESETS, Preset
from .configuration_vitpose_backbone import ViTPoseBackboneConfig, as_backbone_config
from .pretrained_config_vitpose import Settled, ViTPosePreTrainedConfig, settled_default

# What only a whole grid of patches can have, and its value without; the encoder sees a quarter of them.
_WHOLE_GRID = {
    "patch_stride": None,
    "attention_kind": "full",
    "parallel_convolution": False,
    "num_experts": 1,
    "knowledge_token_size": None,
}

# "tiny", for minutes on two CPU cores, has a decoder in proportion; the other sizes that of the MAE paper.
_TINY_DECODER: dict[str, Any] = {
    "decoder_hidden_size": 96,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 3,
}


class ViTPoseMaskedImageModelingConfig(ViTPosePreTrainedConfig):
    """Configuration of `ViTPoseForMaskedImageModeling` (MAE paper; ViTPose paper, section 3.3).

    Args:
        backbone_config: A `ViTPoseBackboneConfig`, or the dictionary of one; ViTPose-B by default.
        initializer_range: Standard deviation of the truncated normal that weights start from.
        decoder_hidden_size: Width of the decoder's tokens.
        decoder_num_hidden_layers: Blocks of the decoder.
        decoder_num_attention_heads: Heads of each of its attentions; divides `decoder_hidden_size`.
        mask_ratio: Share of the patches that are hidden.

    Raises:
        ValueError: A keyword is unknown, or a value contradicts another; so does a backbone that needs the whole grid
            of patches: window attention, a convolution branch, experts, overlapping patches or a knowledge token.

    Example:
    ```python
    >>> from vitpose import ViTPoseMaskedImageModelingConfig
    >>> config = ViTPoseMaskedImageModelingConfig.from_preset("small")
    >>> config.num_patches, config.num_visible
    (192, 48)

    ```
    """

    model_type = "vitpose_mim"
    sub_configs = {"backbone_config": ViTPoseBackboneConfig}

    backbone_config: Settled[ViTPoseBackboneConfig, dict | PreTrainedConfig | None] = settled_default(None)
    initializer_range: float = 0.02
    decoder_hidden_size: int = 512
    decoder_num_hidden_layers: int = 8
    decoder_num_attention_heads: int = 16
    mask_ratio: float = 0.75

    def __post_init__(self, **kwargs: Any) -> None:
        self.backbone_config = as_backbone_config(self.backbone_config)
        super().__post_init__(**kwargs)
        self._check()

    @classmethod
    def from_preset(cls, preset: Preset, **backbone: Any) -> "ViTPoseMaskedImageModelingConfig":
        """The configuration that pre-trains the backbone of a published size, without stochastic depth.

        Args:
            preset: Size of the backbone, ViTPose paper, table 1.
            backbone: Fields of `ViTPoseBackboneConfig` to set differently, such as `image_size=(384, 288)`.
        """
        if preset not in PRESETS:
            raise ValueError(unknown_name("preset", preset, PRESETS))
        sizes = {**PRESETS[preset], "drop_path_rate": 0.0, **backbone}
        decoder = _TINY_DECODER if preset == "tiny" else {}
        return cls(backbone_config=ViTPoseBackboneConfig(**sizes), **decoder)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of a crop in pixels."""
        height, width = self.backbone_config.image_size
        return height, width

    @property
    def num_patches(self) -> int:
        """Patches of a crop."""
        return math.prod(self.backbone_config.grid_size)

    @property
    def num_visible(self) -> int:
        """Patches of a crop that the encoder sees."""
        return self.num_patches - round(self.num_patches * self.mask_ratio)

    @property
    def decoder_config(self) -> ViTPoseBackboneConfig:
        """The decoder's blocks, over the same patches, as the configuration of a backbone."""
        backbone = self.backbone_config
        return ViTPoseBackboneConfig(
            image_size=backbone.image_size,
            patch_size=backbone.patch_size,
            num_channels=backbone.num_channels,
            hidden_size=self.decoder_hidden_size,
            num_hidden_layers=self.decoder_num_hidden_layers,
            num_attention_heads=self.decoder_num_attention_heads,
            initializer_range=self.initializer_range,
            layer_norm_eps=backbone.layer_norm_eps,
            **{"attn_implementation": backbone._attn_implementation},  # a key of transformers', no field
        )

    def _check(self) -> None:
        for name, value in _WHOLE_GRID.items():
            actual = getattr(self.backbone_config, name)
            if actual != value:
                raise ValueError(
                    f"{name}: expected {value!r}, as the encoder sees only the visible patches of the grid, got "
                    f"{actual!r}. Pre-train the plain backbone and give the pose model what it has beyond."
                )
        if not 0 < self.num_visible < self.num_patches:
            raise ValueError(
                f"mask_ratio: expected a share that hides some of the {self.num_patches} patches and leaves some, got "
                f"{self.mask_ratio}."
            )
        if self.decoder_hidden_size % self.decoder_num_attention_heads:
            raise ValueError(
                f"decoder_hidden_size {self.decoder_hidden_size} is not a multiple of decoder_num_attention_heads "
                f"{self.decoder_num_attention_heads}."
            )
