"""The people of a video: found, recognized, followed between detections, and smoothed over time.

Identities come from ByteTrack (Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022), as the `trackers` library has it.

Between detections a person's box moves with their own keypoints, rather than along the tracker's prediction: keypoints
are measured in the frame at hand, so that the box also follows someone who turns, stops or lifts an arm, while the
prediction goes on at the last speed, and ByteTrack forgets a person at once whom it sees a first time and then misses.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD
from vitpose.processing.people_vitpose import Detections, People
from vitpose.processing.prediction_vitpose import Crops, PosePredictor, cut_crops

from ..base.errors import placed
from ..base.files import read_boxes

MAX_WAITING = 8  # frames whose people share a batch, where no frame depends on the one before
LEAST_SCORE = 0.1  # of a detection that may continue a track; ByteTrack's paper has the same
FOLLOWED_SCORE = 0.3  # least score of a keypoint that moves its person's box
MIN_KEYPOINTS = 3  # such keypoints without which a person is lost until the next detection


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture of a video.

    Args:
        index: Its number, from 0.
        time: Seconds since the first frame; always more than the frame before.
        pixels: `(3, height, width)` uint8 RGB, upright; frames of one video may differ in size.
    """

    index: int
    time: float
    pixels: Tensor


FindPeople = Callable[[Frame], Detections]
"""Finds people in a frame; boxes are in the frame's pixels."""


def find_whole_image(frame: Frame) -> Detections:
    """One person, who fills each frame."""
    height, width = frame.pixels.shape[1:]
    return Detections.given(torch.tensor([[0.0, 0.0, width, height]], dtype=torch.float64), "person")


class BoxesFile:
    """Finds people in a JSON file: a list of `{"frame": 0, "bbox": [x, y, width, height]}`, an entry a person.

    Frames are numbered from 0; one without an entry has no people.

    Args:
        path: Of the file.

    Attributes:
        left: Boxes of the frames that were not asked for yet.

    Raises:
        ValueError: The file is something else; the message names it.
    """

    def __init__(self, path: Path) -> None:
        self.left = read_boxes(path, "frame")
        for frame, boxes in self.left.items():
            if type(frame) is not int or frame < 0:
                raise ValueError(f"{path}: expected the number of a frame, counted from 0, got {frame!r}.")
            for box in boxes:
                if not isinstance(box, list) or len(box) != 4 or not all(type(side) in (int, float) for side in box):
                    raise ValueError(f"{path}: frame {frame}: expected a bbox [x, y, width, height], got {box!r}.")

    def __call__(self, frame: Frame) -> Detections:
        """The people in the boxes of this frame, each of score 1."""
        boxes_xywh = torch.tensor(self.left.pop(frame.index, []), dtype=torch.float64).reshape(-1, 4)
        count = len(boxes_xywh)
        return Detections(boxes_xywh=boxes_xywh, scores=torch.ones(count), labels=("person",) * count)


def _import_trackers() -> tuple[Any, Any]:
    """`ByteTrackTracker` and the class of detections it takes."""
    try:
        from supervision import Detections as TrackedBoxes
        from trackers import ByteTrackTracker
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Tracking people needs trackers: pip install "vitpose[video]".') from error
    except ImportError as error:  # a server without a display often lacks libGL, which OpenCV's usual build wants
        raise ImportError(
            f"Tracking people needs trackers, and trackers needs OpenCV, which cannot be loaded: {error}. On a machine "
            "without a display: pip uninstall opencv-python, then pip install opencv-python-headless."
        ) from error
    return ByteTrackTracker, TrackedBoxes


