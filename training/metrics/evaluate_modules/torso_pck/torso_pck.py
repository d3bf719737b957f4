"""Percentage of correct keypoints, measured by the torso."""

from typing import Any

import evaluate
import numpy as np

from vitpose.metrics import pck, torso_size
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.metrics.image_rows import number_lists
from vitpose.training.metrics.module_info import metric_info

DESCRIPTION = "Share of labeled keypoints within a fraction of the torso's diagonal (PCK@0.2), as on LSP."

USAGE = """
Args:
    predictions: For each person K x [x, y] in image pixels.
    references: For each person K x [x, y, visibility] in image pixels.
    schema: Name of the keypoint schema, which says where shoulders and hips are, such as "lspet" or "coco".
    threshold: Share of the torso's diagonal within which a keypoint is right.
Returns:
    PCK, PCK_keypoint_mean and PCK_per_keypoint in [0, 1], people, people_excluded (no torso labeled).
"""

CITATION = """
@inproceedings{johnson2011lspet,
  title={Learning Effective Human Pose Estimation from Inaccurate Annotation},
  author={Johnson, Sam and Everingham, Mark},
  booktitle={CVPR},
  year={2011}
}
"""


class TorsoPck(evaluate.Metric):
    """`pck` of vitpose with the torso of each labeled person as length."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(DESCRIPTION, USAGE, CITATION, predictions=number_lists(2), references=number_lists(2))

    def _compute(
        self, predictions: list[Any], references: list[Any], schema: str = "lspet", threshold: float = 0.2
    ) -> dict[str, Any]:
        lengths = torso_size(np.asarray(references, dtype=np.float64), get_keypoint_schema(schema))
        return pck(predictions, references, normalizers=lengths, threshold=threshold)
