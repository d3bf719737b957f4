"""OKS, suppression by it and rescoring agree with the reference evaluator and with plain loops."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose.modeling.keypoint_schemas import get_keypoint_schema
from vitpose.training.metrics.oks import oks_matrix, oks_nms

COCO_SIGMAS = get_keypoint_schema("coco").sigmas


def test_oks_matrix_equals_the_reference_evaluator():
    rng = np.random.default_rng(0)
    targets = rng.uniform(0, 200, (3, 17, 3))
    targets[..., 2] = rng.integers(0, 3, (3, 17))
    points = targets[..., :2] + rng.normal(0, 8, (3, 17, 2))
    areas = [900.0, 5_000.0, 20_000.0]
    own = {"image_id": 0, "category_id": 1}
    people = [
        own
        | {"id": n + 1, "bbox": [0, 0, 9, 9], "area": areas[n], "iscrowd": 0, "num_keypoints": 1}
        | {"keypoints": targets[n].ravel().tolist()}
        for n in range(3)
    ]
    triples = np.insert(points, 2, 1, axis=2)
    poses = [own | {"score": 1 - n / 9, "keypoints": triples[n].ravel().tolist()} for n in range(3)]
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO()
        index.dataset = {"images": [{"id": 0}], "annotations": people, "categories": [{"id": 1}]}
        index.createIndex()
        evaluator = COCOeval(index, index.loadRes(poses), "keypoints")
        evaluator.evaluate()
    np.testing.assert_allclose(oks_matrix(points, targets, areas, sigmas=COCO_SIGMAS), evaluator.ious[0, 1], atol=1e-12)


def test_oks_of_a_person_without_labels_is_undefined():
    assert np.isnan(oks_matrix(np.zeros((2, 17, 2)), np.zeros((1, 17, 3)), [100.0], sigmas=COCO_SIGMAS)).all()


def plain_oks_nms(keypoints, scores, areas, threshold):
    """The same rule, one pair and one keypoint at a time."""
    remaining, kept = sorted(range(len(scores)), key=lambda i: -scores[i]), []
    while remaining:
        best, *remaining = remaining
        kept.append(best)
        survivors = []
        for other in remaining:
            total = 0.0
            for (x1, y1), (x2, y2), sigma in zip(keypoints[best], keypoints[other], COCO_SIGMAS, strict=True):
                area = (areas[best] + areas[other]) / 2
                total += math.exp(-((x1 - x2) ** 2 + (y1 - y2) ** 2) / (2 * area * (2 * sigma) ** 2))
            if total / 17 <= threshold:
                survivors.append(other)
        remaining = survivors
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.9])
def test_oks_nms_equals_a_plain_loop(threshold):
    rng = np.random.default_rng(3)
    people = rng.uniform(0, 300, (6, 1, 17, 2))
    keypoints = (people + rng.normal(0, 3, (6, 5, 17, 2))).reshape(30, 17, 2)  # five guesses at each of six people
    scores, areas = rng.uniform(size=30), rng.uniform(5_000, 20_000, 30)
    kept = oks_nms(keypoints, scores, areas, sigmas=COCO_SIGMAS, threshold=threshold)
    assert kept.tolist() == plain_oks_nms(keypoints, scores, areas, threshold)
    assert 6 <= len(kept) < 30


def test_oks_nms_of_many_images_is_that_of_each():
    rng = np.random.default_rng(4)
    images = rng.integers(0, 12, 60)
    keypoints = rng.uniform(0, 300, (20, 1, 17, 2)).repeat(3, axis=1).reshape(60, 17, 2) + rng.normal(0, 3, (60, 17, 2))
    scores, areas = rng.uniform(size=60).round(1), rng.uniform(5_000, 20_000, 60)  # many equal scores
    images[::3] = images[1::3]  # two guesses at one person share their image
    kept = oks_nms(keypoints, scores, areas, sigmas=COCO_SIGMAS, threshold=0.5, image_ids=images)
    each = [np.flatnonzero(images == image) for image in range(12)]
    alone = [
        rows[oks_nms(keypoints[rows], scores[rows], areas[rows], sigmas=COCO_SIGMAS, threshold=0.5)] for rows in each
    ]
    assert kept.tolist() == np.concatenate(alone).tolist()
    assert 12 < len(kept) < 60


def test_oks_nms_keeps_the_better_of_two_equal_poses_and_accepts_none():
    same = np.tile(np.arange(34.0).reshape(1, 17, 2), (2, 1, 1))
    assert oks_nms(same, [0.4, 0.7], [900, 900], sigmas=COCO_SIGMAS).tolist() == [1]
    assert oks_nms(same, [0.7, 0.7], [900, 900], sigmas=COCO_SIGMAS).tolist() == [0]
    assert oks_nms(same, [0.4, 0.7], [900, 900], sigmas=COCO_SIGMAS, image_ids=[7, 8]).tolist() == [0, 1]
    assert oks_nms(np.zeros((0, 17, 2)), [], [], sigmas=COCO_SIGMAS).tolist() == []
    with pytest.raises(ValueError, match=r"areas must have shape \(2\), got \(1,\)"):
        oks_nms(same, [0.4, 0.7], [900], sigmas=COCO_SIGMAS)
