"""People keep their numbers, and their boxes follow their keypoints."""

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch

from vitpose.processing.people_vitpose import Detections, People, numbered_schema
from vitpose.video.detector import PeopleDetector
from vitpose.video.following import follow
from vitpose.video.frames import Frame
from vitpose.video.tracking import PeopleTracker, TrackerName, make_tracker

pytest.importorskip("trackers", reason="tracking comes with the video extra")

MIN_SCORE = 0.3
PIXELS = torch.zeros(3, 400, 640, dtype=torch.uint8)


def paths(time: float) -> np.ndarray:
    """Boxes (3, 4) of people at a time: one goes right, one left below, one out of the picture at the right."""
    return np.array([[20 + 60 * time, 20, 40, 90], [400 - 60 * time, 200, 50, 100], [500 + 120 * time, 30, 40, 80]])


def run(tracker: PeopleTracker, boxes: np.ndarray, time: float, scores: list[float] | None = None) -> list[int | None]:
    """The number of each box, None where it is no person."""
    found = Detections(
        boxes_xywh=torch.from_numpy(boxes),
        scores=torch.tensor(scores or [0.9] * len(boxes)),
        labels=("person",) * len(boxes),
    )
    rows, numbers = tracker.update(found, Frame(index=0, time=time, pixels=PIXELS))
    assert rows.tolist() == sorted(rows.tolist())
    by_row = dict(zip(rows.tolist(), numbers.tolist(), strict=True))
    return [by_row.get(row) for row in range(len(boxes))]


@pytest.mark.parametrize("name", get_args(TrackerName))
@pytest.mark.parametrize("rate", [10, 30, 120])
def test_numbers_are_stable_at_any_frame_rate(name, rate):
    tracker, rng = PeopleTracker(min_score=MIN_SCORE, name=name), np.random.default_rng(0)
    for index in range(3 * rate):
        boxes = paths(index / rate) + rng.normal(size=(3, 4))
        is_there = np.flatnonzero(boxes[:, 0] < 600)
        order = rng.permutation(is_there) if index else is_there  # a detector's order means nothing
        assert run(tracker, boxes[order], index / rate) == (order + 1).tolist()


@pytest.mark.parametrize("name", get_args(TrackerName))
def test_everyone_has_a_number_from_their_first_frame_on(name):
    tracker = PeopleTracker(min_score=MIN_SCORE, name=name)
    assert run(tracker, paths(0.0)[:1], 0.0) == [1]
    assert run(tracker, paths(0.1), 0.1) == [1, 2, 3]


@pytest.mark.parametrize(
    ("pause", "number"),
    [(0.3, 1), (0.9, 1), (1.5, 2)],
    ids=["hidden for a moment", "hidden for nearly a second", "away for longer than a second"],
)
def test_someone_who_was_not_seen(pause, number):
    tracker, box = PeopleTracker(min_score=MIN_SCORE), np.array([[100.0, 100, 50, 100]])
    times = [index / 30 for index in range(15)]
    assert [run(tracker, box, time) for time in times] == [[1]] * 15
    for time in np.arange(times[-1] + 1 / 30, times[-1] + pause, 1 / 30):
        run(tracker, np.empty((0, 4)), time)
    assert run(tracker, box, times[-1] + pause + 0.01) == [number]


@pytest.mark.parametrize("name", get_args(TrackerName))
def test_someone_who_was_seen_once_is_known_again(name):
    tracker, boxes = PeopleTracker(min_score=MIN_SCORE, name=name), paths(0.0)[:2]
    assert run(tracker, boxes[:1], 0.0) == [1]
    assert run(tracker, boxes, 0.1) == [1, 2]
    for time in (0.2, 0.3, 0.4):
        assert run(tracker, boxes[:1], time) == [1]
    assert run(tracker, boxes, 0.5) == [1, 2]
    assert run(tracker, boxes[::-1].copy(), 0.6) == [2, 1]


