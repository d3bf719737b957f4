"""The columns of annotated people that training and evaluation read, and the checks that bring data into them.

| column | type | meaning |
|---|---|---|
| image | `datasets.Image(decode=False)` | `{"bytes", "path"}`, decoded when the person is cropped |
| image_id, person_id | int64 | people of one photo share its image_id; person_id is the annotation's |
| width, height | int64 | of the photo, in pixels |
| bbox | 4 float64 | left, top, width, height in image pixels |
| area | float64 | of the person in square pixels, the scale of OKS |
| iscrowd | int8 | always 0: crowds are left out |
| keypoints | K x 3 float64 | x, y in image pixels and v: 0 not labeled (then x = y = 0), 1 hidden, 2 visible |
| dataset | string | name of the dataset |

Columns that only some datasets have:

| column | type | of | meaning |
|---|---|---|---|
| category_id, category | int64, string | AP-10K, APT-36K | the species; a file with one category has no such columns |
| crowd_index | float64 | CrowdPose | how crowded the photo is, 0 to 1 |
| foot_valid, face_valid, lefthand_valid, righthand_valid | bool | COCO-WholeBody | whether the part was labeled |
| head_size | float64 | MPII | the length that PCKh measures by, in pixels |
| hand | string | InterHand2.6M | "right" or "left" |
| video_id, track_id | int64 | APT-36K | the clip of the frame; the same animal in all its frames |
| box_score | float64 | boxes from a detector | its confidence |
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import datasets
import numpy as np
from datasets import Dataset, Features, List, Value

from vitpose.base.errors import Place, PlacedError
from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_vitpose import PERSON_CATEGORY

logger = logging.getLogger(__name__)

PEOPLE_FEATURES = Features(
    {
        "image": datasets.Image(decode=False),
        "image_id": Value("int64"),
        "person_id": Value("int64"),
        "width": Value("int64"),
        "height": Value("int64"),
        "bbox": List(Value("float64")),
        "area": Value("float64"),
        "iscrowd": Value("int8"),
        "keypoints": List(List(Value("float64"))),
        "dataset": Value("string"),
    }
)
EXTRA_FEATURES = Features(
    {
        "category_id": Value("int64"),
        "category": Value("string"),
        "crowd_index": Value("float64"),
        "foot_valid": Value("bool"),
        "face_valid": Value("bool"),
        "lefthand_valid": Value("bool"),
        "righthand_valid": Value("bool"),
        "head_size": Value("float64"),
        "hand": Value("string"),
        "video_id": Value("int64"),
        "track_id": Value("int64"),
        "box_score": Value("float64"),
    }
)
# Keypoints that do not count in a dataset's `num_keypoints`; its metric ignores people who have only these.
_UNCOUNTED = {"crowdpose": ("top_head", "neck")}


def checked_columns(
    columns: dict[str, Any], schema: KeypointSchema, *, place_of: Callable[[int], Place]
) -> dict[str, np.ndarray]:
    """Convert the columns (all but image) to arrays of the common form.

    An absent area becomes that of the box; the coordinates of an unlabeled keypoint become 0.

    Args:
        columns: Lists or arrays of equal length; keypoints may be K x [x, y, v] or flat, as COCO stores them.
        schema: The keypoints of these people.
        place_of: Gives the place of a row for errors.

    Raises:
        ValueError: A row has other keypoints than the schema, or impossible numbers.
    """
    sizes = np.concatenate([_sizes(columns[side], side, place_of) for side in ("width", "height")], axis=1)  # (n, 2)
    boxes = _number_table(columns["bbox"], 4, "bbox = [x, y, width, height]", place_of)  # (n, 4)
    count = schema.num_keypoints
    content = f"the {count} keypoints [x, y, v] of the schema {schema.name!r}"
    keypoints = _number_table(columns["keypoints"], 3 * count, content, place_of).reshape(-1, count, 3)
    box_areas = boxes[:, 2] * boxes[:, 3]
    area = np.array(columns.get("area", [None] * len(boxes)), dtype=np.float64)
    area = np.where(np.isnan(area), box_areas, area)

    _refuse(~np.isfinite(boxes).all(1), "a box that is not finite", boxes, place_of)
    _refuse((boxes[:, 2:] < 0).any(1), "a box [x, y, width, height] of negative size", boxes, place_of)
    _refuse(~(area >= 0), "an area that is negative", area, place_of)
    flags = keypoints[..., 2]
    _refuse(~np.isin(flags, (0, 1, 2)).all(1), "a visibility other than 0, 1 or 2", flags, place_of)
    keypoints[flags == 0] = 0
    _refuse(~np.isfinite(keypoints).all((1, 2)), "a labeled keypoint that is not finite", keypoints, place_of)
    _refuse_far_keypoints(keypoints, sizes, place_of)
    width, height = sizes.astype(np.int64).T
    return {**columns, "width": width, "height": height, "bbox": boxes, "area": area, "keypoints": keypoints}


def _sizes(values: Any, side: str, place_of: Callable[[int], Place]) -> np.ndarray:
    """(n, 1) whole numbers above 0."""
    sizes = _number_table(values, 1, f"the {side} of the image", place_of)
    _refuse(
        ~((sizes > 0) & (sizes == np.floor(sizes))).all(1),
        f"a {side} that is not a whole number above 0",
        sizes,
        place_of,
    )
    return sizes


def _refuse_far_keypoints(keypoints: np.ndarray, sizes: np.ndarray, place_of: Callable[[int], Place]) -> None:
    """Refuse keypoints farther outside than the image is large, as of another photo or unit; a little is usual."""
    reach = sizes.max(1)[:, None, None]
    points = keypoints[..., :2]  # (n, k, 2)
    far = ((points < -reach) | (points > sizes[:, None] + reach)).any(2)  # (n, k); unlabeled ones are 0, 0
    worst = points[np.arange(len(points)), far.argmax(1)]
    _refuse(far.any(1), "a keypoint farther outside its image than the image is large", worst, place_of)


def _number_table(values: Sequence[Any], width: int, content: str, place_of: Callable[[int], Place]) -> np.ndarray:
    """Stack rows of `width` numbers, nested or flat, into a new array `(len(values), width)`."""
    with suppress(TypeError, ValueError):  # otherwise a row is at fault, and the loop finds out which
        return np.array(values, dtype=np.float64).reshape(len(values), width)
    table = np.empty((len(values), width))
    for row, value in enumerate(values):
        try:
            numbers = np.asarray(value, dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise PlacedError(f"expected numbers for {content}, got {value!r}.", place_of(row)) from error
        if numbers.size != width:
            raise PlacedError(f"expected {width} numbers for {content}, got {numbers.size}.", place_of(row))
        table[row] = numbers
    return table


def _refuse(bad: np.ndarray | np.bool, problem: str, values: np.ndarray, place_of: Callable[[int], Place]) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise PlacedError(f"{problem}: {values[rows[0]].tolist()}{more}. Correct or remove it.", place_of(int(rows[0])))


def usable_rows(columns: dict[str, Any], *, min_keypoints: int, source: str) -> np.ndarray:
    """Select the rows to train and evaluate on, and log the number of the others.

    Left out are crowds, people with fewer than `min_keypoints` labeled keypoints, and people whose box covers no part
    of the image (a crop of it would be black).

    Raises:
        ValueError: No row is left.
    """
    left, top, width, height = columns["bbox"].T  # (n,) each
    inside_x = np.minimum(left + width, columns["width"]) > np.maximum(left, 0)
    inside_y = np.minimum(top + height, columns["height"]) > np.maximum(top, 0)
    crowd = np.asarray(columns["iscrowd"]) != 0
    sparse = ~crowd & ((columns["keypoints"][..., 2] > 0).sum(1) < min_keypoints)
    outside = ~crowd & ~sparse & ~(inside_x & inside_y)
    kept = np.flatnonzero(~(crowd | sparse | outside))
    logger.info(
        "%s: %d people; left out %d crowds and %d people with fewer than %d labeled keypoints.",
        *(source, len(kept), crowd.sum(), sparse.sum(), min_keypoints),
    )
    if outside.any():
        ids = [columns["person_id"][row] for row in np.flatnonzero(outside)]
        message = "%s: left out %d people whose box covers no part of the image, person_id %s."
        logger.warning(message, source, len(ids), first_of(ids))
    if not len(kept):
        raise ValueError(f"{source} has nobody with at least {min_keypoints} labeled keypoints among {len(crowd)}.")
    return kept


def check_files_exist(paths: Iterable[str]) -> None:
    """Raise a ValueError that names missing files; lists each folder once, which is fast for 100,000 files."""
    listings: dict[str, set[str]] = {}
    missing = []
    for path in dict.fromkeys(paths):
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        if name not in listings[folder]:
            missing.append(path or "an image without bytes and without path")
    if missing:
        raise ValueError(f"{len(missing)} annotated images are missing: {first_of(missing)}. Check the image folder.")


def to_coco_annotations(people: Any, schema: KeypointSchema) -> dict[str, Any]:
    """Convert people in the common columns to COCO ground truth for pycocotools.

    Args:
        people: A dataset of [`read_people`] or [`read_coco`], or any sequence of such rows.
        schema: The keypoints of these people.
    """
    rows = people.remove_columns("image").to_list() if isinstance(people, Dataset) else people
    uncounted = [schema.keypoints.index(name) for name in _UNCOUNTED.get(schema.name, ())]
    images, annotations, categories = {}, [], {}
    for index in range(len(rows)):
        row = rows[index]
        image = {"id": row["image_id"], "width": row["width"], "height": row["height"]}
        images[row["image_id"]] = image | ({"crowdIndex": row["crowd_index"]} if "crowd_index" in row else {})
        category_id = row.get("category_id", PERSON_CATEGORY)
        categories[category_id] = row.get("category", "person")
        keypoints = np.asarray(row["keypoints"], dtype=np.float64)  # (k, 3)
        annotation = {
            "id": index + 1,  # not the person_id: pycocotools takes the id 0 for "no match"
            "image_id": row["image_id"],
            "category_id": category_id,
            "bbox": list(row["bbox"]),
            "area": row["area"],
            "iscrowd": row["iscrowd"],
            "keypoints": keypoints.ravel().tolist(),
            "num_keypoints": int((np.delete(keypoints[:, 2], uncounted) > 0).sum()),
        }
        annotations.append(annotation)
    skeleton = [[first + 1, second + 1] for first, second in schema.edges]  # COCO counts keypoints from 1
    shape = {"keypoints": list(schema.keypoints), "skeleton": skeleton}
    described = [
        {"id": number, "name": name, **shape}
        for number, name in sorted((categories or {PERSON_CATEGORY: "person"}).items())
    ]
    return {"images": list(images.values()), "annotations": annotations, "categories": described}
