"""Checkpoints of the authors' release, to and from ours: plain, multi-task, and ViTPose++ with all experts and heads.

Everything that can be is read from the tensors: width, depth, patch, decoder, experts, `part_features`. The rest is an
argument: the datasets of the heads, and the resolution where the position table leaves it open. Every key of a file is
either used or named. MAE and DINOv2 files, which have no heads, are read by `pretrained_backbones`.
"""

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..configuration_vitpose import PRESETS, RELEASED_DATASETS, ViTPoseBackboneConfig, ViTPoseConfig
from ..keypoint_schemas import KeypointSchema, get_keypoint_schema
from ..modeling_vitpose import ViTPoseForPoseEstimation
from .names import StateDict, join_qkv, joined_name, split_qkv, to_ours, to_theirs, vitpose_names
from .pretrained_backbones import key_problems, load_pretrained_backbone, read_weights

logger = logging.getLogger(__name__)

RELEASED_LAYER_NORM_EPS = 1e-6
ASPECT = (4, 3)  # height to width of every released resolution but the square ones


def convert_checkpoint(
    source: str | Path,
    *,
    datasets: Sequence[str | KeypointSchema] | None = None,
    image_size: tuple[int, int] | None = None,
    num_attention_heads: int | None = None,
) -> ViTPoseForPoseEstimation:
    """A model from a checkpoint of any known format.

    Args:
        source: A file of the authors' release, of MAE or DINOv2 (the heads then start from random weights), or a folder
            or Hub id in transformers' or our own format.
        datasets: Names of keypoint schemas, or schemas, one for each head. Inferred in transformers' and our own
            format, where the file has only 17 keypoints (COCO), or the six datasets of the ViTPose++ release.
        image_size: (height, width) of the crops in pixels. If None, it follows from the authors' position table, which
            must be 4 : 3; models that start from MAE or DINOv2 get 256 by 192.
        num_attention_heads: Inferred for the published widths.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A key is missing, unexpected or of another shape, or an argument does not fit the file.
    """
    if not Path(source).is_file():
        if Path(source).suffix in (".pth", ".pt", ".safetensors"):
            raise FileNotFoundError(f"There is no file {source}.")
        if any(argument is not None for argument in (datasets, image_size, num_attention_heads)):
            raise ValueError(f"The config of {source} says what the model is: leave the other arguments out.")
        return ViTPoseForPoseEstimation.from_pretrained(source)
    weights = read_weights(source)
    if "backbone.pos_embed" in weights:
        return from_authors(weights, datasets=datasets, image_size=image_size, num_attention_heads=num_attention_heads)
    return _from_pretraining(
        source,
        weights,
        datasets=datasets or ["coco"],
        image_size=image_size or (256, 192),
        num_attention_heads=num_attention_heads,
    )


def from_authors(
    weights: StateDict,
    *,
    datasets: Sequence[str | KeypointSchema] | None = None,
    image_size: tuple[int, int] | None = None,
    num_attention_heads: int | None = None,
) -> ViTPoseForPoseEstimation:
    """A model from the state dict of the authors' release; arguments and errors as for `convert_checkpoint`.

    A file that was split off ViTPose++ for one dataset may still hold experts and heads of the others: they are left
    out, and the log names them. Heads with more channels than their dataset has keypoints, as in the ViTPose++ release,
    keep the first.
    """
    weights = _without_leftovers(weights, datasets)
    schemas = _schemas(weights, datasets)
    config = _config(weights, schemas, image_size, num_attention_heads)
    with torch.device("meta"):
        model = ViTPoseForPoseEstimation(config)
    table = vitpose_names(len(schemas))
    found = {to_ours(name, table): value for name, value in split_qkv(weights).items()}
    for name in [name for name in found if re.match(r"heads\.\d+\.conv\.", name)]:
        found[name] = found[name][: schemas[int(name.split(".")[1])].num_keypoints]
    problems = key_problems(found, model.state_dict(), name_in_file=lambda name: joined_name(to_theirs(name, table)))
    if problems:
        raise ValueError(f"The file is no ViTPose checkpoint that this can read. {problems}")
    model.load_state_dict({name: value.clone() for name, value in found.items()}, assign=True)
    return model.eval()


