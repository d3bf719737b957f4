"""Mean distance between predicted and labeled keypoints."""

from typing import Any

import evaluate

from vitpose.metrics import end_point_error
from vitpose.training.metrics.image_rows import number_lists
from vitpose.training.metrics.module_info import INTERHAND_CITATION, metric_info

DESCRIPTION = "Mean distance of labeled keypoints in image pixels (EPE), as on InterHand2.6M."

USAGE = """
Args:
    predictions: For each person or hand K x [x, y] in image pixels.
    references: For each person or hand K x [x, y, visibility] in image pixels.
Returns:
    EPE and EPE_per_keypoint in image pixels.
"""


class EndPointError(evaluate.Metric):
    """`end_point_error` of vitpose."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(
            DESCRIPTION, USAGE, INTERHAND_CITATION, predictions=number_lists(2), references=number_lists(2)
        )

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, Any]:
        return end_point_error(predictions, references)
