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
| category_id, category | int64, string | AP-10K, APT-36K | the species; also where the only category is not number 1 |
| crowd_index | float64 | CrowdPose | how crowded the photo is, 0 to 1 |
| foot_valid, face_valid, lefthand_valid, righthand_valid | bool | COCO-WholeBody | whether the part was labeled |
| head_size | float64 | MPII | the length that PCKh measures by, in pixels |
| hand | string | InterHand2.6M | "right" or "left" |
| video_id, track_id | int64 | APT-36K | the clip of the frame; the same animal in all its frames |
| box_score | float64 | boxes from a detector | its confidence |
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, List, Value
from datasets.table import InMemoryTable

from vitpose.base.errors import Place, PlacedError
from vitpose.base.names import first_of
from vitpose.modeling.keypoint_schemas import KeypointSchema
from vitpose.processing.people_forms_vitpose import PERSON_CATEGORY

from .images import read_image_size
from .photos import Listing

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


def people_table(
    columns: dict[str, Any],
    files: Sequence[str],
    *,
    schema: KeypointSchema,
    dataset: str,
    source: Path,
    place_of: Callable[[int], Place],
    min_keypoints: int,
    everyone: bool,
) -> Dataset:
    """Check people and convert them to the common columns; unusable ones are left out, with their number in the log.

    Args:
        columns: Lists or arrays with one entry for each person: image_id, person_id, width, height, bbox and
            keypoints; where known area and iscrowd, and any of the columns that only some datasets have.
        files: Path of each person's photo; the photos are not opened.
        schema: The keypoints of these people.
        dataset: Name of the dataset.
        source: The file they come from, for the log.
        place_of: Gives the place of a row for errors.
        min_keypoints: People with fewer labeled keypoints are left out.
        everyone: Keep everyone, as ground truth needs it.

    Raises:
        ValueError: A photo is missing, or a row is unusable; the message names it.
    """
    count = len(files)
    check_files_exist(files, place_of)
    columns = checked_columns({"iscrowd": np.zeros(count, np.int8), **columns}, schema, place_of=place_of)
    kept = slice(None) if everyone else usable_rows(columns, min_keypoints=min_keypoints, source=str(source))
    columns["dataset"] = np.full(count, dataset, dtype=object)
    extras = Features({name: EXTRA_FEATURES[name] for name in EXTRA_FEATURES if name in columns})
    features = Features({**PEOPLE_FEATURES, **extras})
    arrow = features.arrow_schema
    paths = pa.array(np.array(files, dtype=object)[kept], pa.string())
    images = [pa.nulls(len(paths), pa.binary()), paths]
    arrays = [pa.StructArray.from_arrays(images, fields=list(arrow.field("image").type))]
    arrays += [_arrow(columns[name], kept, arrow.field(name).type) for name in features if name != "image"]
    table = InMemoryTable(pa.Table.from_arrays(arrays, schema=arrow))
    return Dataset(table, info=DatasetInfo(features=features))


def _arrow(values: Any, kept: Any, kind: pa.DataType) -> pa.Array:
    """Convert the kept rows to an Arrow column; arrays of several dimensions become nested lists without a copy."""
    rows = (values if isinstance(values, np.ndarray) else np.array(values, dtype=object))[kept]
    if rows.ndim == 1:
        return pa.array(rows, kind)
    nested = pa.array(rows.ravel())
    for length in rows.shape[:0:-1]:
        nested = pa.ListArray.from_arrays(np.arange(0, len(nested) + 1, length, dtype=np.int32), nested)
    return nested


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
    count = schema.num_keypoints
    contents = {
        "width": (1, "the width of the image"),
        "height": (1, "the height of the image"),
        "bbox": (4, "bbox = [x, y, width, height]"),
        "keypoints": (3 * count, f"the {count} keypoints [x, y, v] of the schema {schema.name!r}"),
    }
    tables = {name: number_table(columns[name], *content, place_of) for name, content in contents.items()}
    sizes, boxes = np.concatenate([tables["width"], tables["height"]], axis=1), tables["bbox"]  # (n, 2), (n, 4)
    keypoints = tables["keypoints"].reshape(-1, count, 3)
    keypoints[keypoints[..., 2] == 0] = 0
    area = np.array(columns.get("area", [None] * len(boxes)), dtype=np.float64)
    area = np.where(np.isnan(area), boxes[:, 2] * boxes[:, 3], area)
    _check_numbers(sizes, boxes, area, keypoints, place_of)
    width, height = sizes.astype(np.int64).T
    return {**columns, "width": width, "height": height, "bbox": boxes, "area": area, "keypoints": keypoints}


