"""Distillation (ViTPose paper, section 3.4): a teacher's heatmaps as targets, its knowledge token, or both.

The token is learned first, alone, in the frozen teacher: a run with `task: knowledge_token`, whose output is the
teacher with its token. A student whose teacher is that folder keeps the token, frozen, beside its own patch tokens; a
projection, trained with the student, brings it to the student's width where the two differ.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.loss_vitpose import heatmap_loss
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation

from .objectives import PoseObjective
from .packaged import resolve_model
from .recipe import Recipe


def load_teacher(recipe: Recipe) -> ViTPoseForPoseEstimation | None:
    """The recipe's teacher, frozen and in evaluation mode; of several datasets, its ordinary model of the recipe's.

    Raises:
        ValueError: The folder lacks weights, the teacher does not know the recipe's dataset, or it has no token where
            the recipe asks for one.
    """
    if recipe.teacher is None:
        return None
    loaded: Any = ViTPoseForPoseEstimation.from_pretrained(
        resolve_model(recipe.teacher), dtype=getattr(torch, recipe.teacher_dtype), output_loading_info=True
    )
    teacher, report = loaded
    problems = [f"{kind}: {sorted(map(str, keys))}" for kind, keys in report.items() if keys]
    if problems:
        raise ValueError(f"teacher {recipe.teacher} does not hold the weights of its config. {'; '.join(problems)}.")
    teacher = _of_one_dataset(teacher, recipe)
    if recipe.distillation in ("token", "both") and teacher.backbone.embeddings.knowledge is None:
        raise ValueError(
            f"teacher {recipe.teacher} has no knowledge token, which distillation {recipe.distillation!r} needs. Learn "
            f"one first, with task knowledge_token and init_from {recipe.teacher}, and name that run's output_dir as "
            "the teacher."
        )
    return teacher.eval().requires_grad_(False)


def _of_one_dataset(teacher: ViTPoseForPoseEstimation, recipe: Recipe) -> ViTPoseForPoseEstimation:
    """The teacher for the recipe's keypoints."""
    ours = recipe.keypoint_schema
    if teacher.config.num_datasets > 1:
        names = teacher.config.dataset_names or []
        if ours.name not in names:
            raise ValueError(f"teacher {recipe.teacher} knows the datasets {', '.join(names)}, not {ours.name!r}.")
        return teacher.fold_experts(ours.name)
    theirs = teacher.config.get_schema()
    if theirs.keypoints != ours.keypoints:
        raise ValueError(
            f"teacher {recipe.teacher} predicts the {theirs.num_keypoints} keypoints of {theirs.name!r}, the data has "
            f"the {ours.num_keypoints} of {ours.name!r}: choose a teacher trained for {ours.name!r}."
        )
    return teacher


def check_same_maps(teacher: ViTPoseConfig, student: ViTPoseConfig) -> None:
    """Raise a `ValueError` if the two do not take the same crops to heatmaps of the same size."""
    for what, theirs, ours in (
        ("crops", teacher.image_size, student.image_size),
        ("heatmaps", teacher.heatmap_size, student.heatmap_size),
    ):
        if theirs != ours:
            raise ValueError(
                f"The teacher has {what} of {theirs[0]}x{theirs[1]} pixels (height x width), the student of "
                f"{ours[0]}x{ours[1]}: give both the same image_height, image_width and stride."
            )


def copy_token(teacher: ViTPoseForPoseEstimation, student: ViTPoseForPoseEstimation) -> None:
    """Give the student the teacher's knowledge token."""
    source, target = (model.backbone.embeddings.knowledge.token for model in (teacher, student))
    with torch.no_grad():
        target.copy_(source)


@dataclass(kw_only=True)
class DistillationObjective(PoseObjective):
    """Mean squared error to a teacher's heatmaps; with distillation "both", added to that of the annotated keypoints.

    Every heatmap of the teacher counts in full, also where a keypoint is not labelled. The teacher sees the very crops
    of the student, so with augmentation its maps differ in every epoch and are not kept.

    Args:
        teacher: A frozen model of the student's keypoints and heatmap size, on the device of the batches.
    """

    teacher: ViTPoseForPoseEstimation

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        targets = self._teacher_heatmaps(batch["pixel_values"])
        if self.recipe.distillation == "output":
            return heatmap_loss(model(batch["pixel_values"]).heatmaps, targets)
        labels, weights = self.targets(batch)
        output = model(batch["pixel_values"], labels=labels, label_weights=weights)
        return output.loss + heatmap_loss(output.heatmaps, targets)

    @torch.no_grad()
    def _teacher_heatmaps(self, crops: Tensor) -> Tensor:
        return self.teacher(crops.to(self.teacher.dtype)).heatmaps


def build_objective(
    recipe: Recipe, config: ViTPoseConfig, teacher: ViTPoseForPoseEstimation | None, device: torch.device
) -> PoseObjective:
    """The loss of a pose model: of the annotated keypoints, unless the recipe's teacher gives heatmaps too."""
    if teacher is None or recipe.distillation == "token":
        return PoseObjective(recipe=recipe, config=config)
    teacher.to(device)  # type: ignore[arg-type]  # wrapped by transformers
    return DistillationObjective(recipe=recipe, config=config, teacher=teacher)
