"""People keep their numbers over a video, by the trackers of the `trackers` library.

ByteTrack: Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022.
OC-SORT: J. Cao et al., "Observation-Centric SORT: Rethinking SORT for Robust Multi-Object Tracking", CVPR 2023.
BoT-SORT: N. Aharon et al., "BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022.
"""

from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose.processing.people_vitpose import Detections

from ..base.names import unknown_name
from .frames import Frame

TrackerName = Literal["bytetrack", "ocsort", "botsort"]

LEAST_SCORE = 0.1  # of a detection that may continue a track; ByteTrack's paper has the same
MEMORY = 1.0  # seconds for which someone who is not seen is remembered
UNNUMBERED = -1  # what the library says of a person whom it sees for the first time
SAME_PLACE = 0.1  # overlap (intersection over union) from which two boxes may be one person's


def import_trackers() -> tuple[ModuleType, Any]:
    """The library, and the class of detections that it takes."""
    try:
        import trackers
        from supervision import Detections as TrackedBoxes
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Tracking people needs trackers: pip install "vitpose[video]".') from error
    except ImportError as error:  # a server without a display often lacks libGL, which OpenCV's usual build wants
        raise ImportError(
            f"Tracking people needs trackers, and trackers needs OpenCV, which cannot be loaded: {error}. On a machine "
            "without a display: pip uninstall opencv-python, then pip install opencv-python-headless."
        ) from error
    return trackers, TrackedBoxes


def make_tracker(library: ModuleType, name: TrackerName, *, min_score: float, reach: float) -> Any:
    """A tracker that numbers people as soon as it may, and counts in thirtieths of a second whatever the video's rate.

    Raises:
        ValueError: There is no tracker of this name.
    """
    settings: dict[str, Any] = {
        "lost_track_buffer": round(30 * MEMORY),
        "minimum_consecutive_frames": 1,
        "high_conf_det_threshold": min_score,
        "iou": library.BIoU(reach),
    }
    if name == "ocsort":
        return library.OCSORTTracker(**settings)
    if name == "bytetrack":
        return library.ByteTrackTracker(track_activation_threshold=min_score, **settings)
    if name == "botsort":
        return library.BoTSORTTracker(track_activation_threshold=min_score, **settings)
    raise ValueError(unknown_name("tracker", name, get_args(TrackerName)))


