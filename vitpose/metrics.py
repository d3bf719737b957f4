"""Metrics of the field: OKS AP in its kinds, PCK and PCKh, the AUC and end-point error of hands.

They take arrays in image pixels or COCO's JSON, and need neither a model nor a photo.
"""

from .training.metrics.average_precision import METRIC_NAMES
from .training.metrics.coco import coco_keypoint_metrics
from .training.metrics.crowdpose import box_areas, crowdpose_metrics
from .training.metrics.distances import end_point_error, keypoint_auc
from .training.metrics.modules import load_metric
from .training.metrics.oks import oks_matrix, oks_nms
from .training.metrics.pck import box_size, pck, torso_size
from .training.metrics.pckh import head_size, pckh
from .training.metrics.wholebody import wholebody_metrics

__all__ = [
    "METRIC_NAMES",
    "box_areas",
    "box_size",
    "coco_keypoint_metrics",
    "crowdpose_metrics",
    "end_point_error",
    "head_size",
    "keypoint_auc",
    "load_metric",
    "oks_matrix",
    "oks_nms",
    "pck",
    "pckh",
    "torso_size",
    "wholebody_metrics",
]
