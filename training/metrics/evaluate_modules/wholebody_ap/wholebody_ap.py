"""COCO-WholeBody average precision and recall, of the whole and of its parts."""

from typing import Any

import evaluate

from vitpose.metrics import wholebody_metrics
from vitpose.training.metrics.average_precision import Backend
from vitpose.training.metrics.image_rows import coco_of_images, image_features
from vitpose.training.metrics.module_info import metric_info

DESCRIPTION = "Average precision and recall of whole-body poses: body, foot, face, each hand, and all 133 keypoints."

USAGE = """
Args:
    predictions: For each image `keypoints`, poses x 133 x [x, y, score] in image pixels, and `score`, one a pose.
    references: For each image `keypoints`, people x 133 x [x, y, visibility] in image pixels, `bbox`, one
        [x, y, width, height] a person, `area` in square pixels and `iscrowd`, one a person.
    backend: "pycocotools" or "faster_coco_eval".
Returns:
    For body, foot, face, left_hand, right_hand and whole: AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl.
"""

CITATION = """
@inproceedings{jin2020wholebody,
  title={Whole-Body Human Pose Estimation in the Wild},
  author={Jin, Sheng and Xu, Lumin and Xu, Jin and Wang, Can and Liu, Wentao and Qian, Chen and Ouyang, Wanli
    and Luo, Ping},
  booktitle={ECCV},
  year={2020}
}
"""


class WholebodyAp(evaluate.Metric):
    """`wholebody_metrics` of vitpose on poses and people given image by image."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(
            DESCRIPTION, USAGE, CITATION, **image_features(), url="https://github.com/jin-s13/COCO-WholeBody"
        )

    def _compute(
        self,
        predictions: list[dict[str, Any]],
        references: list[dict[str, Any]],
        backend: Backend = "pycocotools",
    ) -> dict[str, dict[str, float]]:
        return wholebody_metrics(*coco_of_images(predictions, references), backend=backend)
