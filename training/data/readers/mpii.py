"""MPII: the official MATLAB file, and the JSON lists that are usual for training and evaluation.

Both count pixels from 1 as MATLAB does; the columns count from 0. A person has a center and a scale instead of a box:
the box is a square of 200 times the scale, lowered by 15 times the scale so that limbs are not cut off (released
configs, which pad it by 1.25 as any other box).
"""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from vitpose.base.errors import Place, PlacedError
from vitpose.base.files import read_json
from vitpose.modeling.keypoint_schemas import KeypointSchema

from ...metrics.pckh import HEAD_SHARE
from ..columns import people_table, photo_sizes
from ..matlab import load_mat
from .coco_entries import check_fields

logger = logging.getLogger(__name__)

_FIELDS = ("image", "center", "scale", "joints", "joints_vis")


@dataclass(kw_only=True)
class _People:
    """People of a file, one entry for each person in each list; pixels count from 1.

    Args:
        images: File names.
        centers: X and y.
        scales: Heights of the people over 200 pixels.
        keypoints: (16, 3) each, v as COCO has it.
        head_sizes: In pixels; empty where they are not known.
    """

    images: list[str] = field(default_factory=list)
    centers: list[Any] = field(default_factory=list)
    scales: list[Any] = field(default_factory=list)
    keypoints: list[np.ndarray] = field(default_factory=list)
    head_sizes: list[float] = field(default_factory=list)


def read_mpii(
    annotation_file: Path, image_dir: Path, *, schema: KeypointSchema, min_keypoints: int, everyone: bool
) -> Dataset:
    """Read MPII, 16 keypoints; sizes of photos come from their headers.

    `person_id` is the position of the person in the file, `image_id` the number in the photo's name.

    Args:
        annotation_file: `mpii_human_pose_v1_u12_1.mat`, whose people with joints are the union of training and
            validation, or such as `mpii_val.json`. Head sizes are in the former; for the latter they come from the
            file beside it, such as `mpii_gt_val.mat`, and without that the column is absent.
        image_dir: Folder of the photos.
        schema: The 16 keypoints.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone.
    """
    own = annotation_file.suffix == ".mat"
    people = _from_mat(annotation_file) if own else _from_json(annotation_file)
    files = [os.path.join(image_dir, image) for image in people.images]
    width, height = photo_sizes(files).T
    keypoints = np.stack(people.keypoints) if people.keypoints else np.zeros((0, schema.num_keypoints, 3))
    keypoints[..., :2] -= 1
    rows = range(len(files))
    columns = {
        "image_id": [_number(image, annotation_file) for image in people.images],
        "person_id": rows,
        "width": width,
        "height": height,
        "bbox": [_box(people, row, annotation_file) for row in rows],
        "keypoints": keypoints,
        **({"head_size": people.head_sizes} if people.head_sizes else {}),
    }
    return people_table(
        columns,
        files,
        schema=schema,
        dataset="mpii",
        source=annotation_file,
        place_of=lambda row: _place(row, people.images[row], annotation_file),
        min_keypoints=min_keypoints,
        everyone=everyone,
    )


def _place(row: int, image: str, path: Path) -> Place:
    return str(path), f"person {row} (image {image})"


def _number(image: str, path: Path) -> int:
    stem = Path(image).stem
    if not stem.isdecimal():
        raise ValueError(f"{path} has the image {image!r}: expected a number for its name, such as 004645041.jpg.")
    return int(stem)


def _box(people: _People, row: int, path: Path) -> list[float]:
    """Left, top, width, height of the square around a person, pixels counted from 0."""
    scale = people.scales[row]
    try:
        x, y = (float(value) for value in people.centers[row])
        side = 200 * float(scale)
    except (TypeError, ValueError) as error:
        reason = f"expected center x, y and a scale, got {people.centers[row]}, {scale}."
        raise PlacedError(reason, _place(row, people.images[row], path)) from error
    return [x - 1 - side / 2, y - 1 + 15 * float(scale) - side / 2, side, side]


