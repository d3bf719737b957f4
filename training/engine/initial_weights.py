"""The weights that a model starts from: random, a backbone's, or another pose model's."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from vitpose.modeling.configuration_vitpose import STOCK_MODEL_TYPE, ViTPoseConfig
from vitpose.modeling.convert.pretrained_backbones import load_pretrained_backbone
from vitpose.modeling.keypoint_sides import same_keypoints, unify_names
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation

from ..config.recipe import Recipe
from ..samples.settings import initial_model
from .distillation import check_keypoints

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoseStart:
    """A pose model to start from.

    Args:
        recipe: Of the run.
        config: The configuration of the model to build.
        source: Folder or Hub id of the model to start from.
        found: Its configuration.
    """

    recipe: Recipe
    config: ViTPoseConfig
    source: str
    found: ViTPoseConfig


def with_initial_weights(config: ViTPoseConfig, recipe: Recipe) -> ViTPoseForPoseEstimation:
    """A model of this configuration with the weights that the recipe's `init_from` names.

    Raises:
        ValueError: `init_from` is a model of another architecture or other keypoints than the recipe's.
    """
    source = initial_model(recipe)
    if source == "none":
        return ViTPoseForPoseEstimation(config)
    if is_backbone_checkpoint(source):
        return _from_backbone(config, recipe, source)
    start = PoseStart(recipe=recipe, config=config, source=source, found=ViTPoseConfig.from_pretrained(source))
    if recipe.run.task == "knowledge_token":
        check_keypoints(start.found, recipe, source=f"init_from {source}")
    return _FROM_POSE_MODEL[start.found.num_datasets > 1, config.num_datasets > 1](start)


def is_backbone_checkpoint(source: str) -> bool:
    """True for a file of weights, and for a folder that does not hold a pose model."""
    path = Path(source)
    config = path / "config.json"
    if path.is_file() or not path.is_dir():
        return path.is_file()
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    return kind not in (STOCK_MODEL_TYPE, ViTPoseConfig.model_type)


def _from_backbone(config: ViTPoseConfig, recipe: Recipe, source: str) -> ViTPoseForPoseEstimation:
    if recipe.run.task == "knowledge_token":
        raise ValueError(f"init_from {source}: expected a trained pose model, the teacher, got a backbone alone.")
    model = ViTPoseForPoseEstimation(config)
    load_pretrained_backbone(model, source)
    return model


def _from_one_dataset(start: PoseStart) -> ViTPoseForPoseEstimation:
    """A model of one dataset that starts from one of the same or of other keypoints."""
    other = _keypoints(start.found) != _keypoints(start.config)
    return _from_other_keypoints(start) if other else _from_same_kind(start)


def _from_same_kind(start: PoseStart) -> ViTPoseForPoseEstimation:
    """A model that starts from one of its own architecture; a position table for other crops is resized."""
    config, image_size = start.config, start.config.image_size
    _check_same_architecture(start.found, config, start.source)
    config.set_image_size(start.found.image_size)
    model = ViTPoseForPoseEstimation.from_pretrained(start.source, config=config, dtype=torch.float32)
    model.resize_position_embeddings(image_size)
    return model


def _from_other_keypoints(start: PoseStart) -> ViTPoseForPoseEstimation:
    """A model that starts from one of other keypoints."""
    return _take_over(ViTPoseForPoseEstimation.from_pretrained(start.source, dtype=torch.float32), start)


def _from_one_of_several(start: PoseStart) -> ViTPoseForPoseEstimation:
    """A model of one dataset that starts from a part of a model of several.

    It is the part that predicts the recipe's keypoints, the one of the recipe's name first; else that of the only head,
    as the published ViTPose++ files have one.

    Raises:
        ValueError: There are several heads, none of them for the recipe's keypoints.
    """
    own, found = start.config.get_schema(), start.found
    fitting = {
        name: index
        for name, index in found.named_datasets.items()
        if same_keypoints(found.get_schema(index).keypoints, own.keypoints)
    }
    index = fitting.get(own.name, next(iter(fitting.values()), found.default_dataset_index))
    if index is None:
        raise ValueError(
            f"init_from {start.source} is a model of {found.num_datasets} datasets, the recipe has one, of other "
            f"keypoints. Take the part of it that you want first: vitpose convert {start.source} --fold DATASET --out "
            "DIR."
        )
    whole = ViTPoseForPoseEstimation.from_pretrained(start.source, dtype=torch.float32)
    return _take_over(whole.fold_experts(index), start)


def _take_over(old: ViTPoseForPoseEstimation, start: PoseStart) -> ViTPoseForPoseEstimation:
    """The recipe's model with the weights of one of the same architecture, and of its head those of equal names."""
    (theirs,), (ours,) = _keypoints(old.config), _keypoints(start.config)
    old.resize_position_embeddings(start.config.image_size)
    _check_same_architecture(old.config, start.config, start.source, keypoints=False)
    model = ViTPoseForPoseEstimation(start.config)
    pairs = [(place, theirs.index(name)) for place, name in enumerate(ours) if name in theirs]
    weights = model.state_dict()
    for name, value in old.state_dict().items():
        if name.startswith("head.conv."):  # a row for each keypoint
            for place, their_place in pairs:
                weights[name][place].copy_(value[their_place])
        else:
            weights[name].copy_(value)
    logger.info("%d of %d keypoints start from those of the same name in %s", len(pairs), len(ours), start.source)
    return model


