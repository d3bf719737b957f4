"""The numbers that published tables are made with, each by what changes at it."""

import numpy as np
import pytest

from vitpose.metrics import coco_keypoint_metrics, keypoint_auc, oks_matrix, oks_nms, pck, pckh
from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.metrics.oks_analysis import OKS_THRESHOLDS, analyze_oks

COCO = get_keypoint_schema("coco")
AREA = 100.0 * 200.0
POSE = np.random.default_rng(1).uniform(0, 200, (17, 2))


def labeled(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.full((*points.shape[:-1], 1), 2.0)], axis=-1)


def moved_to_oks(oks: float) -> np.ndarray:
    """The pose moved to the right until its OKS with the one that stays is `oks`."""
    shifts = np.linspace(0, 100, 20001)
    poses = POSE + np.stack([shifts, np.zeros_like(shifts)], axis=1)[:, None]
    found = oks_matrix(poses, labeled(POSE)[None], [AREA], sigmas=COCO.sigmas)[:, 0]
    return poses[np.abs(found - oks).argmin()]


@pytest.mark.parametrize(("oks", "kept"), [(0.71, [0, 1]), (0.89, [0, 1]), (0.91, [0])])
def test_poses_repeat_each_other_above_an_oks_of_nine_tenths(oks, kept):
    poses = np.stack([POSE, moved_to_oks(oks)])
    assert oks_nms(poses, [0.9, 0.8], [AREA, AREA], sigmas=COCO.sigmas).tolist() == kept


@pytest.mark.parametrize(("oks", "passed"), [(0.49, 0), (0.51, 1), (0.76, 6), (0.94, 9), (0.96, 10)])
def test_a_pose_counts_at_the_ten_oks_thresholds_of_coco(oks, passed):
    person = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 200], "area": AREA, "iscrowd": 0}
    categories = [{"id": 1, "name": "person"}]
    people = [{**person, "id": 1, "keypoints": labeled(POSE).ravel().tolist()}]
    truth = {"images": [{"id": 1}], "annotations": people, "categories": categories}
    pose = {"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": labeled(moved_to_oks(oks)).ravel().tolist()}
    metrics = coco_keypoint_metrics([pose], truth)
    assert metrics["AP"] == pytest.approx(passed / 10)
    assert (metrics["AP50"], metrics["AP75"]) == pytest.approx((float(oks >= 0.5), float(oks >= 0.75)))
    assert metrics["APl"] == metrics["AP"] and metrics["APm"] == -1
    assert analyze_oks([pose], truth, schema=COCO).precision == pytest.approx(
        [float(number < passed) for number in range(10)]
    )
    assert pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]) == OKS_THRESHOLDS


@pytest.mark.parametrize(
    ("side", "medium", "large"), [(31, False, False), (33, True, False), (95, True, False), (97, False, True)]
)
def test_people_are_medium_from_32_and_large_from_96_pixels_squared(side, medium, large):
    keypoints = labeled(POSE / 200 * side).ravel().tolist()
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, side, side], "area": float(side**2)}
    truth = {"images": [{"id": 1}], "annotations": [{**person, "keypoints": keypoints}], "categories": [{"id": 1}]}
    metrics = coco_keypoint_metrics([{"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": keypoints}], truth)
    assert (metrics["APm"] > 0.99, metrics["APl"] > 0.99) == (medium, large)


@pytest.mark.parametrize(("distance", "right"), [(20.0, 1.0), (20.1, 0.0)])
def test_pck_takes_a_fifth_of_the_length(distance, right):
    target = labeled(np.zeros((1, 3, 2)))
    assert pck(target[..., :2] + [distance, 0], target, normalizers=[100.0])["PCK"] == right


@pytest.mark.parametrize(("distance", "mean", "strict"), [(10.0, 1, 1), (10.1, 1, 0), (50.0, 1, 0), (50.1, 0, 0)])
def test_pckh_takes_half_the_head_and_a_tenth_of_it(distance, mean, strict):
    target = labeled(np.full((1, 16, 2), 300.0))
    found = pckh(target[..., :2] + [distance, 0], target, head_sizes=[100.0])
    assert (found["Mean"], found["Mean@0.1"]) == (mean, strict)


@pytest.mark.parametrize(("distance", "area"), [(0.0, 1.0), (1.4, 0.95), (1.6, 0.9), (28.4, 0.05), (28.6, 0.0)])
def test_the_curve_of_hands_has_twenty_steps_of_a_pixel_and_a_half(distance, area):
    target = labeled(np.zeros((1, 21, 2)))
    assert keypoint_auc(target[..., :2] + [0, distance], target)["AUC"] == pytest.approx(area)
