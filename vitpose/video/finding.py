"""Where people come from: boxes of a file, or one person who fills each frame; `detector` finds them with a model."""

from collections.abc import Sequence
from pathlib import Path

import torch

from vitpose.processing.people_vitpose import Detections

from ..base.files import read_boxes
from .frames import Frame


def find_whole_image(frames: Sequence[Frame], *, category: str = "person") -> list[Detections]:
    """One person, or other being of this category, who fills each frame."""
    boxes = [torch.tensor([[0.0, 0.0, *frame.size]], dtype=torch.float64) for frame in frames]
    return [Detections.given(box, category) for box in boxes]


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

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """The people in the boxes of these frames, each of score 1."""
        boxes = [torch.tensor(self.left.pop(frame.index, []), dtype=torch.float64) for frame in frames]
        return [Detections.given(own.reshape(-1, 4), "person") for own in boxes]
