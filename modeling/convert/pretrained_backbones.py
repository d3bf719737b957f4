"""Initial weights for the backbone from DINOv2 and MAE checkpoints (ViTPose paper, section 3.3).

Each format is a table of renamings; what remains after it must match the backbone exactly, or an error names the keys.
Formats: DINOv2 as transformers' `Dinov2Model` names it, MAE as transformers' `ViTMAEModel` and `ViTMAEForPreTraining`
name it, MAE as its authors published it, and our own `ViTPoseForMaskedImageModeling`.
"""

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional as F

from vitpose.base.files import read_json

from ..configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from ..modeling_vitpose import ViTPoseForPoseEstimation
from ..positions_vitpose import resize_positions
from .names import MAE_NAMES, StateDict, split_qkv, to_ours

POSITIONS = "embeddings.position_embeddings"
PATCH_KERNEL = "embeddings.patch_embeddings.projection.weight"
_MASKED_IMAGE_MODEL = "decoder.position_embeddings"  # a name that only our own masked-image models have

# Parts of a pre-training checkpoint that a pose backbone has no use for; class tokens, mask tokens, MAE's decoder.
_UNUSED = re.compile(r"(embeddings\.)?(cls_token|mask_token|register_tokens)$|decoder[._]|head\.|fc_norm\.")

_TRANSFORMERS_NAMES = [
    (r"^(vit|dinov2)\.", ""),
    # files carry transformers' older names; a state dict taken from a module of version 5 has newer ones
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(layer\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
]


def load_pretrained_backbone(model: ViTPoseForPoseEstimation, path: str | Path) -> None:
    """Start the backbone of `model` from a DINOv2 or MAE checkpoint, in place.

    Patch kernels are zero-padded to the model's patch size, the position grid is resized (bicubic) to the model's with
    the class token's row kept as row 0, and DINOv2's LayerScale is folded into the projections before it.

    Args:
        model: The model; its decoder, and a knowledge token, stay as they are.
        path: A `.safetensors` file, a folder that holds `model.safetensors`, or a `.pth` file of tensors alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds more than tensors, is of another width or depth than the model, or has missing or
            unexpected keys; the message names them.
    """
    weights = convert_backbone_weights(read_weights(path))
    target = {key: value for key, value in model.backbone.state_dict().items() if ".knowledge." not in key}
    if POSITIONS in weights:
        from_grid = _own_grid(Path(path)) or _square_grid(weights[POSITIONS])
        to_grid = model.backbone.config.grid_size
        weights[POSITIONS] = resize_positions(weights[POSITIONS], from_grid=from_grid, to_grid=to_grid)
    if PATCH_KERNEL in weights:
        weights[PATCH_KERNEL] = pad_patch_kernel(weights[PATCH_KERNEL], target[PATCH_KERNEL].shape[-2:])
    problems = key_problems(weights, target)
    if problems:
        raise ValueError(
            f"{path} does not fit the model's backbone. {problems} Choose the preset, and the options of the backbone, "
            "that the checkpoint was made with."
        )
    weights = {key: value.to(target[key].dtype) for key, value in weights.items()}
    model.backbone.load_state_dict(weights, strict=False)  # whole but for a knowledge token


def read_weights(path: str | Path) -> StateDict:
    """The tensors of a checkpoint file, by name; never runs code stored in the file."""
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"No checkpoint at {file}: expected a .safetensors or .pth file, or a folder with one.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, SafetensorError) as error:  # of torch and safetensors, about broken files
        raise ValueError(f"{file} cannot be read as a checkpoint: {error}. Get or save it again.") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file} holds more than tensors, and reading that would run code from the file: {error}. Save its state "
            "dict alone, where you trust the file: torch.save({'state_dict': ...}, path)."
        ) from error
    weights = content.get("model", content.get("state_dict", content)) if isinstance(content, dict) else content
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{file}: expected a state dict, alone or under 'model' or 'state_dict', got other content.")
    return weights


