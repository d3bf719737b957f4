"""Boxes of people whose annotations have none of their own: a drawn rectangle, or one around the keypoints.

Tools compute a box from the keypoints where nobody drew one. It ends at the outermost keypoint, while a person goes on
to the top of the head and the soles of the feet, as the boxes of a detector do that a model meets later.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitpose.base.names import first_of

logger = logging.getLogger(__name__)

# Share of the longer side by which people reach beyond their outermost keypoints, on each of the four sides. Medians of
# people with ten or more labeled keypoints: 0.07 to the sides, 0.13 above and 0.10 below in COCO, the same in OCHuman.
PERSON_MARGIN = 0.1
_ROUNDING = 1.0  # pixels by which a box that was computed from keypoints may be off
_SLACK = 0.05  # share of a rectangle's sides by which a keypoint may lie outside it
_SAMPLE = 1000  # people to look at before all are
_LARGEST = 3.0  # sides of rectangles around people by the longer side around their keypoints, half a person's too

LABELS_OF_PEOPLE = frozenset({"person", "people", "human", "box", "bbox"})  # of rectangles, whatever the skeleton's is


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A drawn rectangle without keypoints.

    Args:
        image_id: Its image.
        box: x, y, width, height.
        label: What it is said to be of.
        own: The label is the skeleton's own, or one of [`LABELS_OF_PEOPLE`].
    """

    image_id: int
    box: Sequence[float]
    label: str
    own: bool


def keypoint_extents(keypoints: np.ndarray) -> np.ndarray:
    """Boxes `(n, 4)`, x, y, width, height, that end at the labeled keypoints `(n, K, 3)`; NaN where none is labeled."""
    points = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)  # (n, K, 2)
    lowest = np.fmin.reduce(points, axis=1, initial=np.nan)  # NaN is ignored beside numbers
    highest = np.fmax.reduce(points, axis=1, initial=np.nan)
    return np.concatenate([lowest, highest - lowest], axis=1)


def padded_extents(keypoints: np.ndarray) -> np.ndarray:
    """Boxes `(n, 4)` that reach [`PERSON_MARGIN`] beyond the labeled keypoints; empty around a single point."""
    extents = keypoint_extents(keypoints)
    margin = PERSON_MARGIN * extents[:, 2:].max(1, keepdims=True, initial=0)  # (n, 1)
    return np.concatenate([extents[:, :2] - margin, extents[:, 2:] + 2 * margin], axis=1)


