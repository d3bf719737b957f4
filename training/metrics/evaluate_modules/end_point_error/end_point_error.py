"""Mean distance between predicted and labelled keypoints."""

from typing import Any

import evaluate
from datasets import Features

from vitpose.metrics import end_point_error
from vitpose.training.metrics.image_rows import number_lists

DESCRIPTION = "Mean distance of labelled keypoints in image pixels (EPE), as on InterHand2.6M."

USAGE = """
Args:
    predictions: for each person or hand K x [x, y] in image pixels.
    references: for each person or hand K x [x, y, visibility] in image pixels.
Returns:
    EPE and EPE_per_keypoint in image pixels.
"""

CITATION = """
@inproceedings{moon2020interhand,
  title={InterHand2.6M: A Dataset and Baseline for 3D Interacting Hand Pose Estimation from a Single RGB Image},
  author={Moon, Gyeongsik and Yu, Shoou-I and Wen, He and Shiratori, Takaaki and Lee, Kyoung Mu},
  booktitle={ECCV},
  year={2020}
}
"""


class EndPointError(evaluate.Metric):
    """`end_point_error` of vitpose."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=USAGE,
            features=Features({"predictions": number_lists(2), "references": number_lists(2)}),
        )

    def _compute(self, predictions: list[Any], references: list[Any]) -> dict[str, Any]:
        return end_point_error(predictions, references)