@pytest.mark.parametrize("name", get_args(TrackerName))
def test_numbers_are_those_of_the_library(name):
    """From the second frame on; whom it takes for one person has one number, from the first frame on."""
    import trackers
    from supervision import Detections as TrackedBoxes

    ours, rng = PeopleTracker(min_score=MIN_SCORE, name=name), np.random.default_rng(1)
    theirs = make_tracker(trackers, name, min_score=MIN_SCORE, reach=0.0)
    pairs: dict[int, int] = {}
    places = rng.uniform(0, 250, (8, 2))
    for index in range(60):
        places = places + rng.normal(0, 3, places.shape)
        boxes = np.concatenate([places, np.tile([60.0, 120.0], (8, 1))], axis=1)[rng.uniform(size=8) > 0.1]
        numbers = run(ours, boxes, index / 30)
        tracked = theirs.update(
            TrackedBoxes(
                xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
                confidence=np.full(len(boxes), np.float32(0.9)).astype(float),
                data={"row": np.arange(len(boxes))},
            ),
            timestamp=index / 30,
        )
        assert len(set(numbers)) == len(boxes)
        for row, own in zip(tracked.data["row"], tracked.tracker_id, strict=True):
            if own != -1:
                assert pairs.setdefault(own, numbers[row]) == numbers[row]
    assert len(set(pairs.values())) == len(pairs) > 7


def test_botsort_knows_that_the_camera_moves():
    """All of the picture jumps by more than a person's width; without the picture people would be others."""
    rng = np.random.default_rng(0)
    wall = torch.from_numpy(rng.integers(0, 255, (1, 3, 50, 80), np.uint8))
    wall = torch.nn.functional.interpolate(wall.float(), scale_factor=10, mode="bicubic").clamp(0, 255).byte()[0]
    numbers = {}
    for name in ("bytetrack", "botsort"):
        tracker = PeopleTracker(min_score=MIN_SCORE, name=name)
        for index, left in enumerate([0, 0, 0, 35, 70]):
            found = Detections.given(
                torch.tensor([[300.0 - left, 100, 30, 90], [331.0 - left, 110, 30, 90]]).double(), ""
            )
            pixels = wall[:, :400, left : left + 640]
            numbers[name] = tracker.update(found, Frame(index=index, time=index / 30, pixels=pixels))[1].tolist()
    assert numbers["botsort"] == [1, 2] != numbers["bytetrack"]


def test_an_unknown_tracker_is_named():
    with pytest.raises(ValueError, match="tracker: expected one of bytetrack, ocsort, botsort, got 'deepsort'"):
        PeopleTracker(min_score=MIN_SCORE, name="deepsort")


def test_a_weak_detection_only_continues_someone():
    tracker, boxes = PeopleTracker(min_score=MIN_SCORE), paths(0.0)[:2]
    assert run(tracker, boxes, 0.0, [0.9, 0.2]) == [1, None]
    assert run(tracker, boxes, 0.1, [0.2, 0.2]) == [1, None]
    assert run(tracker, boxes, 0.2, [0.2, MIN_SCORE]) == [1, 2]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        pytest.param(0.5, [0.6, 0.4, 0.11], id="and weaker ones down to a tenth, which continue a person"),
        pytest.param(0.05, [0.6, 0.4, 0.11, 0.09, 0.06], id="down to the threshold where it is lower"),
    ],
)
def test_a_detector_gives_the_tracker_what_it_needs(threshold, expected, detector_that_scores):
    find_people = PeopleDetector(detector_that_scores([0.6, 0.4, 0.11, 0.09, 0.06, 0.04]), threshold=threshold)
    (found,) = find_people([Frame(index=0, time=0.0, pixels=PIXELS[:, :48, :64])])
    assert sorted(found.scores.tolist(), reverse=True) == pytest.approx(expected, abs=1e-4)


def test_frames_without_people():
    tracker = PeopleTracker(min_score=MIN_SCORE)
    for time in (0.0, 0.1):
        assert run(tracker, np.empty((0, 4)), time) == []
    assert run(tracker, paths(0.2), 0.2) == [1, 2, 3]
    assert run(tracker, np.empty((0, 4)), 0.3) == []


