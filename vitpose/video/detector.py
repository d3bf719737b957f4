"""The people of a video's frames, found by an object-detection model."""

from collections.abc import Sequence
from functools import partial

from transformers import Pipeline

from vitpose.processing.detection_vitpose import as_detector, detect_all
from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD
from vitpose.processing.people_vitpose import Detections

from .finding import find_whole_image
from .frames import FindPeople, Frame
from .tracking import LEAST_SCORE


def people_finder(
    detector: str | Pipeline | None,
    *,
    threshold: float = DETECTOR_THRESHOLD,
    labels: Sequence[str] = ("person",),
    category: str = "person",
) -> FindPeople:
    """What finds people in frames: a detector, or without one, one person who fills each frame.

    Args:
        detector: As of [`PeopleDetector`]; None for the whole image.
        threshold: As of [`PeopleDetector`].
        labels: As of [`PeopleDetector`].
        category: What fills the frames, where there is no detector.
    """
    if detector is None:
        return partial(find_whole_image, category=category)
    return PeopleDetector(detector, threshold=threshold, labels=labels)


class PeopleDetector:
    """Finds people with an object-detection model of transformers.

    Args:
        detector: Folder or Hub id, or a pipeline.
        threshold: Least score of a person. Weaker detections are given as well, down to those that the tracker takes to
            follow people whom it knows.
        labels: What counts as a person in the detector's words.
    """

    def __init__(
        self, detector: str | Pipeline, *, threshold: float = DETECTOR_THRESHOLD, labels: Sequence[str] = ("person",)
    ) -> None:
        self.threshold = min(threshold, LEAST_SCORE)
        self.labels = labels
        self._detector = as_detector(detector)

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """The people that the detector finds in these frames, which share a batch of it."""
        pixels = [frame.pixels for frame in frames]
        return detect_all(self._detector, pixels, threshold=self.threshold, labels=self.labels)
