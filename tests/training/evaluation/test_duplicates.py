"""Detections of one person in one photo: OKS-NMS keeps two poses up to a similarity of 0.9, as the released configs."""

import numpy as np
import pytest
import torch

from vitpose.metrics import oks_matrix
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.processing.geometry_vitpose import box_to_center_and_size
from vitpose.processing.people_vitpose import People
from vitpose.processing.processor_settings_vitpose import ProcessorSettings
from vitpose.training.evaluation.score import to_coco_results

COCO = get_keypoint_schema("coco")
BOX = [100.0, 100.0, 60.0, 200.0]
POSE = np.random.default_rng(0).uniform((100, 100), (160, 300), (17, 2))


def padded_area() -> float:
    _, sizes = box_to_center_and_size(torch.tensor([BOX], dtype=torch.float64), crop_size=(256, 192), padding=1.25)
    return float(sizes.prod())


def pose_of_similarity(oks: float) -> np.ndarray:
    """The pose moved to the right until its OKS with the one that stays is `oks`, by bisection."""
    target = np.concatenate([POSE, np.full((17, 1), 2.0)], axis=1)[None]
    low, high = 0.0, 500.0
    for _ in range(60):
        middle = (low + high) / 2
        found = oks_matrix(POSE[None] + [middle, 0.0], target, [padded_area()], sigmas=COCO.sigmas)[0, 0]
        low, high = (middle, high) if found > oks else (low, middle)
    return POSE + [low, 0.0]


@pytest.mark.parametrize(("oks", "kept"), [(0.5, 2), (0.71, 2), (0.89, 2), (0.91, 1), (0.99, 1)])
def test_two_detections_stay_up_to_an_oks_of_nine_tenths(oks: float, kept: int) -> None:
    people = People(
        keypoints_xy=torch.from_numpy(np.stack([POSE, pose_of_similarity(oks)])).float(),
        scores=torch.full((2, 17), 0.9),
        boxes_xywh=torch.tensor([BOX, BOX], dtype=torch.float64),
        box_scores=torch.tensor([0.8, 0.6], dtype=torch.float64),
        labels=("person", "person"),
        schema=COCO,
    )
    results = to_coco_results(people, [{"image_id": 3}] * 2, settings=ProcessorSettings(), annotated_boxes=False)
    assert len(results) == kept
    assert results[0]["score"] == pytest.approx(0.8 * 0.9)  # the better one is kept
