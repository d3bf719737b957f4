"""Who is who from frame to frame, and where people went between two detections.

Identities come from ByteTrack (Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022), as the `trackers` library has it.

Between detections a person's box moves with their own keypoints, rather than along the tracker's prediction: keypoints
are measured in the frame at hand, so that the box also follows someone who turns, stops or lifts an arm, while the
prediction goes on at the last speed, and ByteTrack forgets a person at once whom it sees a first time and then misses.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_SCORE = 0.1  # of a detection that may continue a track; ByteTrack's paper has the same
SURE_KEYPOINT = 0.3  # score from which a keypoint moves its person's box
MIN_KEYPOINTS = 3  # sure keypoints without which a person is lost until the next detection


def _import_trackers() -> tuple[Any, Any]:
    """`ByteTrackTracker` and the class of detections it takes."""
    try:
        from supervision import Detections
        from trackers import ByteTrackTracker
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Tracking people needs trackers: pip install "vitpose[video]".') from error
    except ImportError as error:  # a server without a display often lacks libGL, which OpenCV's usual build wants
        raise ImportError(
            f"Tracking people needs trackers, and trackers needs OpenCV, which cannot be loaded: {error}. On a machine "
            "without a display: pip uninstall opencv-python, then pip install opencv-python-headless."
        ) from error
    return ByteTrackTracker, Detections


class PeopleTracker:
    """Numbers for people, the same from frame to frame; they start at 1.

    Detections of at least `min_score` are people. Weaker ones, down to `LEAST_SCORE`, only continue a person whom a
    detection before showed: this is what carries ByteTrack through an occlusion. Someone who is not seen for a second
    is forgotten.

    Args:
        min_score: Least score of a new person's detection.

    Raises:
        ModuleNotFoundError: The extra `video` is not installed.
        ImportError: OpenCV, which `trackers` imports, cannot be loaded.
    """

    def __init__(self, *, min_score: float) -> None:
        tracker, self._detections = _import_trackers()
        self.min_score = min_score
        # it counts in thirtieths of a second, whatever the video's rate: `update` tells it the time
        self._tracker = tracker(track_activation_threshold=min_score, high_conf_det_threshold=min_score)
        self._numbers = itertools.count(1)

    def update(self, boxes: np.ndarray, scores: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Who is who in one frame.

        Args:
            boxes: (N, 4) as x, y, width, height.
            scores: (N,)
            time: Seconds of the frame; must grow from call to call.

        Returns:
            Rows (P,) of the boxes that are people, ascending, and their numbers (P,).
        """
        found = self._detections(xyxy=_to_corners(boxes), confidence=scores, data={"row": np.arange(len(boxes))})
        tracked = self._tracker.update(found, timestamp=time)
        if len(tracked) == 0:
            return np.empty(0, dtype=int), np.empty(0, dtype=int)
        rows, numbers = tracked.data["row"], tracked.tracker_id.copy()
        new = np.flatnonzero((numbers == -1) & (scores[rows] >= self.min_score))
        numbers[new] = self._number_new_tracks(len(new))
        order = np.argsort(rows)
        order = order[numbers[order] != -1]
        return rows[order], numbers[order]

    def _number_new_tracks(self, count: int) -> list[int]:
        """Number the tracks that have just begun, in the order of their detections.

        The library would do so a frame later, and leave a person's first frame without a number.
        """
        tracks = [track for track in self._tracker.tracks if track.tracker_id == -1]
        numbers = list(itertools.islice(self._numbers, count))
        for track, number in zip(tracks, numbers, strict=True):
            track.tracker_id = number
        return numbers


@dataclass(frozen=True, kw_only=True)
class SeenPeople:
    """P people of one frame.

    Args:
        boxes: (P, 4) as x, y, width, height.
        scores: (P,) of the boxes.
        keypoints: (P, K, 2)
        keypoint_scores: (P, K)
    """

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> SeenPeople:
        return SeenPeople(
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            keypoints=self.keypoints[rows],
            keypoint_scores=self.keypoint_scores[rows],
        )


def follow(detected: SeenPeople, last: SeenPeople, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes for the next frame: each edge of a detected box moves as far as the edge of the person's keypoints did.

    A box thus keeps the detector's margin around the keypoints, and nothing adds up from frame to frame. Only keypoints
    that are sure in both frames count, so that one which appears or vanishes moves nothing.

    Args:
        detected: P people at the last detection.
        last: The same people in the frame before the one asked for.
        size: (width, height) of the frame.

    Returns:
        Boxes (P, 4) as x, y, width, height, and which of them (P,) still hold a person: True where enough keypoints are
        sure and the box is inside the frame, at least partly.
    """
    sure = (detected.keypoint_scores >= SURE_KEYPOINT) & (last.keypoint_scores >= SURE_KEYPOINT)  # (P, K)
    corners = _to_corners(detected.boxes) + _extent(last.keypoints, sure) - _extent(detected.keypoints, sure)  # (P, 4)
    low, high = corners[:, :2], corners[:, 2:]
    is_inside = (high > np.maximum(low + 1, 1)) & (low < np.array(size) - 1)  # (P, 2) along x and along y
    is_held = np.all(is_inside, axis=1) & (np.sum(sure, axis=1) >= MIN_KEYPOINTS)
    return np.concatenate([low, high - low], axis=1), is_held


def _to_corners(boxes: np.ndarray) -> np.ndarray:
    """Boxes (P, 4) of x, y, width, height as left, top, right, bottom."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _extent(keypoints: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom (P, 4) of each person's sure keypoints; zeros for a person who has none."""
    low = np.where(sure[:, :, None], keypoints, np.inf).min(axis=1, initial=np.inf)  # (P, 2)
    high = np.where(sure[:, :, None], keypoints, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.any(sure, axis=1)[:, None], np.concatenate([low, high], axis=1), 0)
