"""CrowdPose average precision and recall, over all images and by how crowded they are."""

from typing import Any

import evaluate

from vitpose.metrics import crowdpose_metrics
from vitpose.training.metrics.average_precision import Backend
from vitpose.training.metrics.image_rows import coco_of_images, image_features
from vitpose.training.metrics.module_info import metric_info

DESCRIPTION = "Average precision and recall of poses on CrowdPose: over all images, and for easy, medium and hard ones."

USAGE = """
Args:
    predictions: For each image `keypoints`, poses x 14 x [x, y, score] in image pixels, and `score`, one a pose.
    references: For each image `keypoints`, people x 14 x [x, y, visibility] in image pixels, `bbox`, one
        [x, y, width, height] a person, `iscrowd` and `num_keypoints`, one a person, and `crowdIndex`, one number for
        the image.
    backend: "pycocotools" or "faster_coco_eval".
Returns:
    AP, AP50, AP75, AR, AR50, AR75, AP_easy, AP_medium, AP_hard in [0, 1]; -1 where there is nobody.
"""

CITATION = """
@inproceedings{li2019crowdpose,
  title={CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark},
  author={Li, Jiefeng and Wang, Can and Zhu, Hao and Mao, Yihuan and Fang, Hao-Shu and Lu, Cewu},
  booktitle={CVPR},
  year={2019}
}
"""


class CrowdposeAp(evaluate.Metric):
    """`crowdpose_metrics` of vitpose on poses and people given image by image."""

    def _info(self) -> evaluate.MetricInfo:
        return metric_info(
            DESCRIPTION,
            USAGE,
            CITATION,
            **image_features(person=["iscrowd", "num_keypoints"], image=["crowdIndex"]),
            url="https://github.com/Jeff-sjtu/CrowdPose",
        )

    def _compute(
        self,
        predictions: list[dict[str, Any]],
        references: list[dict[str, Any]],
        backend: Backend = "pycocotools",
    ) -> dict[str, float]:
        return crowdpose_metrics(*coco_of_images(predictions, references), backend=backend)
