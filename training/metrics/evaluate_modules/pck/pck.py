"""Percentage of correct keypoints, measured by a length of each person."""

from typing import Any

import evaluate

from vitpose.metrics import pck
from vitpose.training.metrics.image_rows import number_lists
from vitpose.training.metrics.module_info import metric_info

DESCRIPTION = "Share of labeled keypoints within a fraction of each person's length (PCK)."

USAGE = """
Args:
    predictions: For each person K x [x, y] in image pixels.
    references: For each person `keypoints`, K x [x, y, visibility] in image pixels, and `length` in image pixels,
        such as the longer side of the box; NaN or 0 leaves the person out.
    threshold: Share of the length within which a keypoint is right.
Returns:
    PCK, PCK_keypoint_mean and PCK_per_keypoint in [0, 1], people, people_excluded.
"""

CITATION = """
@article{yang2013articulated,
  title={Articulated Human Detection with Flexible Mixtures of Parts},
  author={Yang, Yi and Ramanan, Deva},
  journal={IEEE TPAMI},
  year={2013}
}
"""


class Pck(evaluate.Metric):
    """`pck` of vitpose with a given length of each person."""

    def _info(self) -> evaluate.MetricInfo:
        person = {"keypoints": number_lists(2), "length": number_lists(0)}
        return metric_info(DESCRIPTION, USAGE, CITATION, predictions=number_lists(2), references=person)

    def _compute(
        self, predictions: list[Any], references: list[dict[str, Any]], threshold: float = 0.2
    ) -> dict[str, Any]:
        keypoints = [person["keypoints"] for person in references]
        lengths = [person["length"] for person in references]
        return pck(predictions, keypoints, normalizers=lengths, threshold=threshold)
