"""Area under the curve of correct keypoints over pixel distances."""

from typing import Any

import evaluate

from vitpose.metrics import keypoint_auc
from vitpose.training.metrics.image_rows import number_lists
from vitpose.training.metrics.module_info import INTERHAND_CITATION, metric_info

DESCRIPTION = "Area under the curve of correct keypoints over distances from 0 to 30 pixels (AUC), as on InterHand2.6M."

USAGE = """
Args:
    predictions: For each person or hand K x [x, y] in image pixels.
    references: For each person or hand K x [x, y, visibility] in image pixels.
    normalizer: Distance in image pixels at which the curve ends.
    steps: Number of thresholds.
Returns:
    AUC and AUC_per_keypoint in [0, 1].
"""


class KeypointAuc(evaluate.Metric):
    """`keypoint_auc` of vitpose."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(
            DESCRIPTION, USAGE, INTERHAND_CITATION, predictions=number_lists(2), references=number_lists(2)
        )

    def _compute(
        self, predictions: list[Any], references: list[Any], normalizer: float = 30.0, steps: int = 20
    ) -> dict[str, Any]:
        return keypoint_auc(predictions, references, normalizer=normalizer, steps=steps)