def to_authors(model: ViTPoseForPoseEstimation) -> StateDict:
    """The state dict of a model under the names of the authors' release.

    With experts, every further head has as many channels as the largest, zero beyond its own, as in that release.

    Raises:
        ValueError: The model has parts that the authors' code does not.
    """
    backbone = model.config.backbone_config
    if not backbone.is_stock:
        raise ValueError(
            "The authors' code has no window attention, overlapping patches, ViTAE blocks, knowledge token, or experts "
            "other than partially shared ones: a model with these cannot be written in its format."
        )
    if len(model.config.keypoint_schemas) == 1 and backbone.num_experts > 1:
        raise ValueError("The authors' format has a head for each expert, this model has one: fold_experts first.")
    table = vitpose_names(len(model.config.keypoint_schemas))
    weights = {to_theirs(name, table): value.detach().clone() for name, value in model.state_dict().items()}
    weights = join_qkv(weights)
    return _with_equal_heads(weights) if backbone.num_experts > 1 else weights


def describe(model: ViTPoseForPoseEstimation) -> str:
    """Summarize a model in a line: its size, crops, decoder, experts and keypoints."""
    config, backbone = model.config, model.config.backbone_config
    heads = ", ".join(f"{schema['name']} ({len(schema['keypoints'])})" for schema in config.keypoint_schemas)
    experts = f", {backbone.num_experts} experts" if backbone.num_experts > 1 else ""
    decoder = "simple" if config.use_simple_decoder else "classic"
    size = f"{model.num_parameters() / 1e6:.1f} M parameters, crops of {' x '.join(map(str, config.image_size))}"
    return f"{size}, {decoder} decoder{experts}; keypoints of {heads}"


def _from_pretraining(
    source: str | Path,
    weights: StateDict,
    *,
    datasets: Sequence[str | KeypointSchema],
    image_size: tuple[int, int],
    num_attention_heads: int | None,
) -> ViTPoseForPoseEstimation:
    """A pose model whose backbone starts from MAE or DINOv2 and whose heads, and experts, are all new or alike."""
    kernels = [value for value in weights.values() if value.ndim == 4 and value.shape[1] == 3]
    if len(kernels) != 1:
        raise ValueError(
            f"{source} has neither the authors' key 'backbone.pos_embed' nor one patch kernel of shape (C, 3, h, w), "
            f"as MAE and DINOv2 have: its keys start with {sorted(weights)[:5]}."
        )
    width = len(kernels[0])
    if any("layer_scale" in name for name in weights):  # DINOv2
        num_attention_heads = num_attention_heads or width // 64
    config = ViTPoseConfig.from_preset(
        "base",
        datasets=datasets[:1],
        image_size=image_size,
        hidden_size=width,
        num_hidden_layers=len(_numbers(r"(?<!decoder_)(?:blocks|layers?)\.(\d+)\.", weights)),
        **_published(width, num_attention_heads),
    )
    model = ViTPoseForPoseEstimation(config)
    load_pretrained_backbone(model, source)
    return model if len(datasets) == 1 else ViTPoseForPoseEstimation.from_dense(model, datasets=datasets)


def _published(width: int, num_attention_heads: int | None) -> dict[str, Any]:
    """Number of heads and drop-path rate of a width: as published, or for other widths as in the arguments."""
    sizes = {preset["hidden_size"]: preset for name, preset in PRESETS.items() if name != "tiny"}
    if width not in sizes and num_attention_heads is None:
        raise ValueError(
            f"A width of {width} channels is none of the published sizes ({', '.join(map(str, sizes))}): give "
            "num_attention_heads."
        )
    published = sizes.get(width, {})
    return {
        "num_attention_heads": num_attention_heads or published["num_attention_heads"],
        "drop_path_rate": published.get("drop_path_rate", 0.0),
    }


def _without_leftovers(weights: StateDict, datasets: Sequence[str | KeypointSchema] | None) -> StateDict:
    """The keys of one dataset, where the file was split off a model of several."""
    fc2 = weights.get("backbone.blocks.0.mlp.fc2.weight")
    is_whole = fc2 is not None and len(fc2) == weights["backbone.pos_embed"].shape[-1]
    if not is_whole:
        return weights
    left = [name for name in weights if ".mlp.experts." in name]
    if left or (datasets is not None and len(datasets) == 1):
        left += [name for name in weights if name.startswith("associate_keypoint_heads.")]
    if left:
        logger.info("Left out, as this file is of one dataset: %s", ", ".join(sorted(left)))
    return {name: value for name, value in weights.items() if name not in left}


