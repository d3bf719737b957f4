"""Initial weights for the backbone from the checkpoint of a plain ViT (ViTPose paper, section 3.3).

MAE, DINOv2 and other pre-training in any layout of `layouts`, our own `ViTPoseForMaskedImageModeling`, and pose models,
whose heads are left out. What a layout's table makes of the names must match the backbone exactly.
"""

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from vitpose.base.errors import at_place
from vitpose.base.files import read_json

from ..configuration_vitpose import ViTPoseConfig
from ..configuration_vitpose_backbone import BACKBONE_MODEL_TYPES, ViTPoseBackboneConfig
from ..configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from ..keypoint_schemas import KeypointSchema
from ..modeling_vitpose import ViTPoseForPoseEstimation
from ..positions_vitpose import resize_positions
from .checkpoint_files import read_checkpoint
from .differences import refuse_differences
from .equivalents import fold_layer_scale, implied_grid, pad_patch_kernel, square_grid
from .implied_config import block_sizes, published_heads
from .layouts import FIRST_NORM, PATCH_KERNEL, POSITIONS
from .leftovers import without_leftovers
from .names import StateDict, all_to_ours, joined_name, to_ours, to_theirs
from .recognition import Found, find_weights

logger = logging.getLogger(__name__)

_TOKENS = r"(^|[._])(cls|dist|reg|register)_tokens?$"  # that stand in the sequence beside the patches
_SMALL = 384  # the width of which both 6 and 12 heads were published


def load_pretrained_backbone(model: ViTPoseForPoseEstimation, path: str | Path, *, weights: str | None = None) -> None:
    """Start the backbone of `model` from the checkpoint of a plain ViT, such as MAE or DINOv2, in place.

    Patch kernels are zero-padded to the model's patch size, the position grid is resized (bicubic) to the model's with
    the class token's row kept as row 0, and LayerScale is folded into the projections before it.

    The backbone of a whole pose model is taken too, and a warning says that its heads are not.

    Args:
        model: The model; its decoder, and a knowledge token, stay as they are.
        path: A `.safetensors` file, a folder that holds `model.safetensors`, or a file that `torch.save` wrote.
        weights: Which weights of the file, where it has several sets: an entry or a prefix, such as
            `"ema_state_dict"`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint of a plain ViT, is of another width or depth than the model, or has
            missing or unexpected tensors; the message names them.
    """
    content = read_checkpoint(path)
    with at_place(str(path)):
        found = find_weights(content, choice=weights)
        _start_backbone(model, found, _backbone_weights(found), grid=_own_grid(Path(path)))


def pose_model_from_backbone(
    found: Found,
    *,
    datasets: Sequence[str | KeypointSchema],
    image_size: tuple[int, int],
    num_attention_heads: int | None,
) -> ViTPoseForPoseEstimation:
    """A pose model whose backbone starts from pre-training and whose heads, and experts, are all new or alike."""
    weights = _backbone_weights(found)
    width = next(len(weights[name]) for name in (PATCH_KERNEL, FIRST_NORM) if name in weights)
    is_dinov2 = any("layer_scale" in to_ours(name, found.layout.rows) for name in found.weights)
    num_attention_heads = num_attention_heads or (width // 64 if is_dinov2 else None)
    config = ViTPoseConfig.from_preset(
        "base",
        datasets=datasets[:1],
        image_size=image_size,
        hidden_size=width,
        **block_sizes(weights, width),
        **published_heads(width, num_attention_heads, default=1),
    )
    model = ViTPoseForPoseEstimation(config)
    _start_backbone(model, found, weights)
    published_heads(width, num_attention_heads)  # asked only once the rest is known to fit
    if width == _SMALL and num_attention_heads is None:
        logger.warning(
            "12 attention heads are taken, as ViTPose-S has them, which the file does not say. The small models of "
            "DeiT, DINO and timm have 6: num_attention_heads, or --num-attention-heads on the command line."
        )
    logger.warning("The file has a backbone alone: the heads start from random weights, to be trained.")
    return model if len(datasets) == 1 else ViTPoseForPoseEstimation.from_dense(model, datasets=datasets)


def _start_backbone(
    model: ViTPoseForPoseEstimation, found: Found, weights: StateDict, *, grid: tuple[int, int] | None = None
) -> None:
    """Load the weights of a backbone into that of a model; `grid` is that of their position table, where known."""
    weights = dict(weights)
    target = {name: value for name, value in model.backbone.state_dict().items() if ".knowledge." not in name}
    if POSITIONS in weights:
        weights[POSITIONS] = _resized(
            weights[POSITIONS], grid or _grid(weights[POSITIONS], found), model.backbone.config.grid_size
        )
    if PATCH_KERNEL in weights and weights[PATCH_KERNEL].ndim == 4:
        weights[PATCH_KERNEL] = pad_patch_kernel(weights[PATCH_KERNEL], target[PATCH_KERNEL].shape[-2:])
    refuse_differences(
        weights,
        target,
        found,
        name_in_file=lambda name: joined_name(to_theirs(found.layout.backbone + name, found.layout.rows)),
        remedy="Choose the preset, and the options of the backbone, that the checkpoint was made with.",
    )
    weights = {name: value.to(target[name].dtype) for name, value in weights.items()}
    model.backbone.load_state_dict(weights, strict=False)  # whole but for a knowledge token


def _backbone_weights(found: Found) -> StateDict:
    """The tensors of a backbone under the names of `ViTPoseBackbone`, in float32."""
    theirs = {name: value.float() for name, value in without_leftovers(found).items()}
    ours = all_to_ours(theirs, found.layout.rows)
    if found.layout.has_heads:
        logger.warning("The file has a whole pose model, whose heads are left out here; vitpose convert keeps them.")
        ours = {name.removeprefix("backbone."): v for name, v in ours.items() if name.startswith("backbone.")}
    return fold_layer_scale(ours)


def _own_grid(path: Path) -> tuple[int, int] | None:
    """(rows, columns) of the position table where a config says so: that of a backbone or a masked-image model."""
    folder = path if path.is_dir() else path.parent
    file = folder / "config.json"
    kind = read_json(file).get("model_type") if file.is_file() else None
    if kind in BACKBONE_MODEL_TYPES:
        return ViTPoseBackboneConfig.from_pretrained(folder).grid_size
    if kind == ViTPoseMaskedImageModelingConfig.model_type:
        return ViTPoseMaskedImageModelingConfig.from_pretrained(folder).backbone_config.grid_size
    return None


def _grid(positions: torch.Tensor, found: Found) -> tuple[int, int]:
    """(rows, columns) of a position table: a square, as in pre-training, or 4 : 3, as crops of people are."""
    tokens = [value.shape[1] for name, value in found.weights.items() if re.search(_TOKENS, name)]
    rows = positions.shape[1]
    for extra in (1, 0, sum(tokens)):  # most have a row for the class token; some for the further tokens as well
        grid = (square_grid(rows - extra) or implied_grid(rows - extra)) if rows > extra else None
        if grid:
            return grid
    raise ValueError(f"expected a position table of 1 + n * n rows, or of a 4 : 3 grid, got {tuple(positions.shape)}.")


def _resized(positions: torch.Tensor, grid: tuple[int, int], to_grid: tuple[int, int]) -> torch.Tensor:
    """A position table for another grid. Its row 0 is that of the class token, or zeros where there is none."""
    patches = positions[:, -math.prod(grid) :]
    class_row = positions[:, :1] if patches.shape != positions.shape else torch.zeros_like(positions[:, :1])
    return resize_positions(torch.cat([class_row, patches], dim=1), from_grid=grid, to_grid=to_grid)
