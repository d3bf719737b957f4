"""PCKh of MPII, by joint and mean."""

from typing import Any

import evaluate

from vitpose.metrics import head_size, pckh
from vitpose.training.metrics.image_rows import number_lists
from vitpose.training.metrics.module_info import metric_info

DESCRIPTION = "Share of MPII's keypoints within half a head size (PCKh@0.5), by joint and mean."

USAGE = """
Args:
    predictions: For each person 16 x [x, y] in image pixels.
    references: For each person `keypoints`, 16 x [x, y, visibility] in image pixels, and `head_box`,
        [x, y, width, height] in image pixels.
    threshold: Share of the head size within which a keypoint is right.
Returns:
    Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle, Mean and Mean@0.1 in [0, 1], people, people_excluded.
"""

CITATION = """
@inproceedings{andriluka2014mpii,
  title={2D Human Pose Estimation: New Benchmark and State of the Art Analysis},
  author={Andriluka, Mykhaylo and Pishchulin, Leonid and Gehler, Peter and Schiele, Bernt},
  booktitle={CVPR},
  year={2014}
}
"""


class Pckh(evaluate.Metric):
    """`pckh` of vitpose with head sizes from head boxes."""

    def _info(self) -> evaluate.MetricInfo:
        person = {"keypoints": number_lists(2), "head_box": number_lists(1)}
        return metric_info(
            DESCRIPTION,
            USAGE,
            CITATION,
            predictions=number_lists(2),
            references=person,
            url="http://human-pose.mpi-inf.mpg.de/",
        )

    def _compute(
        self, predictions: list[Any], references: list[dict[str, Any]], threshold: float = 0.5
    ) -> dict[str, Any]:
        sizes = head_size([person["head_box"] for person in references])
        keypoints = [person["keypoints"] for person in references]
        return pckh(predictions, keypoints, head_sizes=sizes, threshold=threshold)