def _schemas(weights: StateDict, datasets: Sequence[str | KeypointSchema] | None) -> list[KeypointSchema]:
    """The schema of each head."""
    further = sorted(_numbers(r"associate_keypoint_heads\.(\d+)\.", weights))
    heads = ["keypoint_head", *(f"associate_keypoint_heads.{number}" for number in further)]
    channels = [len(weights[f"{head}.final_layer.bias"]) for head in heads if f"{head}.final_layer.bias" in weights]
    if datasets is None:
        has_experts = "backbone.blocks.0.mlp.experts.0.weight" in weights
        datasets = RELEASED_DATASETS if has_experts and len(channels) == len(RELEASED_DATASETS) else ["coco"]
        if len(channels) != len(datasets) or (len(channels) == 1 and channels != [17]):
            raise ValueError(
                f"datasets: the file has heads of {channels} channels; name the dataset of each, in order."
            )
    schemas = [get_keypoint_schema(item) if isinstance(item, str) else item for item in datasets]
    wanted = {schema.name: schema.num_keypoints for schema in schemas}
    fits = len(channels) == len(schemas) and all(
        have == want or (index > 0 and have > want)
        for index, (have, want) in enumerate(zip(channels, wanted.values(), strict=False))
    )
    if not fits:
        raise ValueError(f"datasets: got {wanted} (keypoints), the file has heads of {channels} channels, in order.")
    return schemas


def _numbers(pattern: str, weights: StateDict) -> set[int]:
    """The numbers that a pattern finds in the keys."""
    return {int(match[1]) for name in weights if (match := re.search(pattern, name))}


def _config(
    weights: StateDict,
    schemas: list[KeypointSchema],
    image_size: tuple[int, int] | None,
    num_attention_heads: int | None,
) -> ViTPoseConfig:
    """The configuration that the shapes of the tensors imply."""
    positions, kernel = weights["backbone.pos_embed"], weights.get("backbone.patch_embed.proj.weight")
    if kernel is None:
        raise ValueError("Missing key: backbone.patch_embed.proj.weight.")
    width, patch = positions.shape[-1], tuple(kernel.shape[-2:])
    blocks = _numbers(r"backbone\.blocks\.(\d+)\.", weights)
    experts = _numbers(r"\.mlp\.experts\.(\d+)\.weight$", weights)
    options: dict[str, Any] = {"num_experts": max(1, len(experts))}
    if experts:
        options["part_features"] = len(weights["backbone.blocks.0.mlp.experts.0.weight"])
    hidden = weights.get("backbone.blocks.0.mlp.fc1.bias")
    return ViTPoseConfig(
        backbone_config=ViTPoseBackboneConfig(
            image_size=image_size or _image_size(positions.shape[1] - 1, patch),
            patch_size=patch,
            hidden_size=width,
            num_hidden_layers=len(blocks),
            mlp_ratio=4 if hidden is None else len(hidden) // width,
            layer_norm_eps=RELEASED_LAYER_NORM_EPS,
            **options,
            **_published(width, num_attention_heads),
        ),
        use_simple_decoder="keypoint_head.deconv_layers.0.weight" not in weights,
        keypoint_schemas=[schema.to_dict() for schema in schemas],
    )


def _image_size(num_patches: int, patch: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) in pixels of crops whose grid is 4 : 3."""
    unit = math.isqrt(num_patches // math.prod(ASPECT))
    if unit * unit * math.prod(ASPECT) != num_patches:
        raise ValueError(
            f"image_size: {num_patches} patches make no 4 : 3 grid; say the (height, width) of the crops in pixels."
        )
    return ASPECT[0] * unit * patch[0], ASPECT[1] * unit * patch[1]


def _with_equal_heads(weights: StateDict) -> StateDict:
    """Further heads filled up with zeros to the channels of the largest."""
    last = {name for name in weights if re.search(r"^associate_keypoint_heads\.\d+\.final_layer\.", name)}
    most = max(len(weights[name]) for name in last | {"keypoint_head.final_layer.bias"})
    padded = {}
    for name, value in weights.items():
        extra = most - len(value) if name in last else 0
        padded[name] = torch.cat([value, value.new_zeros(extra, *value.shape[1:])]) if extra else value
    return padded