class PeopleTracker:
    """Track ids for people, the same from frame to frame; they start at 1.

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
        tracker, self._tracked_boxes = _import_trackers()
        self.min_score = min_score
        # it counts in thirtieths of a second, whatever the video's rate: `update` tells it the time
        self._tracker = tracker(track_activation_threshold=min_score, high_conf_det_threshold=min_score)
        self._ids = itertools.count(1)

    def update(self, found: Detections, time: float) -> tuple[Tensor, Tensor]:
        """Recognize the people of one frame.

        Args:
            found: N boxes, in pixels that are the same for all frames.
            time: Seconds of the frame; must grow from call to call.

        Returns:
            Rows `(P,)` of the boxes that are people, ascending, and their track ids `(P,)`.
        """
        scores, (corners, sides) = found.scores.double().numpy(), found.boxes_xywh.split(2, dim=1)
        boxes_xyxy, data = torch.cat([corners, corners + sides], dim=1).numpy(), {"row": np.arange(len(scores))}
        tracked = self._tracker.update(
            self._tracked_boxes(xyxy=boxes_xyxy, confidence=scores, data=data), timestamp=time
        )
        if len(tracked) == 0:
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
        rows, ids = tracked.data["row"], tracked.tracker_id.copy()
        # the library would number tracks a frame after they begin, and leave a person's first frame without a number
        begun = [track for track in self._tracker.tracks if track.tracker_id == -1]
        new = np.flatnonzero((ids == -1) & (scores[rows] >= self.min_score))
        for track, place in zip(begun, new, strict=True):  # both in the order of the detections
            track.tracker_id = ids[place] = next(self._ids)
        order = np.argsort(rows)
        order = order[ids[order] != -1]
        return torch.from_numpy(rows[order]), torch.from_numpy(ids[order]).long()


def follow(detected: People, last: People, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes for the next frame: each edge of a detected box moves as far as the edge of the person's keypoints did.

    A box thus keeps the detector's margin around the keypoints, and nothing adds up from frame to frame. Only keypoints
    that are confident in both frames count, so that one which appears or vanishes moves nothing.

    Args:
        detected: P people at the last detection.
        last: The same people in the frame before the one asked for.
        size: (width, height) of the frame.

    Returns:
        Boxes `(P, 4)` as x, y, width, height, and which of them `(P,)` still hold a person: True where enough keypoints
        are confident and the box is inside the frame, at least partly.
    """
    confident = (detected.scores >= FOLLOWED_SCORE) & (last.scores >= FOLLOWED_SCORE)  # (P, K)
    moved = _extent(last.keypoints_xy, confident) - _extent(detected.keypoints_xy, confident)  # (P, 4)
    corners = detected.boxes_xyxy + moved
    low, high = corners[:, :2], corners[:, 2:]
    is_inside = (high > (low + 1).clamp(min=1)) & (low < low.new_tensor(size) - 1)  # (P, 2) along x and along y
    is_held = is_inside.all(1) & (confident.sum(1) >= MIN_KEYPOINTS)
    return torch.cat([low, high - low], dim=1), is_held


def _extent(keypoints_xy: Tensor, confident: Tensor) -> Tensor:
    """Left, top, right, bottom `(P, 4)` of each person's confident keypoints; zeros for a person who has none."""
    others, points = ~confident[..., None], keypoints_xy.double()
    low, high = points.masked_fill(others, torch.inf).amin(1), points.masked_fill(others, -torch.inf).amax(1)
    return torch.cat([low, high], dim=1).where(confident.any(1, keepdim=True), 0)


@dataclass(frozen=True, kw_only=True)
class _Smoothed:
    """A person's smoothed points and speeds `(K, 2)`, in pixels and person sizes per second."""

    time: float
    points: Tensor
    speeds: Tensor


class OneEuroFilter:
    """A low-pass filter whose cutoff grows with the speed of a keypoint: smooth at rest, quick in motion.

    G. Casiez, N. Roussel and D. Vogel, "1 Euro Filter", CHI 2012.

    Speeds are measured in the person's size per second, so that the same settings suit near and far people and videos
    of any size. A person who comes back after `memory` seconds starts anew.

    Args:
        min_cutoff: Cutoff in Hz of a keypoint at rest; lower is smoother.
        beta: Hz by which the cutoff grows for each person size per second; higher follows quicker.
        speed_cutoff: Cutoff in Hz of the speeds themselves.
        memory: Seconds for which a person is remembered without being seen.
    """

    def __init__(
        self, *, min_cutoff: float = 1.0, beta: float = 10.0, speed_cutoff: float = 1.0, memory: float = 1.0
    ) -> None:
        self.min_cutoff = min_cutoff
        self.beta = beta
        self.speed_cutoff = speed_cutoff
        self.memory = memory
        self._states: dict[int, _Smoothed] = {}

    def __call__(self, people: People, time: float) -> Tensor:
        """Smooth the keypoints of one frame.

        Args:
            people: With track ids; the size of each is that of their box.
            time: Seconds; must grow from call to call.

        Returns:
            Keypoints `(P, K, 2)` float64; those of a person who is seen for the first time are as given.
        """
        assert people.track_ids is not None
        track_ids, points = people.track_ids.tolist(), people.keypoints_xy.double()  # (P, K, 2)
        self._states = {key: state for key, state in self._states.items() if time - state.time <= self.memory}
        if not track_ids:
            return points
        before = [
            # at rest, so that it stays as given
            self._states.get(key) or _Smoothed(time=time - 1, points=own, speeds=torch.zeros_like(own))
            for key, own in zip(track_ids, points, strict=True)
        ]
        elapsed = points.new_tensor([time - state.time for state in before])[:, None, None]  # (P, 1, 1)
        sizes = people.boxes_xywh[:, 2:].double().prod(1).sqrt()[:, None, None]
        old_points = torch.stack([state.points for state in before])
        old_speeds = torch.stack([state.speeds for state in before])
        speeds = (points - old_points) / (elapsed * sizes)  # (P, K, 2)
        # shares of the new values in exponential averages, (P, 1, 1) and (P, K, 1)
        weight = 1 - 1 / (1 + 2 * math.pi * self.speed_cutoff * elapsed)
        speeds = old_speeds + weight * (speeds - old_speeds)
        cutoff = self.min_cutoff + self.beta * speeds.norm(dim=2, keepdim=True)
        weight = 1 - 1 / (1 + 2 * math.pi * cutoff * elapsed)
        smooth = old_points + weight * (points - old_points)  # (P, K, 2)
        for key, own_points, own_speeds in zip(track_ids, smooth, speeds, strict=True):
            self._states[key] = _Smoothed(time=time, points=own_points, speeds=own_speeds)
        return smooth


