"""Frames of a video, and the people who are looked for in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitpose.processing.people_vitpose import Detections


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

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.pixels.shape[1:]
        return width, height


FindPeople = Callable[[Sequence[Frame]], Sequence[Detections]]
"""Finds the people of some frames, in each frame's pixels; frames come in their order, several at a time."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The P people of a frame whose keypoints are to be found.

    Args:
        frame: The frame.
        scale: `(2,)` from its pixels to the first frame's.
        found: Their boxes, in the frame's pixels.
        track_ids: `(P,)` long.
        is_guess: `(P,)`; True for those who are there only if the keypoints say so.
    """

    frame: Frame
    scale: Tensor
    found: Detections
    track_ids: Tensor
    is_guess: Tensor

    def moved(self, boxes_xywh: Tensor, is_guess: Tensor, frame: Frame, first_size: tuple[int, int]) -> "Seen":
        """The same people in another frame, in boxes `(P, 4)` in the first frame's pixels; without those outside it."""
        low, high = boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]
        is_inside = (high > (low + 1).clamp(min=1)) & (low < low.new_tensor(first_size) - 1)  # (P, 2) along x and y
        rows = is_inside.all(1).nonzero()[:, 0]
        scale = scale_to(first_size, frame)
        found = Detections(boxes_xywh=boxes_xywh / scale.repeat(2), scores=self.found.scores, labels=self.found.labels)
        return Seen(
            frame=frame,
            scale=scale,
            found=some(found, rows),
            track_ids=self.track_ids[rows],
            is_guess=is_guess[rows],
        )


def scale_to(first_size: tuple[int, int], frame: Frame) -> Tensor:
    """What takes a frame's pixels to the first frame's, `(2,)` float64."""
    return torch.tensor(first_size, dtype=torch.float64) / torch.tensor(frame.size, dtype=torch.float64)


def some(found: Detections, rows: Tensor) -> Detections:
    """The detections in these rows."""
    labels = tuple(found.labels[row] for row in rows.tolist())
    return Detections(boxes_xywh=found.boxes_xywh[rows], scores=found.scores[rows], labels=labels)
