"""Where the people of a frame are: from a detector, from a file, or all over the frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Pipeline

from vitpose.processing.detection_vitpose import as_detector, detect
from vitpose.processing.keypoint_detection_pipeline import DETECTOR_THRESHOLD

from ..base.files import read_json
from .files import Frame
from .tracking import LEAST_SCORE

logger = logging.getLogger(__name__)

Found = tuple[list[list[float]], list[float]]
"""Boxes [x, y, width, height] in the pixels of a frame, and the score of each."""

FindPeople = Callable[[Frame], Found]


def find_whole_image(frame: Frame) -> Found:
    """One person, who fills each frame."""
    return [[0.0, 0.0, *map(float, frame.image.size)]], [1.0]


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

    def __call__(self, frame: Frame) -> Found:
        pixels = torch.from_numpy(np.array(frame.image)).permute(2, 0, 1)  # (3, height, width)
        found = detect(self._detector, pixels, threshold=self.threshold, labels=self.labels)
        return found.boxes_xywh.tolist(), found.scores.tolist()


class BoxesFile:
    """Finds people in a JSON file: a list of `{"frame": 0, "bbox": [x, y, width, height]}`, an entry a person.

    Frames are numbered from 0; one without an entry has no people.

    Args:
        path: Of the file.

    Raises:
        ValueError: The file is something else; the message names it.
    """

    def __init__(self, path: Path) -> None:
        content = read_json(path)
        entries: list[Any] = content if isinstance(content, list) else [None]
        if not all(isinstance(entry, dict) and {"frame", "bbox"} <= entry.keys() for entry in entries):
            raise ValueError(f'{path}: expected a list of {{"frame": 0, "bbox": [x, y, width, height]}} for a video.')
        self.path = path
        self._left: dict[int, list[list[float]]] = {}
        for entry in entries:
            index, box = _checked_entry(path, **{name: entry[name] for name in ("frame", "bbox")})
            self._left.setdefault(index, []).append(box)

    def __call__(self, frame: Frame) -> Found:
        boxes = self._left.pop(frame.index, [])
        return boxes, [1.0] * len(boxes)

    def warn_of_rest(self) -> None:
        """Say which boxes belong to no frame of the video, once it is over."""
        if self._left:
            logger.warning(
                "%s has boxes of %d frames, up to number %d, which the video does not have.",
                *(self.path, len(self._left), max(self._left)),
            )


def _checked_entry(path: Path, *, frame: Any, bbox: Any) -> tuple[int, list[float]]:
    if type(frame) is not int or frame < 0:
        raise ValueError(f"{path}: expected the number of a frame, counted from 0, got {frame!r}.")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(type(value) in (int, float) for value in bbox):
        raise ValueError(f"{path}: frame {frame}: expected a bbox [x, y, width, height], got {bbox!r}.")
    return frame, [float(value) for value in bbox]