def convert_backbone_weights(weights: StateDict) -> StateDict:
    """Rename a DINOv2 or MAE state dict to the names of `ViTPoseBackbone`, in float32."""
    weights = {key: value.float() for key, value in weights.items()}
    if any(key.startswith("blocks.") for key in weights):
        weights = {to_ours(key, MAE_NAMES): value for key, value in split_qkv(weights).items()}
    elif _MASKED_IMAGE_MODEL in weights:
        weights = {key.removeprefix("backbone."): value for key, value in weights.items()}
    else:
        weights = {_from_transformers(key): value for key, value in weights.items()}
    weights = {key: value for key, value in weights.items() if not _UNUSED.match(key)}
    return _fold_layer_scale(weights)


def _own_grid(path: Path) -> tuple[int, int] | None:
    """(rows, columns) of the position table of one of our own masked-image models; None for other checkpoints."""
    folder = path if path.is_dir() else path.parent
    file = folder / "config.json"
    if not file.is_file() or read_json(file).get("model_type") != "vitpose_mim":
        return None
    return ViTPoseMaskedImageModelingConfig.from_pretrained(folder).backbone_config.grid_size


def _square_grid(positions: torch.Tensor) -> tuple[int, int]:
    """(rows, columns) of a (1, 1 + n * n, C) position table: published pre-training is done on square images."""
    side = math.isqrt(positions.shape[1] - 1)
    if side * side != positions.shape[1] - 1:
        raise ValueError(f"Expected a position table of 1 + n * n rows, got shape {tuple(positions.shape)}.")
    return side, side


def pad_patch_kernel(kernel: torch.Tensor, size: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Surround a (C, 3, h, w) patch kernel with zeros to (C, 3, *size), as the released ViTPose-H does."""
    rows, columns = size[0] - kernel.shape[2], size[1] - kernel.shape[3]
    if min(rows, columns) < 0 or rows % 2 or columns % 2:
        raise ValueError(
            f"A patch kernel of {tuple(kernel.shape[2:])} pixels cannot be padded evenly to {tuple(size)}: "
            "choose a patch_size that is larger by an even number."
        )
    return F.pad(kernel, (columns // 2, columns // 2, rows // 2, rows // 2))


def _from_transformers(key: str) -> str:
    """Our name of a parameter of transformers' DINOv2 or MAE: each substitution in turn."""
    for pattern, replacement in _TRANSFORMERS_NAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _fold_layer_scale(weights: StateDict) -> StateDict:
    """Multiply each LayerScale vector into the projection before it: scale * (W x + b) = (scale W) x + scale b."""
    folded = dict(weights)
    for key in weights:
        match = re.match(r"(.*)\.layer_scale([12])\.lambda1$", key)
        if match is None:
            continue
        scale = folded.pop(key)
        projection = f"{match[1]}.attention.output.dense" if match[2] == "1" else f"{match[1]}.mlp.fc2"
        folded[f"{projection}.weight"] = folded[f"{projection}.weight"] * scale[:, None]
        folded[f"{projection}.bias"] = folded[f"{projection}.bias"] * scale
    return folded


def key_problems(found: StateDict, wanted: StateDict, *, name_in_file: Callable[[str], str] = str) -> str:
    """Missing and unexpected keys and shapes of a state dict, as a message; empty if it fits the model.

    Args:
        found: The tensors of a file, under the model's names.
        wanted: The model's own.
        name_in_file: Gives the name in the file of a name of the model, for the message.
    """
    missing = sorted({name_in_file(key) for key in wanted.keys() - found.keys()})
    unexpected = sorted({name_in_file(key) for key in found.keys() - wanted.keys()})
    misshapen = [
        f"{name_in_file(key)}: {tuple(found[key].shape)} in the file, {tuple(wanted[key].shape)} in the model"
        for key in sorted(found.keys() & wanted.keys())
        if found[key].shape != wanted[key].shape
    ]
    if not (missing or unexpected or misshapen):
        return ""
    return (
        f"Missing keys: {missing or 'none'}. Unexpected keys: {unexpected or 'none'}. Other shapes: "
        f"{misshapen or 'none'}."
    )