class VideoPredictor:
    """Finds the people of one video.

    What it keeps of the frames before is in the first frame's pixels, so that people stay the same when a video changes
    its size.

    Args:
        predictor: Finds keypoints in boxes.
        find_people: Finds boxes in a frame.
        min_score: Least score of a box that may be a new person.
        detect_every: Look for people in every so many frames, and follow their keypoints in between.
        smooth: Whether to smooth keypoints over time with a One Euro filter.
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
        self._first_size: tuple[int, int] | None = None  # width, height
        self._detected: People | None = None  # the people of the last detection
        self._last: People | None = None  # the same people in the frame before

    def stream(self, frames: Iterable[Frame], *, max_waiting: int = MAX_WAITING) -> Iterator[tuple[Frame, People]]:
        """Predict frame after frame.

        Args:
            frames: Those of the video, in their order.
            max_waiting: Frames that are read before the first one's people are given, so that their people share
                batches; where people are followed from frame to frame it is 1.

        Returns:
            Each frame and its people, in the frame's pixels, with their track ids.

        Raises:
            ValueError: As the predictor; the message names the frame. It comes after the people of the frames before.
        """
        lookahead = max_waiting if self.detect_every == 1 else 1
        photos = self.predictor.stream(self._cut_all(frames), max_waiting=lookahead)
        for (frame, scale, track_ids), people in photos:
            keypoints = people.keypoints_xy * scale
            seen = replace(
                people,
                keypoints_xy=keypoints,
                boxes_xywh=people.boxes_xywh * scale.repeat(2),
                track_ids=track_ids,
            )
            self._last = seen
            self._detected = seen if self._detected is None else self._detected
            if self._smoother is not None:
                keypoints = self._smoother(seen, frame.time)
            yield frame, replace(seen, keypoints_xy=(keypoints / scale).float(), boxes_xywh=people.boxes_xywh)

    def _cut_all(self, frames: Iterable[Frame]) -> Iterator[tuple[tuple[Frame, Tensor, Tensor], Crops, Detections]]:
        """Each frame, the scale from its pixels to the first one's, and the track ids of its people; their crops."""
        settings, device, dtype = self.predictor.settings, self.predictor.device, self.predictor.dtype
        for frame in frames:
            height, width = frame.pixels.shape[1:]
            self._first_size = self._first_size or (width, height)
            scale = torch.tensor(self._first_size, dtype=torch.float64) / torch.tensor([width, height])  # (2,)
            found, track_ids = self._find(frame, scale.repeat(2))
            try:
                crops = cut_crops(frame.pixels, found.boxes_xywh, settings, device=device, dtype=dtype)
            except (TypeError, ValueError) as error:
                raise placed(error, f"Frame {frame.index}") from error
            yield (frame, scale, track_ids), crops, found

    def _find(self, frame: Frame, scale: Tensor) -> tuple[Detections, Tensor]:
        """The people of a frame whose keypoints are to be predicted, and their track ids."""
        if frame.index % self.detect_every == 0:
            self._detected = None
        found = self.find_people(frame) if self._detected is None else self._follow(self._detected, scale)
        rows, track_ids = self._tracker.update(replace(found, boxes_xywh=found.boxes_xywh * scale), frame.time)
        if self._detected is not None:
            self._detected = self._detected[rows]
        labels = tuple(found.labels[row] for row in rows.tolist())
        return Detections(boxes_xywh=found.boxes_xywh[rows], scores=found.scores[rows], labels=labels), track_ids

    def _follow(self, detected: People, scale: Tensor) -> Detections:
        """The people of the last detection where they are now, with the detection's scores."""
        assert self._last is not None and self._first_size is not None
        boxes, is_held = follow(detected, self._last, self._first_size)
        self._detected = detected[is_held]
        return Detections(
            boxes_xywh=boxes[is_held] / scale, scores=self._detected.box_scores, labels=self._detected.labels
        )
