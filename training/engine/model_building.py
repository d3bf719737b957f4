"""From a recipe to a model with its initial weights."""

import json
import logging
from pathlib import Path
from typing import Any

import torch

from vitpose.base.bundled import resolve_model
from vitpose.modeling.configuration_vitpose import STOCK_MODEL_TYPE, ViTPoseConfig
from vitpose.modeling.configuration_vitpose_backbone import ViTPoseBackboneConfig
from vitpose.modeling.convert.pretrained_backbones import load_pretrained_backbone
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation

from ..config.recipe import Recipe
from .distillation import check_keypoints, check_same_maps, copy_token

logger = logging.getLogger(__name__)


def build_config(recipe: Recipe, *, knowledge_token_size: int | None = None) -> ViTPoseConfig:
    """The model's configuration as the recipe describes it, with a knowledge token of some width or without one."""
    chosen: dict[str, Any] = {
        "num_hidden_layers": recipe.model.num_hidden_layers,
        "num_attention_heads": recipe.model.num_attention_heads,
        "patch_stride": recipe.model.patch_stride,
        "attention_kind": recipe.model.attention_kind,
        "window_size": recipe.model.window_size,
        "drop_path_rate": recipe.model.drop_path_rate,
        "image_size": (recipe.model.image_height, recipe.model.image_width) if recipe.model.image_height else None,
        "knowledge_token_size": knowledge_token_size,
    }
    schemas = recipe.keypoint_schemas
    if len(schemas) > 1:
        alone = recipe.model.experts == "none"
        chosen |= {"num_experts": 1} if alone else {"expert_kind": recipe.model.experts}
    return ViTPoseConfig.from_preset(
        recipe.model.preset,
        datasets=schemas,
        decoder=recipe.model.decoder,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def build_model(recipe: Recipe, teacher: ViTPoseForPoseEstimation | None = None) -> ViTPoseForPoseEstimation:
    """The model with its initial weights, and what of it the recipe freezes.

    A position table for crops of another size is resized. A knowledge token, from the teacher or from `init_from`, is
    frozen, unless it is what the recipe learns.

    Raises:
        ValueError: `init_from` is a pose model of another architecture or other keypoints than the recipe's, or the
            teacher's crops or heatmaps are of another size.
    """
    torch.manual_seed(recipe.run.seed)
    config = build_config(recipe, knowledge_token_size=_knowledge_token_size(recipe, teacher))
    model = _with_initial_weights(config, recipe)
    if teacher is not None:
        check_same_maps(teacher.config, config)
    if teacher is not None and recipe.transfer.distillation != "output":
        copy_token(teacher, model)
    if recipe.transfer.freeze != "none":
        model.freeze(recipe.transfer.freeze)
    if recipe.run.task == "knowledge_token":
        model.freeze_all_but_token()
    elif _backbone(config).knowledge_token_size:
        model.backbone.embeddings.knowledge.token.requires_grad_(False)
    return model


def _backbone(config: ViTPoseConfig) -> ViTPoseBackboneConfig:
    return config.backbone_config


def _knowledge_token_size(recipe: Recipe, teacher: ViTPoseForPoseEstimation | None) -> int | None:
    """Width of the model's knowledge token: the teacher's, or that of the model the weights come from."""
    if recipe.run.task == "knowledge_token":
        return _backbone(build_config(recipe)).hidden_size
    if teacher is not None and recipe.transfer.distillation != "output":
        return _backbone(teacher.config).knowledge_token_size
    source = resolve_model(recipe.transfer.init_from)
    if source == "none" or _is_backbone_checkpoint(source):
        return None
    return _backbone(ViTPoseConfig.from_pretrained(source)).knowledge_token_size


def _with_initial_weights(config: ViTPoseConfig, recipe: Recipe) -> ViTPoseForPoseEstimation:
    if recipe.transfer.init_from == "none":
        return ViTPoseForPoseEstimation(config)
    source = resolve_model(recipe.transfer.init_from)
    if _is_backbone_checkpoint(source):
        if recipe.run.task == "knowledge_token":
            raise ValueError(f"init_from {source}: expected a trained pose model, the teacher, got a backbone alone.")
        model = ViTPoseForPoseEstimation(config)
        load_pretrained_backbone(model, source)
        return model
    found = ViTPoseConfig.from_pretrained(source)
    if recipe.run.task == "knowledge_token":
        check_keypoints(found, recipe, source=f"init_from {source}")
    if config.num_datasets > 1 and found.num_datasets == 1:
        return _with_dense_weights(config, recipe, source)
    if found.num_datasets > 1 and config.num_datasets == 1:
        raise ValueError(
            f"init_from {source} is a model of {found.num_datasets} datasets, the recipe has one. Take the part of it "
            f"that you want first: vitpose convert {source} --fold DATASET --out DIR."
        )
    if found.num_datasets == config.num_datasets == 1 and _keypoints(found) != _keypoints(config):
        return _with_other_keypoints(config, source)
    _check_same_architecture(found, config, source)
    image_size = config.image_size
    config.set_image_size(found.image_size)
    model = ViTPoseForPoseEstimation.from_pretrained(source, config=config, dtype=torch.float32)
    model.resize_position_embeddings(image_size)
    return model


def _with_other_keypoints(config: ViTPoseConfig, source: str) -> ViTPoseForPoseEstimation:
    """A model that starts from one of other keypoints: what its head knows of keypoints of the same name stays."""
    old = ViTPoseForPoseEstimation.from_pretrained(source, dtype=torch.float32)
    (theirs,), (ours,) = _keypoints(old.config), _keypoints(config)
    old.resize_position_embeddings(config.image_size)
    _check_same_architecture(old.config, config, source, keypoints=False)
    model = ViTPoseForPoseEstimation(config)
    pairs = [(place, theirs.index(name)) for place, name in enumerate(ours) if name in theirs]
    weights = model.state_dict()
    for name, value in old.state_dict().items():
        if name.startswith("head.conv."):  # a row for each keypoint
            for place, their_place in pairs:
                weights[name][place].copy_(value[their_place])
        else:
            weights[name].copy_(value)
    logger.info("%d of %d keypoints start from those of the same name in %s", len(pairs), len(ours), source)
    return model


def _with_dense_weights(config: ViTPoseConfig, recipe: Recipe, source: str) -> ViTPoseForPoseEstimation:
    """A model of several datasets that starts from one of a single dataset (released code of ViTPose++)."""
    if recipe.model.experts == "none":
        raise ValueError(
            f"init_from {source} is a model of one dataset: with experts 'none' heads cannot start from it. Give "
            "another kind of experts, or a backbone's checkpoint."
        )
    dense = ViTPoseForPoseEstimation.from_pretrained(source, dtype=torch.float32)
    dense.resize_position_embeddings(config.image_size)
    model = ViTPoseForPoseEstimation.from_dense(
        dense, datasets=recipe.keypoint_schemas, expert_kind=recipe.model.experts
    )
    _check_same_architecture(model.config, config, source)
    return model


def _is_backbone_checkpoint(source: str) -> bool:
    """Whether `source` is a file of weights, or a folder that does not hold a pose model."""
    path = Path(source)
    config = path / "config.json"
    if path.is_file() or not path.is_dir():
        return path.is_file()
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    return kind not in (STOCK_MODEL_TYPE, ViTPoseConfig.model_type)


def _check_same_architecture(
    found: ViTPoseConfig, wanted: ViTPoseConfig, source: str, *, keypoints: bool = True
) -> None:
    fields = (
        "patch_size",
        "patch_stride",
        "attention_kind",
        "window_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "mlp_ratio",
    )
    pairs = [(name, getattr(found.backbone_config, name), getattr(wanted.backbone_config, name)) for name in fields]
    pairs.append(("use_simple_decoder", found.use_simple_decoder, wanted.use_simple_decoder))
    if wanted.num_datasets > 1:
        names = ("num_experts", "expert_kind", "part_features")
        pairs += [(name, getattr(found.backbone_config, name), getattr(wanted.backbone_config, name)) for name in names]
    theirs, ours = (_backbone(config).knowledge_token_size for config in (found, wanted))
    pairs += [("knowledge_token_size", theirs, ours)] if theirs else []  # without one, a fresh one is added
    if keypoints:
        pairs.append(("keypoints", _keypoints(found), _keypoints(wanted)))
    different = [f"{name} {theirs} there, {ours} in the recipe" for name, theirs, ours in pairs if theirs != ours]
    if different:
        raise ValueError(f"init_from {source} is another model than the recipe's: {'; '.join(different)}.")


def _keypoints(config: ViTPoseConfig) -> list[list[str]]:
    return [schema["keypoints"] for schema in config.keypoint_schemas]