class PeopleTracker:
    """Track ids for people, the same from frame to frame; they start at 1.

    Detections of at least `min_score` are people. Weaker ones, down to `LEAST_SCORE`, only continue a person whom a
    detection before showed: this is what carries ByteTrack and BoT-SORT through an occlusion. Someone who is not seen
    for a second is forgotten.

    Args:
        min_score: Least score of a new person's detection.
        name: `"bytetrack"` goes by overlap and constant speed. `"ocsort"` also goes by direction, which suits people
            who stop and turn. `"botsort"` also compensates the motion of the camera, which it looks for in the frames.
        reach: How far outside their boxes people are looked for, in widths and heights of these; for frames that are
            far apart.

    Raises:
        ModuleNotFoundError: The extra `video` is not installed.
        ImportError: OpenCV, which `trackers` imports, cannot be loaded.
        ValueError: There is no tracker of this name.
    """

    def __init__(self, *, min_score: float, name: TrackerName = "bytetrack", reach: float = 0.0) -> None:
        library, self._tracked_boxes = import_trackers()
        self._tracker = make_tracker(library, name, min_score=min_score, reach=reach)
        self._sees_frames = name == "botsort"
        self._overlap = library.IoU().compute
        self.min_score = min_score
        self._count = 0
        self._numbers: dict[int, int] = {}  # ours, of the library's
        # The library numbers a person whom it sees for the second time. Until then they have a number and a place here.
        self._once_seen: dict[int, tuple[float, NDArray[np.float64]]] = {}  # time and box (4,) of each number

    def update(self, found: Detections, frame: Frame, *, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Recognize the people of one frame.

        Args:
            found: N boxes, in the frame's pixels.
            frame: The frame; its time must grow from call to call.
            scale: `(2,)` from the frame's pixels to those that are the same for all frames; None where they are.

        Returns:
            Rows `(P,)` of the boxes that are people, ascending, and their track ids `(P,)`.
        """
        boxes_xywh = found.boxes_xywh if scale is None else found.boxes_xywh * scale.repeat(2)
        corners, sides = boxes_xywh.split(2, dim=1)
        boxes_xyxy, scores = torch.cat([corners, corners + sides], dim=1).numpy(), found.scores.double().numpy()
        tracked = self._tracker.update(
            self._tracked_boxes(xyxy=boxes_xyxy, confidence=scores, data={"row": np.arange(len(scores))}),
            frame=self._picture(frame, scale),
            timestamp=frame.time,
        )
        theirs: dict[int, int] = {}  # the library's numbers, of rows
        if len(tracked):
            theirs = dict(zip(tracked.data["row"].tolist(), tracked.tracker_id.tolist(), strict=True))
        is_new = {row: own == UNNUMBERED and scores[row] >= self.min_score for row, own in theirs.items()}
        known = {row: own for row, own in theirs.items() if own != UNNUMBERED}
        numbers = self._ours(known, [row for row in is_new if is_new[row]], boxes_xyxy, frame.time)
        people = sorted(numbers)
        return torch.tensor(people, dtype=torch.long), torch.tensor([numbers[row] for row in people], dtype=torch.long)

    def _ours(
        self, theirs: dict[int, int], new: list[int], boxes_xyxy: NDArray[np.float64], time: float
    ) -> dict[int, int]:
        """Our numbers, of the rows that the library numbers and of those whom it sees for the first time."""
        self._once_seen = {number: seen for number, seen in self._once_seen.items() if time - seen[0] <= MEMORY}
        numbers = {row: self._numbers[own] for row, own in theirs.items() if own in self._numbers}
        again = [row for row in theirs if row not in numbers]
        numbers |= self._number(again, boxes_xyxy, least_overlap=0.0)
        self._numbers |= {theirs[row]: numbers[row] for row in again}
        for number in numbers.values():
            self._once_seen.pop(number, None)
        first = self._number(new, boxes_xyxy, least_overlap=SAME_PLACE)
        self._once_seen |= {number: (time, boxes_xyxy[row]) for row, number in first.items()}
        return numbers | first

    def _number(self, rows: list[int], boxes_xyxy: NDArray[np.float64], *, least_overlap: float) -> dict[int, int]:
        """A number for each of these rows: that of someone seen once at its place, else a new one.

        Which of them is whom is decided as the library decides it: by the overlap of all of them together.
        """
        from scipy.optimize import linear_sum_assignment  # trackers needs it, too

        open_numbers, rows = list(self._once_seen), sorted(rows)
        numbers: dict[int, int] = {}
        if rows and open_numbers:
            places = np.stack([self._once_seen[number][1] for number in open_numbers])
            overlap = self._overlap(places, boxes_xyxy[rows])
            for place, row in zip(*linear_sum_assignment(overlap, maximize=True), strict=True):
                if overlap[place, row] > least_overlap:
                    numbers[rows[row]] = open_numbers[place]
        for row in rows:
            if row not in numbers:
                self._count += 1
                numbers[row] = self._count
        return numbers

    def _picture(self, frame: Frame, scale: Tensor | None) -> NDArray[np.uint8] | None:
        """The frame as the library takes it, BGR `(height, width, 3)`; None where it is not looked at.

        It looks for motion, in pixels: frames of another size than the first are left out.
        """
        if not self._sees_frames or (scale is not None and (scale != 1).any()):
            return None
        return np.ascontiguousarray(frame.pixels.flip(0).permute(1, 2, 0).numpy())
