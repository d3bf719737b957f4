"""Area under the curve of correct keypoints over pixel distances."""

from typing import Any

import evaluate
from datasets import Features

from vitpose.metrics import keypoint_auc
from vitpose.training.metrics.image_rows import number_lists

DESCRIPTION = "Area under the curve of correct keypoints over distances from 0 to 30 pixels (AUC), as on InterHand2.6M."

USAGE = """
Args:
    predictions: for each person or hand K x [x, y] in image pixels.
    references: for each person or hand K x [x, y, visibility] in image pixels.
    normalizer: distance in image pixels at which the curve ends.
    steps: how many thresholds.
Returns:
    AUC and AUC_per_keypoint in [0, 1].
"""

CITATION = """
@inproceedings{moon2020interhand,
  title={InterHand2.6M: A Dataset and Baseline for 3D Interacting Hand Pose Estimation from a Single RGB Image},
  author={Moon, Gyeongsik and Yu, Shoou-I and Wen, He and Shiratori, Takaaki and Lee, Kyoung Mu},
  booktitle={ECCV},
  year={2020}
}
"""


class KeypointAuc(evaluate.Metric):
    """`keypoint_auc` of vitpose."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=USAGE,
            features=Features({"predictions": number_lists(2), "references": number_lists(2)}),
        )

    def _compute(
        self, predictions: list[Any], references: list[Any], normalizer: float = 30.0, steps: int = 20
    ) -> dict[str, Any]:
        return keypoint_auc(predictions, references, normalizer=normalizer, steps=steps)