BODY = np.array([[110.0, 50], [120, 60], [130, 120], [140, 140]])  # x, y of keypoints in the box 100, 40, 50, 120
RAISED = BODY + np.array([[0, -30], [0, 0], [0, 0], [0, 0]])
FOLLOWED = [
    ("nobody moved: the box stays", BODY, [0.9] * 4, [100, 40, 50, 120]),
    ("the box goes where the keypoints go", BODY + (7, -3), [0.9] * 4, [107, 37, 50, 120]),
    ("a raised arm lifts the upper edge alone", RAISED, [0.9] * 4, [100, 10, 50, 150]),
    ("an unconfident keypoint moves nothing", RAISED, [0.29, 0.9, 0.9, 0.9], [100, 40, 50, 120]),
    ("a score of three tenths is enough", RAISED, [0.31, 0.9, 0.9, 0.9], [100, 10, 50, 150]),
    ("someone who comes nearer fills a larger box", 2 * BODY, [0.9] * 4, [210, 90, 80, 210]),
    ("half out of the picture is still there", BODY - (120, 0), [0.9] * 4, [-20, 40, 50, 120]),
    ("out at the left is lost", BODY - (160, 0), [0.9] * 4, None),
    ("out at the right is lost", BODY + (400, 0), [0.9] * 4, None),
    ("out below is lost", BODY + (0, 400), [0.9] * 4, None),
    ("two confident keypoints are too few", BODY, [0.9, 0.9, 0.1, 0.1], None),
    ("no confident keypoint at all", BODY, [0.1] * 4, None),
]


@pytest.mark.parametrize(("why", "keypoints", "scores", "expected"), FOLLOWED, ids=[row[0] for row in FOLLOWED])
def test_a_box_follows_the_keypoints(why, keypoints, scores, expected):
    detected = people_of(BODY[None], np.full((1, 4), 0.9))
    last = people_of(keypoints[None], np.array([scores]))
    boxes, is_held = follow(detected, last, (480, 400))
    assert is_held.tolist() == [expected is not None]
    assert expected is None or boxes[0].tolist() == expected


def people_of(keypoints: np.ndarray, scores: np.ndarray) -> People:
    count = len(keypoints)
    return People(
        keypoints_xy=torch.from_numpy(keypoints).float(),
        scores=torch.from_numpy(scores).float(),
        boxes_xywh=torch.tensor([[100.0, 40, 50, 120]] * count, dtype=torch.float64).reshape(-1, 4),
        box_scores=torch.full((count,), 0.8),
        labels=("person",) * count,
        schema=numbered_schema(keypoints.shape[1]),
    )


def test_following_nobody():
    nobody = people_of(np.empty((0, 17, 2)), np.empty((0, 17)))
    boxes, is_held = follow(nobody, nobody, (480, 400))
    assert boxes.shape == (0, 4) and is_held.shape == (0,)


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs trackers: pip install "vitpose\[video\]"'):
        PeopleTracker(min_score=MIN_SCORE)


def test_without_a_display_library_the_message_names_the_build_that_needs_none(monkeypatch, tmp_path):
    (tmp_path / "trackers.py").write_text('raise ImportError("libGL.so.1: cannot open shared object file")')
    for name in [name for name in sys.modules if name.split(".")[0] == "trackers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"libGL\.so\.1.*pip install opencv-python-headless"):
        PeopleTracker(min_score=MIN_SCORE)


def test_the_extra_is_imported_only_where_it_is_used():
    code = (
        "import sys, vitpose, vitpose_cli.predict, vitpose.photos.predicting\n"
        "import vitpose.video.people, vitpose.video.files, vitpose.video.detector\n"
        "extra = {'av', 'cv2', 'trackers', 'supervision'} & {name.split('.')[0] for name in sys.modules}\n"
        "assert not extra, extra"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