def rows_without_box(boxes: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the people whose box says no more than their keypoints do.

    Args:
        boxes: `(n, 4)`.
        keypoints: `(n, K, 3)`.

    Returns:
        Rows of boxes without an area, and rows of boxes that end at the outermost keypoints. The latter only where that
        is so for most of the file's people, since it then was a program's doing, and may else be chance.
    """
    labeled = (keypoints[..., 2] > 0).any(1)
    empty = labeled & (boxes[:, 2:] == 0).any(1) & (boxes[:, 2:] >= 0).all(1)
    candidates = np.flatnonzero(labeled & (boxes[:, 2:] > 0).all(1))
    sample = candidates[:: max(1, len(candidates) // _SAMPLE)]
    if not len(sample) or _is_tight(boxes[sample], keypoints[sample]).mean() <= 0.5:
        return np.flatnonzero(empty), np.zeros(0, dtype=np.int64)
    return np.flatnonzero(empty), candidates[_is_tight(boxes[candidates], keypoints[candidates])]


def _is_tight(boxes: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    extents = keypoint_extents(keypoints)
    ends, tight_ends = boxes[:, :2] + boxes[:, 2:], extents[:, :2] + extents[:, 2:]
    off = np.concatenate([boxes[:, :2] - extents[:, :2], ends - tight_ends], axis=1)  # (n, 4)
    return (np.abs(off) <= _ROUNDING).all(1)


def match_rectangles(
    keypoints: np.ndarray, image_ids: Sequence[int], rectangles: np.ndarray, rectangle_image_ids: Sequence[int]
) -> dict[int, int]:
    """Find the rectangle that was drawn around each person.

    A rectangle fits a person of its image if it holds all labeled keypoints. People whom the fewest rectangles fit
    choose first, and take the smallest that is left: so in a group each has its own, and whoever stands inside the
    rectangle of another does not take that one.

    Args:
        keypoints: `(n, K, 3)`.
        image_ids: Of the n people.
        rectangles: `(m, 4)`, x, y, width, height.
        rectangle_image_ids: Of the m rectangles.

    Returns:
        Row of the rectangle by the row of the person, for those that have one.
    """
    of_image: dict[int, list[int]] = defaultdict(list)
    for row, image_id in enumerate(rectangle_image_ids):
        of_image[image_id].append(row)
    extents, areas = keypoint_extents(keypoints), rectangles[:, 2] * rectangles[:, 3]
    slack = _SLACK * rectangles[:, 2:] + _ROUNDING
    lowest, highest = rectangles[:, :2] - slack, rectangles[:, :2] + rectangles[:, 2:] + slack
    fitting = {
        person: [
            row
            for row in of_image[image_id]
            if (extents[person, :2] >= lowest[row]).all()
            and (extents[person, :2] + extents[person, 2:] <= highest[row]).all()
        ]
        for person, image_id in enumerate(image_ids)
    }
    found: dict[int, int] = {}
    taken: set[int] = set()
    for person in sorted(fitting, key=lambda person: len(fitting[person])):
        free = [row for row in fitting[person] if row not in taken]
        if free:
            found[person] = min(free, key=lambda row: areas[row])
            taken.add(found[person])
    return found


def settle_boxes(
    boxes: np.ndarray,
    keypoints: np.ndarray,
    image_ids: Sequence[int],
    rectangles: Sequence[Rectangle],
    *,
    joined: bool,
    source: Path,
) -> np.ndarray:
    """Give people a box who have none of their own, in place, and tell whence.

    It is the rectangle that somebody drew around the same person, else one around the keypoints and a margin. Those of
    the skeleton's own label or of a person's come first. Those of another label count only if the file has no other
    label, and they are around most of its people.

    Args:
        boxes: `(n, 4)`, changed in place.
        keypoints: `(n, K, 3)`.
        image_ids: Of the n people.
        rectangles: All that are drawn in the file.
        joined: Whether the file may join the keypoints of all people of a photo to one person, as Label Studio's COCO
            export does: those that no rectangle of several holds are then of several people, and nobody's.
        source: The annotation file, for the log.

    Returns:
        Rows `(n,)` that have no box after all.
    """
    lost = np.zeros(len(boxes), dtype=bool)
    rows = np.concatenate(rows_without_box(boxes, keypoints))
    if not len(rows):
        return lost
    candidates = [rectangle for rectangle in rectangles if rectangle.own] or rectangles
    several = {image for image, count in Counter(one.image_id for one in candidates).items() if count > 1}
    apart = np.array([not joined or image_id not in several for image_id in image_ids])
    chosen = candidates if _are_of_people(candidates, keypoints[apart], np.array(image_ids)[apart].tolist()) else []
    drawn = _table(chosen)
    images = [rectangle.image_id for rectangle in chosen]
    found = match_rectangles(keypoints[rows], [image_ids[row] for row in rows], drawn, images)
    boxes[rows] = padded_extents(keypoints[rows])
    for place, rectangle in found.items():
        boxes[rows[place]] = drawn[rectangle]
    unmatched = [row for place, row in enumerate(rows.tolist()) if place not in found]
    mixed = [row for row in unmatched if joined and image_ids[row] in several]
    points = [row for row in unmatched if (boxes[row, 2:] == 0).all() and row not in mixed]
    lost[mixed + points] = True
    labels = Counter(chosen[rectangle].label for rectangle in found.values())
    _tell(source, labels, len(unmatched) - len(mixed) - len(points), len(points), len(mixed))
    return lost


def _are_of_people(candidates: Sequence[Rectangle], keypoints: np.ndarray, image_ids: Sequence[int]) -> bool:
    """Whether rectangles say so, or have one label and fit most people: hold their keypoints, and not much more."""
    labels = {rectangle.label for rectangle in candidates if not rectangle.own}
    if len(labels) != 1:
        return not labels
    drawn, extents = _table(candidates), keypoint_extents(keypoints)
    found = match_rectangles(keypoints, image_ids, drawn, [rectangle.image_id for rectangle in candidates])
    longest = _LARGEST * extents[:, 2:].max(1, initial=0)
    fitting = sum((drawn[rectangle, 2:] <= longest[person]).all() for person, rectangle in found.items())
    return bool(fitting > 0.5 * np.isfinite(extents[:, 0]).sum())


def _table(rectangles: Sequence[Rectangle]) -> np.ndarray:
    return np.array([rectangle.box for rectangle in rectangles], dtype=np.float64).reshape(-1, 4)


def _tell(source: Path, labels: Counter[str], padded: int, points: int, mixed: int) -> None:
    """Log where boxes come from, each where it happened."""
    if labels:
        counts = first_of([f"{count} of {label!r}" for label, count in labels.most_common()])
        message = "%s: %d people have the rectangle around their keypoints for a box: %s."
        logger.warning(message, source, labels.total(), counts)
    for count, message in (
        (
            padded,
            "%s: %d people have no box, or one that ends at their keypoints: theirs is made a tenth larger.",
        ),
        (points, "%s: left out %d people with neither a box nor two keypoints to make one from."),
        (
            mixed,
            "%s: left out %d photos of several people, whose keypoints Label Studio's COCO export joins to one person. "
            "Export JSON there, and read it as the dataset 'label_studio'.",
        ),
    ):
        if count:
            logger.warning(message, source, count)
