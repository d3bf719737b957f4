"""Masked-image pre-training of a pose backbone (MAE paper; ViTPose paper, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import initialization as init
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_vitpose_backbone import ViTPoseBackboneConfig
from .configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from .encoder_vitpose import ViTPoseEncoder
from .modeling_vitpose_backbone import ViTPoseBackbone, ViTPosePreTrainedModel
from .positions_vitpose import sine_cosine_positions

_VARIANCE_FLOOR = 1e-6  # of a patch of one color (MAE's published code)


@dataclass
class ViTPoseMaskedImageModelingOutput(ModelOutput):
    """Output of `ViTPoseForMaskedImageModeling`.

    Args:
        loss: `torch.Tensor` of shape `()`, float32, the mean squared error of the hidden patches.
        logits: `torch.Tensor` of shape `(batch_size, num_patches, patch_height * patch_width * num_channels)`, the
            predicted pixels of every patch, in units of the patch's own mean and standard deviation; within a patch row
            by row, the channels of a pixel together.
        mask: `torch.Tensor` of shape `(batch_size, num_patches)`, bool, True where a patch was hidden.
        crop_losses: `torch.Tensor` of shape `(batch_size,)`, float32, the error of each crop's hidden patches, whose
            mean is the loss.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    crop_losses: torch.Tensor | None = None


class MaskedPictures(NamedTuple):
    """Crops (B, C, H, W) as the encoder saw them, hidden patches 0, and with those as the model paints them."""

    masked: torch.Tensor
    reconstructed: torch.Tensor


