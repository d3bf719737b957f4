"""Objectives of the training loop: the losses of a batch under a model."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from vitpose.modeling.configuration_vitpose import ViTPoseConfig
from vitpose.modeling.loss_vitpose import sample_losses
from vitpose.modeling.modeling_vitpose import ViTPoseOutput
from vitpose.processing.heatmaps_vitpose import encode_heatmaps
from vitpose.processing.processor_settings_vitpose import ProcessorSettings

from ..config.recipe import Recipe
from ..samples.mixture import joint_weight_table

# Returns the loss of each sample (B,), or () where there is one for the batch alone.
Objective = Callable[[nn.Module, dict[str, Tensor]], Tensor]


@dataclass(kw_only=True)
class PoseObjective:
    """The error of heatmaps to Gaussians at the annotated keypoints (released configs).

    Args:
        recipe: Its targets and loss count.
        config: The model's configuration.
        settings: Of the processor that crops are cut by.
    """

    recipe: Recipe
    config: ViTPoseConfig
    settings: ProcessorSettings

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Losses (B,) of a batch; of several datasets each sample takes the head of its own."""
        several = {"dataset_index": batch["dataset_index"]} if self.config.num_datasets > 1 else {}
        return self.losses(model(batch["pixel_values"], **several), batch)

    def losses(self, output: ViTPoseOutput, batch: dict[str, Tensor]) -> Tensor:
        """Errors (B,) of the model's output to the annotated keypoints."""
        labels, weights = self.targets(batch)
        assert output.heatmaps is not None
        return sample_losses(output.heatmaps, labels, weights, output.keypoint_mask)

    def targets(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Target heatmaps (B, K, h, w) and the weight of each keypoint in the loss (B, K)."""
        labels, weights = encode_heatmaps(
            batch["keypoints_crop"],
            batch["visibility"],
            crop_size=self.settings.crop_size,
            heatmap_size=self.config.heatmap_size,
            sigma=self.recipe.targets.target_sigma,
            use_udp=self.settings.use_udp,
        )
        if self.recipe.targets.use_joint_weights:
            weights = weights * self._joint_weights(batch).to(weights)
        return labels, weights

    def _joint_weights(self, batch: dict[str, Tensor]) -> Tensor:
        """(K,), or (B, K) with each sample's own dataset's."""
        schemas = [self.config.get_schema(index) for index in range(self.config.num_datasets)]
        table = joint_weight_table([schema.joint_weights for schema in schemas])  # (D, K)
        if len(schemas) == 1:
            return table[0]
        return table[batch["dataset_index"].cpu(), : batch["visibility"].shape[1]]
