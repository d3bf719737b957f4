"""Boxes of people as they are typed: one a line, x, y, width and height in pixels of the photo."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

MAX_PEOPLE = 100  # boxes of a photo

Box = tuple[float, float, float, float]
"""x, y, width, height in image pixels."""


def parse_boxes(text: str, size: tuple[int, int]) -> list[Box]:
    """Boxes from lines of four numbers, with commas or spaces between them; empty lines do not count.

    Args:
        text: What was typed.
        size: Width and height of the photo.

    Raises:
        ValueError: A line is something else, or a box lies outside the photo.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    boxes = [_parse_line(number, line) for number, line in lines]
    check_boxes(boxes, size)
    return boxes


def _parse_line(number: int, line: str) -> Box:
    try:
        x, y, width, height = map(float, re.split(r"[,;\s]+", line.strip("[](),; ")))
    except ValueError as error:
        raise ValueError(f"Line {number}: expected four numbers x, y, width, height, got {line!r}.") from error
    return x, y, width, height


def format_boxes(boxes: Sequence[Sequence[float]]) -> str:
    """Boxes as lines that [`parse_boxes`] reads."""
    return "\n".join(", ".join(str(side) for side in box) for box in boxes)


def check_boxes(boxes: Sequence[Sequence[float]], size: tuple[int, int]) -> None:
    """Raise `ValueError` where a box has no area, lies outside the photo of this width and height, or are too many."""
    if len(boxes) > MAX_PEOPLE:
        raise ValueError(f"Expected at most {MAX_PEOPLE} boxes, got {len(boxes)}.")
    for number, box in enumerate(boxes, start=1):
        x, y, width, height = box
        if not all(map(math.isfinite, box)) or width <= 0 or height <= 0:
            shown = ", ".join(f"{side:g}" for side in box)
            raise ValueError(f"Box {number}: expected x, y and a width and height above 0, in pixels, got {shown}.")
        if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
            raise ValueError(f"Box {number} lies outside the photo of {size[0]} x {size[1]} pixels.")