def number_table(values: Sequence[Any], width: int, content: str, place_of: Callable[[int], Place]) -> np.ndarray:
    """Stack rows of `width` numbers, nested or flat, into a new array `(len(values), width)`.

    An array of such numbers is taken over, not copied.

    Raises:
        PlacedError: A row holds something else.
    """
    with suppress(TypeError, ValueError):  # otherwise a row is at fault, and the loop finds out which
        return np.asarray(values, dtype=np.float64).reshape(len(values), width)
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


def _check_numbers(
    sizes: np.ndarray, boxes: np.ndarray, area: np.ndarray, keypoints: np.ndarray, place_of: Callable[[int], Place]
) -> None:
    """Refuse the first row with impossible numbers, unlabeled keypoints being 0, 0.

    A keypoint a little outside its photo is usual; farther outside than the photo is large it is of another photo or
    unit.
    """
    no_size = ~((sizes > 0) & (sizes == np.floor(sizes)))  # (n, 2)
    points, flags = keypoints[..., :2], keypoints[..., 2]  # (n, k, 2), (n, k)
    reach = sizes.max(1)[:, None, None]
    far = ((points < -reach) | (points > sizes[:, None] + reach)).any(2)  # (n, k)
    farthest = points[np.arange(len(points)), far.argmax(1)]
    for bad, problem, values in (
        (no_size[:, 0], "a width that is not a whole number above 0", sizes[:, 0]),
        (no_size[:, 1], "a height that is not a whole number above 0", sizes[:, 1]),
        (~np.isfinite(boxes).all(1), "a box that is not finite", boxes),
        ((boxes[:, 2:] < 0).any(1), "a box [x, y, width, height] of negative size", boxes),
        (~(area >= 0), "an area that is negative", area),
        (~np.isin(flags, (0, 1, 2)).all(1), "a visibility other than 0, 1 or 2", flags),
        (~np.isfinite(keypoints).all((1, 2)), "a labeled keypoint that is not finite", keypoints),
        (far.any(1), "a keypoint farther outside its image than the image is large", farthest),
    ):
        rows = np.flatnonzero(bad)
        if len(rows):
            more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            reason = f"{problem}: {values[rows[0]].tolist()}{more}. Correct or remove it."
            raise PlacedError(reason, place_of(int(rows[0])))


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


def check_files_exist(paths: Sequence[str], place_of: Callable[[int], Place] | None = None) -> None:
    """Raise a ValueError that names missing files.

    Args:
        paths: Of the photo of each row.
        place_of: Gives the place of a row, for errors.
    """
    there = Listing()
    absent = [path for path in dict.fromkeys(paths) if path not in there]
    missing = [path or "an image without bytes and without path" for path in absent]
    if missing:
        place = place_of(list(paths).index(absent[0])) if place_of else ()
        reason = f"{len(missing)} annotated images are missing: {first_of(missing)}. Check the image folder."
        raise PlacedError(reason, place)


def photo_sizes(files: Sequence[str]) -> np.ndarray:
    """Read width and height `(n, 2)` in pixels from the photos' headers, for annotations that lack them.

    Raises:
        ValueError: A photo is missing or damaged; the message names it.
    """
    check_files_exist(files)
    sizes = {file: read_image_size({"bytes": None, "path": file}, row=row) for row, file in enumerate(files)}
    return np.array([sizes[file] for file in files]).reshape(-1, 2)


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