def _from_json(path: Path) -> _People:
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path} is not of MPII: expected a list of people, got {type(content).__name__}.")
    people = _People()
    for row, person in enumerate(content):
        check_fields(person, "person", _FIELDS, path, row)
        people.images.append(str(person["image"]))
        people.centers.append(person["center"])
        people.scales.append(person["scale"])
        people.keypoints.append(_joints(person, _place(row, people.images[-1], path)))
    people.head_sizes = _head_sizes(path.with_name(path.name.replace("mpii_", "mpii_gt_")).with_suffix(".mat"), people)
    return people


def _joints(person: dict[str, Any], place: Place) -> np.ndarray:
    """(16, 3); the list does not say which joints are hidden, so every labeled one counts as visible."""
    try:
        points = np.array(person["joints"], dtype=np.float64).reshape(16, 2)
        labeled = np.array(person["joints_vis"], dtype=np.float64).reshape(16)
    except (TypeError, ValueError) as error:
        raise PlacedError(f"expected 16 joints x, y and 16 joints_vis, {error}.", place) from error
    if not np.isin(labeled, (0, 1)).all():
        raise PlacedError(f"joints_vis other than 0 or 1: {labeled.tolist()}. Correct or remove it.", place)
    return np.column_stack([points, 2 * labeled])


def _head_sizes(path: Path, people: _People) -> list[float]:
    if not path.is_file():
        logger.info("No head sizes: there is no file %s. PCKh needs it.", path)
        return []
    variables = load_mat(path)
    if "headboxes_src" not in variables:
        raise ValueError(f"{path} has no head boxes: expected the variable headboxes_src, got {sorted(variables)}.")
    corners = np.asarray(variables["headboxes_src"], dtype=np.float64)  # (2 corners, 2, people)
    if corners.shape == (2, 2):
        corners = corners[..., None]  # of a single person
    if corners.shape != (2, 2, len(people.images)):
        raise ValueError(
            f"{path} has head boxes of shape {corners.shape}: expected (2, 2, {len(people.images)}) for the people of "
            "the list beside it. Use the file of the same split."
        )
    return (HEAD_SHARE * np.linalg.norm(corners[1] - corners[0], axis=0)).tolist()


def _from_mat(path: Path) -> _People:
    """Read people with joints and a position, and log the number of the others."""
    variables = load_mat(path)
    if "RELEASE" not in variables:
        raise ValueError(f"{path} is not of MPII: expected the variable RELEASE, got {sorted(variables)}.")
    people, left_out = _People(), 0
    for photo in np.atleast_1d(variables["RELEASE"].annolist):
        for rect in np.atleast_1d(getattr(photo, "annorect", [])):
            points = _get(_get(rect, "annopoints"), "point")
            position, scale = _get(rect, "objpos"), _get(rect, "scale")
            if points is None or position is None or scale is None:
                left_out += 1
                continue
            place = _place(len(people.images), photo.image.name, path)
            people.images.append(photo.image.name)
            people.centers.append((position.x, position.y))
            people.scales.append(scale)
            people.keypoints.append(_points(points, place))
            people.head_sizes.append(HEAD_SHARE * float(np.hypot(rect.x2 - rect.x1, rect.y2 - rect.y1)))
    logger.info("%s: left out %d people without joints, position or scale.", path, left_out)
    return people


def _get(structure: Any, name: str) -> Any:
    """Get a field of a MATLAB structure; None where the structure or the field is empty or absent."""
    value = getattr(structure, name, None)
    return None if isinstance(value, np.ndarray) and value.size == 0 else value


def _points(points: Any, place: Place) -> np.ndarray:
    """(16, 3); joints of the head have no flag and are visible."""
    keypoints = np.zeros((16, 3))
    for point in np.atleast_1d(points):
        number = int(point.id)
        if not 0 <= number < 16:
            raise PlacedError(f"expected joints from 0 to 15, got {number}. Correct or remove it.", place)
        flag = _get(point, "is_visible")
        hidden = flag is not None and str(flag) != "" and int(flag) == 0
        keypoints[number] = point.x, point.y, 1 if hidden else 2
    return keypoints
