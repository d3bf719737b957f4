"""Distillation (ViTPose paper, section 3.4): a teacher's heatmaps as targets, its knowledge token, or both.

The token is learned first, alone, in the frozen teacher: a run with `task: knowledge_token`, whose output is the
teacher with its token. A student whose teacher is that folder keeps the token, frozen, beside its own patch tokens; a
projection, trained with the student, brings it to the student's width where the two differ.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitpose.base.published import resolve_model
from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.convert.complete import load_complete
from vitpose.modeling.keypoint_sides import same_keypoints
from vitpose.modeling.loss_vitpose import sample_losses
from vitpose.modeling.modeling_vitpose import ViTPoseForPoseEstimation, ViTPoseOutput
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from .objectives import PoseObjective


def load_teacher(recipe: Recipe) -> ViTPoseForPoseEstimation | None:
    """The recipe's teacher, frozen and in evaluation mode; for a recipe of one dataset the ordinary model of it.

    Raises:
        ValueError: The folder lacks weights, the teacher does not know one of the recipe's datasets, or it has no token
            where the recipe asks for one.
    """
    source, distillation = recipe.transfer.teacher, recipe.transfer.distillation
    if source is None:
        return None
    dtype = getattr(torch, recipe.transfer.teacher_dtype)
    teacher = load_complete(ViTPoseForPoseEstimation, resolve_model(source), dtype=dtype)
    check_keypoints(teacher.config, recipe, source=f"teacher {source}")
    if teacher.config.num_datasets > 1 and len(recipe.keypoint_schemas) == 1:
        teacher = teacher.fold_experts(recipe.keypoint_schemas[0].name)
    if distillation in ("token", "both") and teacher.backbone.embeddings.knowledge is None:
        raise ValueError(
            f"teacher {source} has no knowledge token, which distillation {distillation!r} needs. Learn "
            f"one first, with task knowledge_token and init_from {source}, and name that run's output_dir as "
            "the teacher."
        )
    return teacher.eval().requires_grad_(False)


def check_keypoints(teacher: ViTPoseConfig, recipe: Recipe, *, source: str) -> None:
    """Raise a `ValueError` if a teacher does not predict the keypoints of every dataset of the recipe.

    Args:
        teacher: Its configuration.
        recipe: Of one dataset or a mixture.
        source: What to call the teacher, and where it comes from.
    """
    ours = recipe.keypoint_schemas
    theirs = [teacher.get_schema(index) for index in range(teacher.num_datasets)]
    known = {schema.name: schema for schema in theirs}
    if len(ours) == len(theirs) == 1:  # a checkpoint may call its one dataset as it likes
        known = {ours[0].name: theirs[0]}
    missing = ", ".join(repr(schema.name) for schema in ours if schema.name not in known)
    if missing:
        raise ValueError(
            f"{source} knows the datasets {', '.join(known)}, not {missing}: choose a teacher that was trained for "
            f"{missing} too."
        )
    for own in ours:
        its = known[own.name]
        if not same_keypoints(its.keypoints, own.keypoints):
            same = its.name == own.name and its.num_keypoints == own.num_keypoints
            raise ValueError(
                f"{source} predicts the {its.num_keypoints} keypoints of {its.name!r}, the data has the "
                f"{own.num_keypoints} of {own.name!r}{', others or in another order' if same else ''}: choose a "
                f"teacher trained for {own.name!r}."
            )


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
    source, target = (model.backbone.embeddings.knowledge for model in (teacher, student))
    assert source is not None and target is not None
    with torch.no_grad():
        target.token.copy_(source.token)


@dataclass(kw_only=True)
class DistillationObjective(PoseObjective):
    """Mean squared error to a teacher's heatmaps; with distillation "both", added to that of the annotated keypoints.

    Every heatmap of the teacher counts in full, also where a keypoint is not labeled. The teacher sees the very crops
    of the student, so with augmentation its maps differ in every epoch and are not kept. In a mixture each sample's
    maps are those of its own dataset.

    Args:
        teacher: A frozen model of the student's keypoints and heatmap size, on the device of the batches.
    """

    teacher: ViTPoseForPoseEstimation

    def __post_init__(self) -> None:
        names, device = self.config.dataset_names or [], self.teacher.device
        several = self.config.num_datasets > 1
        # The teacher may have its datasets in another order, and more of them.
        self._places = torch.tensor([self.teacher.config.dataset_index(name) for name in names if several]).to(device)

    def losses(self, output: ViTPoseOutput, batch: dict[str, Tensor]) -> Tensor:
        """Errors (B,) to the teacher's heatmaps, and with them those to the annotated keypoints."""
        assert output.heatmaps is not None
        targets = self._teacher_heatmaps(batch)
        losses = sample_losses(output.heatmaps, targets, keypoint_mask=output.keypoint_mask)
        return losses if self.recipe.transfer.distillation == "output" else losses + super().losses(output, batch)

    @torch.no_grad()
    def _teacher_heatmaps(self, batch: dict[str, Tensor]) -> Tensor:
        """(B, K, h, w); K is the largest number of keypoints in the batch."""
        several = {"dataset_index": self._places[batch["dataset_index"]]} if len(self._places) else {}
        return self.teacher(batch["pixel_values"].to(self.teacher.dtype), **several).heatmaps


def build_objective(
    recipe: Recipe,
    config: ViTPoseConfig,
    settings: ProcessorSettings,
    teacher: ViTPoseForPoseEstimation | None,
    device: torch.device,
) -> PoseObjective:
    """The loss of a pose model: of the annotated keypoints, unless the recipe's teacher gives heatmaps too."""
    if teacher is None or recipe.transfer.distillation == "token":
        return PoseObjective(recipe=recipe, config=config, settings=settings)
    nn.Module.to(teacher, device)
    return DistillationObjective(recipe=recipe, config=config, settings=settings, teacher=teacher)
