"""People of a video, frame by frame: found or followed, numbered, their keypoints predicted and calmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.drawing import to_array
from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD

from .files import Frame
from .find_people import FindPeople
from .smoothing import OneEuroFilter
from .tracking import PeopleTracker, SeenPeople, follow


class PosePredictor(Protocol):
    """Finds the keypoints of the people in given boxes."""

    @property
    def schema(self) -> KeypointSchema:
        """What the keypoints are."""

    def __call__(self, image: Image.Image, boxes: list[list[float]]) -> Sequence[Mapping[str, Any]]:
        """One dict a box [x, y, width, height]: keypoints (K, 2) and scores (K,), all in image pixels."""


@dataclass(frozen=True, kw_only=True)
class TrackedPerson:
    """One person in one frame, in the pixels of that frame.

    Args:
        track_id: The same number in every frame of the video.
        bbox: x, y, width, height `(4,)` of the box the keypoints were found in.
        keypoints: x, y `(K, 2)`.
        scores: `(K,)`.
    """

    track_id: int
    bbox: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray


class VideoPredictor:
    """Finds the people of one video; call it with one frame after another.

    What it keeps of the frames before is in the first frame's pixels, so that people stay the same when a video changes
    its size.

    Args:
        predictor: Finds keypoints in boxes.
        find_people: Finds boxes in a frame.
        min_score: Least score of a box that may be a new person.
        detect_every: Look for people in every so many frames, and follow their keypoints in between.
        smooth: Whether to calm the keypoints with a one-euro filter.
    """

    def __init__(
        self,
        *,
        predictor: PosePredictor,
        find_people: FindPeople,
        min_score: float = DETECTOR_THRESHOLD,
        detect_every: int = 1,
        smooth: bool = False,
    ) -> None:
        if detect_every < 1:
            raise ValueError(f"detect_every: expected at least 1, which is every frame, got {detect_every}.")
        self.predictor = predictor
        self.find_people = find_people
        self.detect_every = detect_every
        self._tracker = PeopleTracker(min_score=min_score)
        self._smoother = OneEuroFilter() if smooth else None
        self._first_size: tuple[int, int] | None = None
        self._detected: SeenPeople | None = None
        self._last: SeenPeople | None = None

    @property
    def schema(self) -> KeypointSchema:
        """What the predicted keypoints are."""
        return self.predictor.schema

    def __call__(self, frame: Frame) -> list[TrackedPerson]:
        """The people of the next frame."""
        self._first_size = self._first_size or frame.image.size
        scale = np.array(self._first_size) / frame.image.size  # (2,) from this frame's pixels to the first one's
        people, track_ids = self._seen(frame, scale)
        keypoints = people.keypoints
        if self._smoother is not None:
            sizes = np.sqrt(people.boxes[:, 2:].prod(axis=1))  # (P,)
            keypoints = self._smoother(keypoints, track_ids=track_ids, sizes=sizes, time=frame.time)
        boxes, keypoints = people.boxes / np.tile(scale, 2), keypoints / scale
        return [
            TrackedPerson(track_id=track_ids[row], bbox=boxes[row], keypoints=keypoints[row], scores=scores)
            for row, scores in enumerate(people.keypoint_scores)
        ]

    def _seen(self, frame: Frame, scale: np.ndarray) -> tuple[SeenPeople, list[int]]:
        """People of a frame, in the first frame's pixels, and their numbers."""
        is_detection = self._detected is None or frame.index % self.detect_every == 0
        boxes, scores = self._find(frame, scale) if is_detection else self._follow()
        rows, track_ids = self._tracker.update(boxes, scores, frame.time)
        keypoints, keypoint_scores = self._predict(frame, boxes[rows] / np.tile(scale, 2))
        self._last = SeenPeople(
            boxes=boxes[rows], scores=scores[rows], keypoints=keypoints * scale, keypoint_scores=keypoint_scores
        )
        self._detected = self._detected[rows] if self._detected is not None and not is_detection else self._last
        return self._last, track_ids.tolist()

    def _find(self, frame: Frame, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) and scores (N,) of a detection."""
        boxes, scores = self.find_people(frame)
        return np.array(boxes, dtype=float).reshape(-1, 4) * np.tile(scale, 2), np.array(scores, dtype=float)

    def _follow(self) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) of the people of the last detection where they are now, and the detection's scores (N,)."""
        assert self._detected is not None and self._last is not None and self._first_size is not None
        boxes, held = follow(self._detected, self._last, self._first_size)
        self._detected = self._detected[held]
        return boxes[held], self._detected.scores

    def _predict(self, frame: Frame, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (P, K, 2) and their scores (P, K), in the frame's pixels."""
        try:
            people = self.predictor(frame.image, boxes.tolist()) if len(boxes) else []
        except ValueError as error:
            raise ValueError(f"Frame {frame.index}: {error}") from error
        count = self.schema.num_keypoints
        keypoints = np.reshape([to_array(person["keypoints"]) for person in people], (len(people), count, 2))
        return keypoints, np.reshape([to_array(person["scores"]) for person in people], (len(people), count))
