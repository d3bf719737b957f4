"""Checkpoints in other projects' layouts, to and from ours: the authors' release, mmpose, transformers, backbones.

Everything that can be is read from the tensors: width, depth, patch, decoder, experts, `part_features`. The rest is an
argument: the keypoints of the heads, and the resolution where the position table leaves it open. Every tensor of a file
is either used or named.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from vitpose.base.errors import at_place
from vitpose.base.files import WEIGHT_FILES, read_json
from vitpose.base.names import first_of
from vitpose.base.published import ANY, resolve_model

from ..configuration_vitpose import STOCK_MODEL_TYPE, ViTPoseConfig
from ..keypoint_schemas import KeypointSchema
from ..modeling_vitpose import ViTPoseForPoseEstimation
from .checkpoint_files import read_checkpoint
from .differences import refuse_differences, refuse_missing
from .equivalents import fold_layer_scale, implied_grid, with_class_row, with_counters, without_class_row
from .implied_config import (
    RELEASED_LAYER_NORM_EPS,
    essential_names,
    head_schemas,
    implied_config,
    implied_image_size,
    provisional_config,
    published_heads,
)
from .layouts import AUTHORS, MMPOSE, PATCH_KERNEL, POSITIONS, TRANSFORMERS
from .leftovers import of_one_dataset, without_leftovers
from .names import Row, StateDict, all_to_ours, join_qkv, joined_name, to_theirs
from .noted_keypoints import noted_schema
from .pretrained_backbones import pose_model_from_backbone
from .recognition import Found, find_weights

logger = logging.getLogger(__name__)

STOCK_LAYER_NORM_EPS = 1e-12
_POSITIONS, _KERNEL = f"backbone.{POSITIONS}", f"backbone.{PATCH_KERNEL}"


def convert_checkpoint(
    source: str | Path,
    *,
    datasets: Sequence[str | KeypointSchema] | None = None,
    image_size: tuple[int, int] | None = None,
    num_attention_heads: int | None = None,
    weights: str | None = None,
) -> ViTPoseForPoseEstimation:
    """A model from a checkpoint of any known layout; docs/checkpoints.md lists them.

    Args:
        source: A file of weights, or a folder or Hub id in transformers' or our own format. From a file with a backbone
            alone, such as MAE or DINOv2, the heads start from random weights.
        datasets: Names of keypoint schemas, or schemas, one for each head. Inferred where the file names its keypoints
            (mmpose 1.x), has only 17 (COCO), or the six datasets of the ViTPose++ release.
        image_size: (height, width) of the crops in pixels. If None, it follows from the position table, which must be
            of a 4 : 3 grid; models that start from a backbone get 256 by 192.
        num_attention_heads: Inferred for the published widths.
        weights: Which weights of the file, where it has several sets: an entry or a prefix of the names, such as
            `"ema_state_dict"`. If None, those that programs load of themselves, such as `state_dict`.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: `datasets` is a single name.
        ValueError: A tensor is missing, unexpected or of another shape, or an argument does not fit the file.
    """
    if isinstance(datasets, str):
        raise TypeError(f"datasets: expected a list of names such as [{datasets!r}], got the string {datasets!r}.")
    source = _as_folder(resolve_model(str(source), ANY))
    if not Path(source).is_file():
        if any(argument is not None for argument in (datasets, image_size, num_attention_heads, weights)):
            raise ValueError(f"The config of {source} says what the model is: leave the other arguments out.")
        _check_has_config(Path(source))
        return ViTPoseForPoseEstimation.from_pretrained(source)
    content = read_checkpoint(source)
    with at_place(source):
        found = find_weights(content, choice=weights)
        if found.layout.has_heads:
            noted = noted_schema(content) if datasets is None else None
            return _pose_model(found, datasets, image_size, num_attention_heads, noted)
        return pose_model_from_backbone(
            found,
            datasets=datasets or ["coco"],
            image_size=image_size or (256, 192),
            num_attention_heads=num_attention_heads,
        )


def from_state_dict(
    weights: StateDict,
    *,
    datasets: Sequence[str | KeypointSchema] | None = None,
    image_size: tuple[int, int] | None = None,
    num_attention_heads: int | None = None,
) -> ViTPoseForPoseEstimation:
    """A model from the state dict of a pose model in any known layout; see `convert_checkpoint`.

    A file that was split off ViTPose++ for one dataset may still hold experts and heads of the others: they are left
    out, and the log names them. Heads with more channels than their dataset has keypoints, as in the ViTPose++ release,
    keep the first.
    """
    return _pose_model(find_weights(weights), datasets, image_size, num_attention_heads)


def to_authors(model: ViTPoseForPoseEstimation) -> StateDict:
    """The state dict of a model under the names of the authors' release.

    With experts, every further head has as many channels as the largest, zero beyond its own, as in that release.

    Raises:
        ValueError: The model has parts that the authors' code does not.
    """
    _check_is_plain(model, "The authors' code")
    num_experts, num_heads = model.config.backbone_config.num_experts, len(model.config.keypoint_schemas)
    if num_heads == 1 and num_experts > 1:
        raise ValueError("The authors' format has a head for each expert, this model has one: fold_experts first.")
    weights = _renamed(model.state_dict(), AUTHORS.names(num_heads))
    return _with_equal_heads(weights) if num_experts > 1 else weights


def to_mmpose(model: ViTPoseForPoseEstimation) -> StateDict:
    """The state dict of a model under the names of mmpose 1.x, for its `td-hm_ViTPose` configs.

    Raises:
        ValueError: The model has parts that mmpose's does not, such as experts or heads of several datasets.
    """
    _check_is_plain(model, "mmpose")
    if len(model.config.keypoint_schemas) > 1 or model.config.backbone_config.num_experts > 1:
        raise ValueError("mmpose 1.x has a ViTPose of one dataset alone: fold_experts, or --fold, gives such a model.")
    weights = _renamed(model.state_dict(), MMPOSE.names())
    return {**weights, "backbone.pos_embed": without_class_row(weights["backbone.pos_embed"])}


def describe(model: ViTPoseForPoseEstimation) -> str:
    """Summarize a model in a line: its size, crops, decoder, experts and keypoints."""
    config, backbone = model.config, model.config.backbone_config
    heads = ", ".join(f"{schema['name']} ({len(schema['keypoints'])})" for schema in config.keypoint_schemas)
    experts = f", {backbone.num_experts} experts" if backbone.num_experts > 1 else ""
    decoder = "simple" if config.use_simple_decoder else "classic"
    size = f"{model.num_parameters() / 1e6:.1f} M parameters, crops of {' x '.join(map(str, config.image_size))}"
    return f"{size}, {decoder} decoder{experts}; keypoints of {heads}"


def _as_folder(source: str) -> str:
    """The folder of a pose model for its file of weights, whose config lies beside it; another source as it is."""
    config = Path(source).parent / "config.json"
    is_file_of_model = Path(source).name in ("model.safetensors", "pytorch_model.bin") and config.is_file()
    own_types = (STOCK_MODEL_TYPE, ViTPoseConfig.model_type)
    return str(config.parent) if is_file_of_model and read_json(config).get("model_type") in own_types else source


def _check_has_config(source: Path) -> None:
    """Refuse a folder that is no saved model, such as that of a training run: one of its files may be meant."""
    if source.is_dir() and not (source / "config.json").is_file():
        files = sorted(path.name for path in source.iterdir() if path.suffix in WEIGHT_FILES)
        raise ValueError(
            f"{source} has no config.json, as the folder of a model has. "
            + (f"Name the file of weights: {first_of(files)}." if files else "Check the path.")
        )


def _pose_model(
    found: Found,
    datasets: Sequence[str | KeypointSchema] | None,
    image_size: tuple[int, int] | None,
    num_attention_heads: int | None,
    noted: KeypointSchema | None = None,
) -> ViTPoseForPoseEstimation:
    """The model of recognized weights. What a file does not say is asked for only once the rest is known to fit."""
    theirs = of_one_dataset(without_leftovers(found), None if datasets is None else len(datasets))
    table = found.layout.names(found.layout.num_heads(theirs))

    def name_in_file(name: str) -> str:
        return joined_name(to_theirs(name, table))

    weights = with_counters(fold_layer_scale(all_to_ours(theirs, table)))
    refuse_missing([name_in_file(name) for name in essential_names(weights) if name not in weights], found)
    if found.layout is MMPOSE:
        weights[_POSITIONS] = _mmpose_positions(weights, image_size)
    refuse_differences(weights, _empty(provisional_config(weights)).state_dict(), found, name_in_file=name_in_file)
    config = implied_config(
        weights,
        schemas=head_schemas(weights, datasets, noted),
        image_size=image_size or implied_image_size(weights),
        heads=published_heads(len(weights[_KERNEL]), num_attention_heads),
        layer_norm_eps=STOCK_LAYER_NORM_EPS if found.layout is TRANSFORMERS else RELEASED_LAYER_NORM_EPS,
    )
    model, weights = _empty(config), _without_spare_channels(weights, config)
    refuse_differences(weights, model.state_dict(), found, name_in_file=name_in_file)
    model.load_state_dict({name: value.clone() for name, value in weights.items()}, assign=True)
    return model.eval()


def _empty(config: ViTPoseConfig) -> ViTPoseForPoseEstimation:
    """A model of names and shapes alone."""
    with torch.device("meta"):
        return ViTPoseForPoseEstimation(config)


def _without_spare_channels(weights: StateDict, config: ViTPoseConfig) -> StateDict:
    """Further heads of the ViTPose++ release without the channels that are no keypoints of their dataset."""
    kept = dict(weights)
    for number, schema in enumerate(config.keypoint_schemas):
        for name in (f"heads.{number}.conv.weight", f"heads.{number}.conv.bias"):
            kept |= {name: kept[name][: len(schema["keypoints"])]} if name in kept else {}
    return kept


def _mmpose_positions(weights: StateDict, image_size: tuple[int, int] | None) -> torch.Tensor:
    """The position table of an mmpose model with a row 0 of zeros; mmpose itself ignores a class token's row there."""
    positions, patch = weights[_POSITIONS], weights[_KERNEL].shape[-2:]
    rows = positions.shape[1]
    if image_size:
        num_patches = (image_size[0] // patch[0]) * (image_size[1] // patch[1])
    else:
        num_patches = rows - 1 if implied_grid(rows - 1) else rows
    return with_class_row(positions[:, 1:] if rows == num_patches + 1 else positions)


def _check_is_plain(model: ViTPoseForPoseEstimation, whose: str) -> None:
    if not model.config.backbone_config.is_stock:
        raise ValueError(
            f"{whose} has no window attention, overlapping patches, ViTAE blocks, knowledge token, or experts other "
            "than partially shared ones: a model with these cannot be written in its format."
        )


def _renamed(weights: StateDict, table: Sequence[Row]) -> StateDict:
    """Copies of a model's tensors under the names of another project."""
    return join_qkv({to_theirs(name, table): value.detach().clone() for name, value in weights.items()})


def _with_equal_heads(weights: StateDict) -> StateDict:
    """Further heads filled up with zeros to the channels of the largest."""
    last = {name for name in weights if re.search(r"^associate_keypoint_heads\.\d+\.final_layer\.", name)}
    most = max(len(weights[name]) for name in last | {"keypoint_head.final_layer.bias"})
    padded = {}
    for name, value in weights.items():
        extra = most - len(value) if name in last else 0
        padded[name] = torch.cat([value, value.new_zeros(extra, *value.shape[1:])]) if extra else value
    return padded