class ViTPoseMaskedImageDecoder(ViTPosePreTrainedModel):
    """From visible tokens to the pixels of every patch: a mask token in each hidden place, and a few narrow blocks."""

    config: ViTPoseBackboneConfig
    base_model_prefix = ""

    def __init__(self, config: ViTPoseBackboneConfig, *, encoder_size: int) -> None:
        super().__init__(config)
        width, num_patches = config.hidden_size, config.grid_size[0] * config.grid_size[1]
        self.embed = nn.Linear(encoder_size, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, num_patches, width))
        self.encoder = ViTPoseEncoder(config)
        self.layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.predict = nn.Linear(width, config.patch_size[0] * config.patch_size[1] * config.num_channels)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.normal_(self.mask_token, std=self.config.initializer_range)
            table = sine_cosine_positions(self.config.grid_size, self.config.hidden_size)
            init.copy_(self.position_embeddings, table[:, 1:])  # row 0 is of a class token
        else:
            super()._init_weights(module)

    def forward(self, visible: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(B, V, encoder_size) tokens of the patches at `places` (B, V) to (B, N, h * w * C) pixels."""
        visible = self.embed(visible)  # (B, V, C)
        batch, _, width = visible.shape
        hidden = self.mask_token.to(visible.dtype).expand(batch, self.position_embeddings.shape[1], -1)
        tokens = hidden.scatter(1, places[..., None].expand(-1, -1, width), visible)  # (B, N, C)
        states, _ = self.encoder(tokens + self.position_embeddings, self.config.grid_size)
        return self.predict(self.layernorm(states[-1]))


class ViTPoseForMaskedImageModeling(ViTPosePreTrainedModel):
    """A masked autoencoder: three quarters of the patches are hidden, and painted from what the encoder saw.

    The encoder, which runs on the visible patches only, is the backbone of `ViTPoseForPoseEstimation`, and starts one
    through `init_from` in a recipe. As in that backbone there is no class token, and positions in both parts are fixed
    sines and cosines (MAE paper), so row 0 of the position table stays zero.

    Patches are cut here as MAE cuts them, edge to edge. The pose model pads the image by two pixels first (released
    configs), which moves its patches by as much: padded so, a visible patch would show two rows and columns of a hidden
    neighbor. The published pose models took their MAE weights over that same difference.

    Example:
    ```python
    >>> import torch
    >>> from vitpose import ViTPoseForMaskedImageModeling, ViTPoseMaskedImageModelingConfig
    >>> model = ViTPoseForMaskedImageModeling(ViTPoseMaskedImageModelingConfig.from_preset("tiny"))
    >>> output = model(torch.zeros(2, 3, 128, 96))
    >>> output.logits.shape, output.mask.sum(dim=1)
    (torch.Size([2, 192, 192]), tensor([144, 144]))

    ```
    """

    config: ViTPoseMaskedImageModelingConfig

    def __init__(self, config: ViTPoseMaskedImageModelingConfig) -> None:
        super().__init__(config)
        self.backbone: ViTPoseBackbone = ViTPoseBackbone._from_config(config.backbone_config)
        self.backbone.embeddings.patch_embeddings.projection.padding = (0, 0)
        self.decoder: ViTPoseMaskedImageDecoder = ViTPoseMaskedImageDecoder._from_config(
            config.decoder_config, encoder_size=config.backbone_config.hidden_size
        )
        self._fix_positions()
        self.post_init()

    def _fix_positions(self) -> None:
        """Leave both position tables out of training."""
        self.backbone.embeddings.position_embeddings.requires_grad_(False)
        self.decoder.position_embeddings.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a saved model; positions stay fixed, where transformers would have all that it loads trained."""
        result = super().from_pretrained(*args, **kwargs)
        model = result[0] if isinstance(result, tuple) else result  # with output_loading_info, a pair
        model._fix_positions()
        return result

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, noise: torch.Tensor | None = None
    ) -> ViTPoseMaskedImageModelingOutput:
        """Hide patches, predict their pixels, and compare.

        Args:
            pixel_values: `torch.Tensor` of shape `(batch_size, num_channels, height, width)`, normalized crops of the
                config's `image_size`.
            noise: `torch.Tensor` of shape `(batch_size, num_patches)`; the patches with the largest values are hidden.
                Random if None.

        Raises:
            ValueError: A shape does not fit the model.
        """
        tokens = self.backbone.embeddings(pixel_values)  # (B, N, C)
        places, mask = self._choose_visible(tokens, noise)
        visible = tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))  # (B, V, C)
        states, _ = self.backbone.encoder(visible, self.config.backbone_config.grid_size)
        logits = self.decoder(self.backbone.layernorm(states[-1]), places)
        targets, _, _ = _normalize(patchify(pixel_values.float(), self.config.backbone_config.patch_size))
        errors = (logits.float() - targets).square().mean(dim=2)  # (B, N)
        losses = (errors * mask).sum(dim=1) / mask.sum(dim=1)  # each crop has as many hidden patches
        return ViTPoseMaskedImageModelingOutput(loss=losses.mean(), logits=logits, mask=mask, crop_losses=losses)

    @torch.no_grad()
    def reconstruct(self, pixel_values: torch.Tensor, noise: torch.Tensor | None = None) -> MaskedPictures:
        """Crops without their hidden patches, and with those as the model paints them; arguments as for the model.

        The prediction is in units of each patch's own mean and standard deviation, which are taken from the crop: the
        picture shows what the model makes of a patch's structure, not of its brightness.
        """
        backbone = self.config.backbone_config
        output = self(pixel_values, noise=noise)
        patches = patchify(pixel_values.float(), backbone.patch_size)
        _, mean, deviation = _normalize(patches)
        hidden = output.mask[..., None]
        painted = torch.where(hidden, output.logits.float() * deviation + mean, patches)
        paint = partial(unpatchify, patch_size=backbone.patch_size, grid_size=backbone.grid_size)
        return MaskedPictures(paint(patches * ~hidden), paint(painted))

    def _choose_visible(self, tokens: torch.Tensor, noise: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The places (B, V) of the visible patches, and the mask (B, N), True where a patch is hidden."""
        shape = tokens.shape[:2]
        if noise is None:
            noise = torch.rand(shape, device=tokens.device)
        if noise.shape != shape:
            raise ValueError(f"noise: expected shape {tuple(shape)}, (batch, patches), got {tuple(noise.shape)}.")
        places = noise.argsort(dim=1)[:, : self.config.num_visible]
        mask = torch.ones(shape, dtype=torch.bool, device=tokens.device).scatter(1, places, False)
        return places, mask

    def _auto_map(self) -> dict[str, str]:
        model = f"modeling_vitpose.{ViTPoseForMaskedImageModeling.__name__}"
        config = f"configuration_vitpose.{ViTPoseMaskedImageModelingConfig.__name__}"
        return {"AutoConfig": config, "AutoModel": model, "AutoModelForPreTraining": model}


def patchify(images: torch.Tensor, patch_size: Sequence[int]) -> torch.Tensor:
    """(B, C, H, W) images to (B, N, h * w * C) patches, row by row; within a patch the channels come last."""
    height, width = patch_size
    patches = images.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (B, C, rows, h, columns, w)
    return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: torch.Tensor, *, patch_size: Sequence[int], grid_size: tuple[int, int]) -> torch.Tensor:
    """(B, N, h * w * C) patches on a grid of (rows, columns) to (B, C, H, W) images: what `patchify` undoes."""
    grid = patches.unflatten(2, (*patch_size, -1)).unflatten(1, grid_size)  # (B, rows, columns, h, w, C)
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def _normalize(patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patches (B, N, P) of mean 0 and variance 1 each, and their means and standard deviations (B, N, 1)."""
    mean = patches.mean(dim=2, keepdim=True)
    deviation = (patches.var(dim=2, keepdim=True) + _VARIANCE_FLOOR).sqrt()
    return (patches - mean) / deviation, mean, deviation
