"""The people of a video: found, recognized, located between detections, and smoothed over time."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice

from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD
from vitpose.processing.people_vitpose import Detections, People
from vitpose.processing.prediction_vitpose import Crops, PosePredictor, cut_crops

from ..base.errors import placed
from .following import FOLLOWED_SCORE, MIN_KEYPOINTS, Following
from .frames import FindPeople, Frame, Seen
from .interpolation import MAX_WAITING, Interpolation
from .smoothing import OneEuroFilter
from .tracking import PeopleTracker, TrackerName

LONGEST_INTERVAL = 0.25  # seconds between detections; beyond, people move too far to be recognized by their boxes
MOST_FRAMES = 32  # between detections that are in memory at once
REACH = 0.5  # of a tracker that sees only the frames of detections


class VideoPredictor:
    """Finds the people of one video.

    What it keeps of the frames before is in the first frame's pixels, so that people stay the same when a video changes
    its size.

    Args:
        predictor: Finds keypoints in boxes.
        find_people: Finds boxes in frames.
        min_score: Least score of a box that may be a new person.
        detect_every: Look for people in every so many frames, and locate them in between.
        tracker: What recognizes people, see [`PeopleTracker`].
        smooth: Whether to smooth keypoints over time with a One Euro filter.

    Raises:
        ValueError: `detect_every` is below 1, or there is no tracker of this name.
    """

    def __init__(
        self,
        *,
        predictor: PosePredictor,
        find_people: FindPeople,
        min_score: float = DETECTOR_THRESHOLD,
        detect_every: int = 1,
        tracker: TrackerName = "bytetrack",
        smooth: bool = False,
    ) -> None:
        if detect_every < 1:
            raise ValueError(f"detect_every: expected at least 1, which is every frame, got {detect_every}.")
        self.predictor = predictor
        self.find_people = find_people
        self.detect_every = detect_every
        self._tracker = tracker
        self._min_score = min_score
        self._smoother = OneEuroFilter() if smooth else None

    def stream(self, frames: Iterable[Frame], *, live: bool = False) -> Iterator[tuple[Frame, People]]:
        """Predict frame after frame.

        Args:
            frames: Those of the video, in their order.
            live: Give each frame's people before the next frame is read, as a camera needs, and follow people between
                detections by their keypoints. Otherwise some frames are read ahead, so that their people share batches,
                and boxes between two detections are found from both, unless these are more than a quarter of a second
                apart: then people are followed as well.

        Returns:
            Each frame and its people, in the frame's pixels, with their track ids.

        Raises:
            ValueError: As the predictor; the message names the frame. It comes after the people of the frames before.
        """
        one_by_one, frames = (True, frames) if live else self._are_far_apart(frames)
        reach = 0.0 if one_by_one or self.detect_every == 1 else REACH
        tracker = PeopleTracker(min_score=self._min_score, name=self._tracker, reach=reach)
        following = Following(self.find_people, tracker, self.detect_every)
        interpolation = Interpolation(find_people=self.find_people, tracker=tracker, detect_every=self.detect_every)
        seen = following(frames) if one_by_one else interpolation(frames)
        photos = self.predictor.stream(self._cut_all(seen), max_waiting=1 if one_by_one else MAX_WAITING)
        for own, people in photos:
            people = replace(people, track_ids=own.track_ids)
            following.last = _scaled(people, own)
            is_held = ~own.is_guess | ((people.scores >= FOLLOWED_SCORE).sum(1) >= MIN_KEYPOINTS)
            yield own.frame, self._smoothed(people[is_held], own)

    def _are_far_apart(self, frames: Iterable[Frame]) -> tuple[bool, Iterator[Frame]]:
        """Whether detections are too far apart for people to be located between them, by the first two frames."""
        source = iter(frames)
        first = list(islice(source, 2)) if self.detect_every > 1 else []
        step = first[1].time - first[0].time if len(first) == 2 else 0.0
        is_far = self.detect_every * step > LONGEST_INTERVAL or self.detect_every > MOST_FRAMES
        return is_far, chain(first, source)

    def _cut_all(self, seen: Iterable[Seen]) -> Iterator[tuple[Seen, Crops, Detections]]:
        """The people of each frame, and their crops."""
        settings, device, dtype = self.predictor.settings, self.predictor.device, self.predictor.dtype
        for own in seen:
            try:
                crops = cut_crops(own.frame.pixels, own.found.boxes_xywh, settings, device=device, dtype=dtype)
            except (TypeError, ValueError) as error:
                raise placed(error, f"Frame {own.frame.index}") from error
            yield own, crops, own.found

    def _smoothed(self, people: People, own: Seen) -> People:
        if self._smoother is None:
            return people
        keypoints = self._smoother(_scaled(people, own), own.frame.time) / own.scale
        return replace(people, keypoints_xy=keypoints.float())


def _scaled(people: People, own: Seen) -> People:
    """People of a frame in the first frame's pixels."""
    return replace(
        people,
        keypoints_xy=people.keypoints_xy * own.scale,
        boxes_xywh=people.boxes_xywh * own.scale.repeat(2),
    )
