"""Keypoints and boxes of COCO files as arrays, in each of the ways that programs write them."""

import logging
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitpose.base.errors import Place
from vitpose.modeling.keypoint_schemas import KeypointSchema

from .columns import number_table

logger = logging.getLogger(__name__)


def keypoint_table(
    rows: Sequence[Any], schema: KeypointSchema, *, source: Path, place_of: Callable[[int], Place]
) -> np.ndarray:
    """Stack the keypoints of people into a new array `(n, K, 3)`, with visibilities 0, 1 and 2.

    Read are, beside COCO's flat x, y, v: pairs x, y, all of them labeled but 0, 0; nested lists; null for a keypoint
    that is not there; and zeros after the last keypoint, with which several skeletons are made equally long. A
    visibility between or beyond COCO's numbers is 1, labeled, if it is above 0.

    Args:
        rows: What the annotations have.
        schema: Their K keypoints.
        source: The annotation file, for the log.
        place_of: Gives the place of a row for errors.

    Raises:
        PlacedError: A row has another number of keypoints.
    """
    count = schema.num_keypoints
    packed = (array, np.ndarray)
    rows = [row if isinstance(row, packed) and len(row) == 3 * count else _triples(row, count) for row in rows]
    content = f"the {count} keypoints [x, y, v] of the schema {schema.name!r}"
    table = number_table(rows, 3 * count, content, place_of).reshape(-1, count, 3)
    flags = table[..., 2]
    odd = ~((flags == 0) | (flags == 1) | (flags == 2))
    if odd.any():
        flags[odd] = flags[odd] > 0
        message = "%s: %d people have a visibility other than 0, 1 or 2: keypoints are labeled where it is above 0."
        logger.warning(message, source, odd.any(1).sum())
    return table


def _triples(row: Any, count: int) -> Any:
    """Keypoints of one annotation as flat x, y, v; unchanged what cannot be read."""
    flat = list(_flat(row))
    try:
        numbers = np.array([np.nan if value is None else value for value in flat], dtype=np.float64)
    except (TypeError, ValueError):
        return row
    if numbers.size > 3 * count and not numbers[3 * count :].any():
        flat, numbers = flat[: 3 * count], numbers[: 3 * count]
    if numbers.size == 2 * count and not (numbers.size % 3 == 0 and np.isin(numbers[2::3], (0, 1, 2)).all()):
        xy = numbers.reshape(count, 2)
        labeled = np.isfinite(xy).all(1, keepdims=True) & xy.any(1, keepdims=True)
        return np.where(labeled, np.c_[xy, np.full(count, 2.0)], 0).ravel()
    if numbers.size == 3 * count:
        absent = np.array([value is None for value in flat]).reshape(count, 3).any(1)
        numbers.reshape(count, 3)[absent] = 0
        return numbers
    return row


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, (list, tuple, array, np.ndarray)):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def box_table(rows: Sequence[Any], place_of: Callable[[int], Place]) -> np.ndarray:
    """Stack boxes into a new array `(n, 4)`; absent ones are zeros.

    Raises:
        PlacedError: A row has something else than four numbers.
    """
    return number_table([row or (0, 0, 0, 0) for row in rows], 4, "bbox = [x, y, width, height]", place_of)


def mark_fractions(keypoints: np.ndarray, boxes: np.ndarray, *, source: Path) -> np.ndarray:
    """Refuse a file whose coordinates are shares of the photo, from 0 to 1; nobody's keypoints lie in one pixel.

    Args:
        keypoints: `(n, K, 3)`.
        boxes: `(n, 4)`.
        source: The annotation file.

    Returns:
        Rows `(n,)` of people, in a file that is in pixels else, with two or more keypoints and all of them from 0 to 1.

    Raises:
        ValueError: All keypoints or all boxes are such.
    """
    several = (keypoints[..., 2] > 0).sum(1) > 1
    within = several & (keypoints[..., :2].max((1, 2)) <= 1) & (keypoints[..., :2].min((1, 2)) >= 0)
    sized = (boxes[:, 2:] > 0).all(1)
    for what, share in (("keypoints", within[several]), ("boxes", (boxes[sized] <= 1).all(1))):
        if share.size and share.all():
            raise ValueError(
                f"{source}: all {what} lie between 0 and 1, as shares of the photo: expected pixels. Multiply x and "
                "width by the width of the photo, y and height by its height."
            )
    if within.any():
        logger.warning("%s: left out %d people whose keypoints all lie in the first pixel.", source, within.sum())
    return within