def _from_dense(start: PoseStart) -> ViTPoseForPoseEstimation:
    """A model of several datasets that starts from one of a single dataset (released code of ViTPose++)."""
    experts = start.recipe.model.experts
    if experts == "none":
        raise ValueError(
            f"init_from {start.source} is a model of one dataset: with experts 'none' heads cannot start from it. Give "
            "another kind of experts, or a backbone's checkpoint."
        )
    dense = ViTPoseForPoseEstimation.from_pretrained(start.source, dtype=torch.float32)
    dense.resize_position_embeddings(start.config.image_size)
    schemas = start.recipe.keypoint_schemas
    model = ViTPoseForPoseEstimation.from_dense(dense, datasets=schemas, expert_kind=experts)
    _check_same_architecture(model.config, start.config, start.source)
    return model


# By whether the model to start from, and the model to build, are of several datasets.
_FROM_POSE_MODEL: dict[tuple[bool, bool], Callable[[PoseStart], ViTPoseForPoseEstimation]] = {
    (False, False): _from_one_dataset,
    (False, True): _from_dense,
    (True, False): _from_one_of_several,
    (True, True): _from_same_kind,
}

_SAME_IN_BACKBONES = (
    *("patch_size", "patch_stride", "attention_kind", "window_size"),
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "mlp_ratio"),
)
_SAME_IN_EXPERTS = ("num_experts", "expert_kind", "part_features")


def _check_same_architecture(
    found: ViTPoseConfig, wanted: ViTPoseConfig, source: str, *, keypoints: bool = True
) -> None:
    theirs, ours = found.backbone_config, wanted.backbone_config
    names = (*_SAME_IN_BACKBONES, *(_SAME_IN_EXPERTS if wanted.num_datasets > 1 else ()))
    names += ("knowledge_token_size",) if theirs.knowledge_token_size else ()  # without one, a fresh one is added
    pairs = [(name, getattr(theirs, name), getattr(ours, name)) for name in names]
    pairs.append(("use_simple_decoder", found.use_simple_decoder, wanted.use_simple_decoder))
    if keypoints:
        pairs.append(("keypoints", _keypoints(found), _keypoints(wanted)))
    different = [f"{name} {there} there, {here} in the recipe" for name, there, here in pairs if there != here]
    if different:
        raise ValueError(f"init_from {source} is another model than the recipe's: {'; '.join(different)}.")


def _keypoints(config: ViTPoseConfig) -> list[list[str]]:
    """Names of each head's keypoints in one spelling, whatever the annotation tool wrote."""
    return [unify_names(schema["keypoints"]) for schema in config.keypoint_schemas]
