"""People followed from frame to frame by their own keypoints, for cameras, which cannot be read ahead.

Between detections a person's box moves with their own keypoints, rather than along the tracker's prediction: keypoints
are measured in the frame at hand, so that the box also follows someone who turns, stops or lifts an arm, while the
prediction goes on at the last speed.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vitpose.processing.people_vitpose import Detections, People

from .frames import FindPeople, Frame, Seen, scale_to, some
from .tracking import PeopleTracker

FOLLOWED_SCORE = 0.3  # least score of a keypoint that moves its person's box
MIN_KEYPOINTS = 3  # such keypoints without which a person is lost until the next detection


class Following:
    """People of frame after frame; between detections [`follow`] says where.

    Args:
        find_people: Finds boxes in a frame.
        tracker: Numbers people.
        detect_every: Frames from one detection to the next.

    Attributes:
        last: The people of the last frame, with keypoints and boxes in the first frame's pixels; to be set before the
            next frame is asked for.
    """

    def __init__(self, find_people: FindPeople, tracker: PeopleTracker, detect_every: int) -> None:
        self.find_people = find_people
        self.tracker = tracker
        self.detect_every = detect_every
        self.last: People | None = None
        self._detected: People | None = None  # the people of the last detection

    def __call__(self, frames: Iterable[Frame]) -> Iterator[Seen]:
        """The people of each frame."""
        first_size: tuple[int, int] | None = None
        for frame in frames:
            first_size = first_size or frame.size
            if frame.index % self.detect_every == 0:
                self._detected = None
            elif self._detected is None:
                self._detected = self.last
            scale = scale_to(first_size, frame)
            found = self.find_people([frame])[0] if self._detected is None else self._follow(scale, first_size)
            rows, track_ids = self.tracker.update(found, frame, scale=scale)
            if self._detected is not None:
                self._detected = self._detected[rows]
            is_guess = torch.zeros(len(rows), dtype=torch.bool)
            yield Seen(frame=frame, scale=scale, found=some(found, rows), track_ids=track_ids, is_guess=is_guess)

    def _follow(self, scale: Tensor, first_size: tuple[int, int]) -> Detections:
        """The people of the last detection where they are now, with the detection's scores."""
        assert self._detected is not None and self.last is not None
        boxes, is_held = follow(self._detected, self.last, first_size)
        held = self._detected = self._detected[is_held]
        return Detections(boxes_xywh=boxes[is_held] / scale.repeat(2), scores=held.box_scores, labels=held.labels)


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
