"""Types of error on hand-made poses, and the figures behind an OKS AP."""

import math

import numpy as np
import pytest

from vitpose import coco_keypoint_metrics, get_keypoint_schema
from vitpose.training.metrics.error_types import ERROR_TYPES, UNLABELED, classify_keypoints, count_errors
from vitpose.training.metrics.oks_analysis import analyze_oks, precision_by_keypoint

COCO = get_keypoint_schema("coco")
SIDE = 100.0  # the root of each person's area
LEFT, RIGHT, NOSE = (COCO.keypoints.index(name) for name in ("left_wrist", "right_wrist", "nose"))


def person(x: float) -> np.ndarray:
    """(17, 3) with every keypoint 60 pixels from the next one."""
    rows = np.arange(17)
    return np.stack([x + 60.0 * (rows % 4), 60.0 * (rows // 4), np.full(17, 2.0)], axis=1)


def off(keypoint: int, similarity: float) -> np.ndarray:
    """A step to the right after which a keypoint has this similarity."""
    spread = 2 * COCO.sigmas[keypoint] * SIDE
    return np.array([spread * math.sqrt(-2 * math.log(similarity)), 0.0])


OWN, OTHER = person(0.0), person(1000.0)
CASES = [
    ("on the spot", LEFT, OWN[LEFT, :2], "good"),
    ("just near enough to be good", LEFT, OWN[LEFT, :2] + off(LEFT, 0.8501), "good"),
    ("just not good", LEFT, OWN[LEFT, :2] + off(LEFT, 0.8499), "jitter"),
    ("just near enough to be jitter", LEFT, OWN[LEFT, :2] + off(LEFT, 0.5001), "jitter"),
    ("just too far", LEFT, OWN[LEFT, :2] - off(LEFT, 0.4999), "miss"),
    ("on the other wrist", LEFT, OWN[RIGHT, :2], "inversion"),
    ("near the other wrist", RIGHT, OWN[LEFT, :2] + off(RIGHT, 0.51), "inversion"),
    ("on the same wrist of the neighbor", LEFT, OTHER[LEFT, :2], "swap"),
    ("on the other wrist of the neighbor", LEFT, OTHER[RIGHT, :2], "swap"),
    ("on the neighbor's nose, which has no partner", NOSE, OTHER[NOSE, :2], "swap"),
    ("on another joint of one's own", LEFT, OWN[NOSE, :2], "miss"),
    ("in the middle of nowhere", LEFT, np.array([500.0, 900.0]), "miss"),
]


@pytest.mark.parametrize(("sentence", "keypoint", "point", "expected"), CASES, ids=[row[0] for row in CASES])
def test_a_keypoint_has_the_type_of_its_nearest_label(sentence, keypoint, point, expected):
    points = OWN[:, :2].copy()
    points[keypoint] = point
    people, areas = np.stack([OTHER, OWN]), np.full(2, SIDE**2)
    types = classify_keypoints(points, people, areas, own=1, schema=COCO)
    assert ERROR_TYPES[types[keypoint]] == expected
    assert set(np.delete(types, keypoint)) == {0}  # the others are good


def test_labels_that_are_missing_draw_nothing():
    own = OWN.copy()
    own[[RIGHT, NOSE]] = 0
    points = OWN[:, :2].copy()
    points[LEFT] = OWN[RIGHT, :2]  # where nothing is labeled
    types = classify_keypoints(points, own[None], np.array([SIDE**2]), own=0, schema=COCO)
    assert types[[RIGHT, NOSE]].tolist() == [UNLABELED] * 2
    assert ERROR_TYPES[types[LEFT]] == "miss"


def truth_and_results(points: list[np.ndarray]) -> tuple[dict, list[dict]]:
    """Two people in one photo, and a pose for each."""
    rows = {"image_id": 7, "category_id": 1, "iscrowd": 0}
    people = [
        {**rows, "id": number, "bbox": [0, 0, 100, 100], "area": SIDE**2, "keypoints": each.ravel().tolist()}
        for number, each in enumerate((OWN, OTHER), start=1)
    ]
    truth = {"images": [{"id": 7}], "categories": [{"id": 1, "name": "person"}], "annotations": people}
    results = [
        {**rows, "keypoints": np.column_stack([each, np.ones(17)]).ravel().tolist(), "score": 0.9 - 0.1 * number}
        for number, each in enumerate(points)
    ]
    return truth, results


def test_errors_of_matched_people_are_counted_by_keypoint():
    mixed = OTHER[:, :2].copy()
    mixed[LEFT], mixed[NOSE] = OWN[LEFT, :2], OTHER[NOSE, :2] + off(NOSE, 0.7)
    truth, results = truth_and_results([mixed, OWN[:, :2]])
    found = analyze_oks(results, truth, schema=COCO)
    assert [(match.pose, match.person) for match in found.matches] == [(0, 1), (1, 0)]
    assert found.missed == 0
    counts = count_errors(results, found.truth, found.matches, schema=COCO)
    assert counts.sum(axis=0).tolist() == [32, 1, 0, 1, 0]
    assert counts[LEFT].tolist() == [1, 0, 0, 1, 0]
    assert counts[NOSE].tolist() == [1, 1, 0, 0, 0]


def test_who_was_not_found_is_counted_apart():
    truth, results = truth_and_results([OWN[:, :2], OTHER[:, :2] + 5000.0])
    found = analyze_oks(results, truth, schema=COCO)
    assert (len(found.matches), found.missed) == (1, 1)


@pytest.mark.parametrize(("right", "found"), [(1, 0), (2, 1)])  # of 17: an OKS of 0.06 and of 0.12
def test_a_pose_stands_for_somebody_from_an_oks_of_a_tenth_on(right, found):
    pose = OWN[:, :2] + 5000.0
    pose[:right] = OWN[:right, :2]
    truth, results = truth_and_results([pose])
    assert len(analyze_oks(results, truth, schema=COCO).matches) == found


def test_precision_by_threshold_averages_to_the_ap():
    noise = np.random.default_rng(3).normal(0, 12, (2, 17, 2))
    truth, results = truth_and_results([OWN[:, :2] + noise[0], OTHER[:, :2] + noise[1]])
    figures = coco_keypoint_metrics(results, truth, sigmas=COCO.sigmas)
    found = analyze_oks(results, truth, schema=COCO)
    assert 0 < figures["AP"] < 1
    assert np.mean(found.precision) == pytest.approx(figures["AP"], abs=1e-12)
    assert found.precision[0] == pytest.approx(figures["AP50"], abs=1e-12)


def test_each_keypoint_is_scored_as_if_there_were_no_other():
    wrong = OWN[:, :2].copy()
    wrong[LEFT] += 400.0
    truth, results = truth_and_results([wrong, OTHER[:, :2]])
    for annotation in truth["annotations"]:
        annotation["keypoints"][3 * NOSE : 3 * NOSE + 3] = [0, 0, 0]
    figures = precision_by_keypoint(results, truth, schema=COCO)
    assert list(figures) == list(COCO.keypoints)
    assert figures["nose"] == -1  # labeled for nobody
    assert figures["left_wrist"] < 0.6
    others = [value for name, value in figures.items() if name not in ("nose", "left_wrist")]
    assert others == pytest.approx([1.0] * 15)
