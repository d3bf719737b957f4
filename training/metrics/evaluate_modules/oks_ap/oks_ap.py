"""OKS average precision and recall of poses, COCO's ten metrics."""

from collections.abc import Sequence
from typing import Any

import evaluate

from vitpose.metrics import coco_keypoint_metrics
from vitpose.training.metrics.average_precision import Backend
from vitpose.training.metrics.image_rows import coco_of_images, image_features
from vitpose.training.metrics.module_info import metric_info

DESCRIPTION = "Average precision and recall of poses by object keypoint similarity (OKS), the ten metrics of COCO."

USAGE = """
Args:
    predictions: For each image `keypoints`, poses x K x [x, y, score] in image pixels, and `score`, one a pose.
    references: For each image `keypoints`, people x K x [x, y, visibility] in image pixels, `bbox`, one
        [x, y, width, height] a person, `area` in square pixels and `iscrowd`, one a person.
    sigmas: K label spreads of the dataset; None means COCO's 17.
    backend: "pycocotools" or "faster_coco_eval".
Returns:
    AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl in [0, 1]; -1 where there is nobody of that size.
"""

CITATION = """
@inproceedings{lin2014coco,
  title={Microsoft COCO: Common Objects in Context},
  author={Lin, Tsung-Yi and others},
  booktitle={ECCV},
  year={2014}
}
"""


class OksAp(evaluate.Metric):
    """`vitpose.coco_keypoint_metrics` on poses and people given image by image."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(
            DESCRIPTION, USAGE, CITATION, **image_features(), url="https://cocodataset.org/#keypoints-eval"
        )

    def _compute(
        self,
        predictions: list[dict[str, Any]],
        references: list[dict[str, Any]],
        sigmas: Sequence[float] | None = None,
        backend: Backend = "pycocotools",
    ) -> dict[str, float]:
        return coco_keypoint_metrics(*coco_of_images(predictions, references), sigmas=sigmas, backend=backend)
