"""From a recipe to a model with its initial weights."""

from typing import Any

import torch

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.configuration_vitpose_mim import ViTPoseMaskedImageModelingConfig
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation
from vitpose.modeling.modeling_vitpose_mim import ViTPoseForMaskedImageModeling

from ..config.recipe import Recipe
from ..samples.settings import initial_model
from .distillation import check_same_maps, copy_token
from .initial_weights import is_backbone_checkpoint, with_initial_weights


def build_config(recipe: Recipe, *, knowledge_token_size: int | None = None) -> ViTPoseConfig:
    """The model's configuration as the recipe describes it, with a knowledge token of some width or without one."""
    model, schemas = recipe.model, recipe.keypoint_schemas
    experts: dict[str, Any] = {}
    if len(schemas) > 1:
        experts = {"num_experts": 1} if model.experts == "none" else {"expert_kind": model.experts}
    overrides = {
        **_backbone_overrides(recipe),
        "patch_stride": model.patch_stride,
        "attention_kind": model.attention_kind,
        "window_size": model.window_size,
        "knowledge_token_size": knowledge_token_size,
    }
    return ViTPoseConfig.from_preset(
        model.preset, datasets=schemas, decoder=model.decoder, **_chosen(overrides), **experts
    )


def _backbone_overrides(recipe: Recipe) -> dict[str, Any]:
    model = recipe.model
    return {
        "num_hidden_layers": model.num_hidden_layers,
        "num_attention_heads": model.num_attention_heads,
        "drop_path_rate": model.drop_path_rate,
        "image_size": (model.image_height, model.image_width) if model.image_height else None,
    }


def _chosen(overrides: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in overrides.items() if value is not None}


def build_model(recipe: Recipe, teacher: ViTPoseForPoseEstimation | None = None) -> ViTPoseForPoseEstimation:
    """The pose model with its initial weights; the parts that the recipe freezes are frozen.

    A position table for crops of another size is resized. A knowledge token, from the teacher or from `init_from`, is
    frozen, unless it is what the recipe learns.

    Raises:
        ValueError: `init_from` is a pose model of another architecture or other keypoints than the recipe's, or the
            teacher's crops or heatmaps are of another size.
    """
    torch.manual_seed(recipe.run.seed)
    config = build_config(recipe, knowledge_token_size=_knowledge_token_size(recipe, teacher))
    model = with_initial_weights(config, recipe)
    if teacher is not None:
        check_same_maps(teacher.config, config)
    if teacher is not None and recipe.transfer.distillation != "output":
        copy_token(teacher, model)
    if recipe.transfer.freeze != "none":
        model.freeze(recipe.transfer.freeze)
    knowledge = model.backbone.embeddings.knowledge
    if recipe.run.task == "knowledge_token":
        model.freeze_all_but_token()
    elif knowledge is not None:
        knowledge.token.requires_grad_(False)
    return model


def _knowledge_token_size(recipe: Recipe, teacher: ViTPoseForPoseEstimation | None) -> int | None:
    """Width of the model's knowledge token: the teacher's, or that of the model the weights come from."""
    if recipe.run.task == "knowledge_token":
        return build_config(recipe).backbone_config.hidden_size
    if teacher is not None and recipe.transfer.distillation != "output":
        return teacher.config.backbone_config.knowledge_token_size
    source = initial_model(recipe)
    if source == "none" or is_backbone_checkpoint(source):
        return None
    return ViTPoseConfig.from_pretrained(source).backbone_config.knowledge_token_size


def build_pretraining_model(recipe: Recipe) -> ViTPoseForMaskedImageModeling:
    """The masked autoencoder that the recipe describes, with random weights."""
    torch.manual_seed(recipe.run.seed)
    overrides = _chosen(_backbone_overrides(recipe))
    return ViTPoseForMaskedImageModeling(ViTPoseMaskedImageModelingConfig.from_preset(recipe.model.preset, **overrides))
